"""The verdict of /health: from the board's numbers to a status and reasons, each with what to do.

`failing` (503) is kept for what breaks the promise: nothing is being recorded, or edged itself can't work. A line
that is down or a camera out of several is `degraded`: told, though the box does what it can.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from edged.base.gate import GateState
from edged.base.pages.pages import duration, size
from edged.channels.text import plural
from edged.model import LinkState
from edged.supervise.firmware import warnings
from edged.supervise.supervisor import Status
from edged.supervise.words import destination_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edged.supervise.board import CameraView, Queue, View
    from edged.supervise.settings import SuperviseSettings


class Level(IntEnum):
    """How well a part does its work; the worst of the parts is the whole's."""

    OK = 0
    DEGRADED = 1
    FAILING = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a person should know and what to do about it, as sentences; level OK is for a mere notice."""

    level: Level
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The findings of each part, in the order in which they are shown."""

    parts: dict[str, tuple[Finding, ...]]

    @property
    def level(self) -> Level:
        """The whole's level."""
        return max((level_of(findings) for findings in self.parts.values()), default=Level.OK)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, the worst first."""
        found = [finding for findings in self.parts.values() for finding in findings]
        return tuple(sorted(found, key=lambda finding: -finding.level))


def level_of(findings: Iterable[Finding]) -> Level:
    """Return the worst level among `findings`, OK without any."""
    return max((finding.level for finding in findings), default=Level.OK)


def judge(view: View, queue: Queue | None, settings: SuperviseSettings) -> Report:
    """Judge every part; `queue` is None when the database did not answer."""
    judges: dict[str, Callable[[], list[Finding]]] = {
        "cameras": lambda: _cameras(view, settings),
        "recording": lambda: _recording(view),
        "outbox": lambda: _outbox(queue, settings),
        "link": lambda: _link(view),
        "destinations": lambda: _destinations(view),
        "disk": lambda: _disk(view),
        "clock": lambda: _clock(view),
        "power": lambda: _power(view),
        "configuration": lambda: _configuration(view),
        "tasks": lambda: _tasks(view),
        "loop": lambda: _loop(view, settings),
        "notices": lambda: [Finding(level=Level.OK, text=notice) for notice in view.notices],
    }
    return Report(parts={name: tuple(part()) for name, part in judges.items()})


def _degraded(text: str) -> Finding:
    return Finding(level=Level.DEGRADED, text=text)


def _failing(text: str) -> Finding:
    return Finding(level=Level.FAILING, text=text)


def blind(camera: CameraView) -> bool:
    """Return whether the camera is known to give no pictures; one that has yet to start is given its time."""
    return camera.health is not None and not camera.health.delivering


def _cameras(view: View, settings: SuperviseSettings) -> list[Finding]:
    starting = view.uptime <= settings.camera
    live = [camera for camera in view.cameras if not camera.ended]
    found = [_degraded(text) for camera in live if (text := _camera_text(camera, starting=starting))]
    watching = [camera for camera in live if not blind(camera) and (camera.health is not None or starting)]
    if live and not watching:
        found.insert(0, _failing("No camera gives pictures: nothing is being watched or recorded."))
    return found + [_ended(camera) for camera in view.cameras if camera.ended]


def _ended(camera: CameraView) -> Finding:
    why = "its file was played once, or watching was stopped"
    return Finding(level=Level.OK, text=f"Camera {camera.name} has ended, as asked: {why}.")


def _camera_text(camera: CameraView, *, starting: bool) -> str:
    if camera.health is None:
        return "" if starting else f"Camera {camera.name} has not started. The log says why: journalctl -u edged."
    if blind(camera):
        step = "It is being brought back" if camera.health.rung else "It will be opened again"
        return f"Camera {camera.name}: {camera.health.text}. {step}; if it stays so, check its power and its cable."
    if camera.health.signs:
        return f"Camera {camera.name}: {camera.health.text}. Check the lens and the light."
    return ""


def _recording(view: View) -> list[Finding]:
    if view.disk is not None and view.disk.level == "critical":
        return [_failing("The disk is all but full: incidents are kept as snapshots only, without clips.")]
    return [
        _failing(f"Camera {camera.name}: the pictures of an incident are being lost, {camera.refused}.")
        for camera in view.cameras
        if camera.refused
    ]


def _outbox(queue: Queue | None, settings: SuperviseSettings) -> list[Finding]:
    if queue is None:
        return [_failing("The outbox's database does not answer. Check the disk: dmesg, journalctl -u edged.")]
    found = []
    if queue.dead:
        what = plural(queue.dead, "delivery was", "deliveries were")
        how = "'edged outbox list' shows why, 'edged outbox retry ID' tries again"
        found.append(_degraded(f"{what} refused for good: {how}."))
    if queue.oldest_age is not None and queue.oldest_age > settings.backlog_age:
        backlog = f"{size(queue.backlog_bytes)} wait in all"
        found.append(_degraded(f"Something has waited to be sent for {duration(queue.oldest_age)}; {backlog}."))
    return found


def _link(view: View) -> list[Finding]:
    if view.link is None:
        return []
    why = f" ({view.link.reason})" if view.link.reason else ""
    if view.link.state is LinkState.DOWN:
        return [_degraded(f"The receiver can't be reached{why}. All is kept here and sent when the line is back.")]
    if view.link.state is LinkState.CAPTIVE:
        return [_degraded(f"The network asks for a log-in page{why}: open it once from a device in this network.")]
    return []


def _destinations(view: View) -> list[Finding]:
    return [
        _degraded(
            f"Nothing can go to {destination_name(gate.destination)} now: {_sentence(gate.reason or 'no answer')}"
        )
        for gate in view.gates
        if gate.state != GateState.UP
    ]


def _sentence(words: str) -> str:
    return words if words.endswith((".", "?", "!")) else f"{words}."


def _disk(view: View) -> list[Finding]:
    if view.disk is None:
        return []
    if view.disk.trouble:
        what = f"The disk with edged's files can't be used: {view.disk.trouble}"
        return [_failing(f"{what}. Mount it, or look at what the kernel says of it: dmesg.")]
    if view.disk.level == "ok":
        return []
    free = f"{size(view.disk.free)} of {size(view.disk.total)} are free"
    if view.disk.level == "critical":
        return [_failing(f"The disk is all but full: {free}. Delete other files, or use a larger disk.")]
    return [_degraded(f"The disk fills up: {free}. Clips that are proven safe elsewhere are deleted first.")]


def _clock(view: View) -> list[Finding]:
    if view.synced:
        return []
    return [_degraded("The clock is not synchronised, so times may be wrong. Check the network's time service (NTP).")]


def _power(view: View) -> list[Finding]:
    return [_degraded(f"{text}.") for text in (warnings(view.firmware) if view.firmware is not None else ())]


def _configuration(view: View) -> list[Finding]:
    if not view.configuration:
        return []
    what = f"The configuration file can't be used, and edged would not start with it: {_sentence(view.configuration)}"
    return [_degraded(f"{what} It goes on with what it has. Correct the file, then: systemctl reload edged.")]


def _tasks(view: View) -> list[Finding]:
    found = [_failing(f"The watchdog objects: {complaint}.") for complaint in view.complaints]
    for task in view.tasks:
        if task.status is Status.DEGRADED:
            text = f"Task {task.name} fails again and again ({task.error}); it is tried once a minute."
            found.append(_failing(text) if task.critical else _degraded(text))
        elif task.status is Status.RESTARTING and task.restarts:
            found.append(_degraded(f"Task {task.name} is being restarted ({task.error})."))
    return found


def _loop(view: View, settings: SuperviseSettings) -> list[Finding]:
    if view.lag_p99 <= settings.lag:
        return []
    late = f"edged reacts up to {view.lag_p99:.1f} s late"
    return [_degraded(f"This machine is too slow: {late}. Use fewer cameras or smaller pictures.")]


def summary(report: Report, cameras: int) -> str:
    """Return the report as one line."""
    found = [finding for finding in report.findings if finding.level > Level.OK]
    if not found:
        return f"{plural(cameras, 'camera')} watched, and nothing is amiss."
    more = f" And {plural(len(found) - 1, 'more thing')}." if len(found) > 1 else ""
    return found[0].text + more
