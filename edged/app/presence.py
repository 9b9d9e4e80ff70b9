"""The time in which edged did not run, entered as a gap of each camera: it is a time without pictures like any other.

While it runs, the time of each camera's newest picture is noted: every second in the service's runtime directory, which
is memory and outlives the process, and every minute in the state directory, which outlives the power (in place: a new
file each time would wear the card four times as much). So the gap that the next start enters begins to the second after
a crash, and after a loss of power up to a minute too early, never too late. It ends with the camera's first picture.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from edged.base.clock import Stamp, stamp, stamp_at
from edged.base.note import NoNoteError, read_note, write_note
from edged.model import Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edged.base.clock import Clock
    from edged.base.pulse import Pulse
    from edged.model import Health
    from edged.outbox.store import Outbox

log = structlog.get_logger(__name__)

STOPPED = "edged was stopped"
ENDED = "edged ended without being told to"

_NOTE = "seen.note"  # in the state directory
_NAME = "seen.json"  # in the runtime directory, and what earlier versions left in the state directory
_LOOK = 1.0  # seconds
_SOON = 0.2  # seconds: a run that lasts no second has seen its cameras, too
_LASTING = 60.0  # seconds between two notes on the disk: a card wears


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """When each camera last gave a picture; `stopped` if nobody watched from then on because edged was told so."""

    cameras: dict[str, Stamp] = field(default_factory=dict)
    stopped: bool = False


class Presence:
    """Notes the newest picture of each camera of `health`, in `state` and, where there is one, in `runtime`.

    `pictures` returns when (mono) the newest picture of each camera came that is watched, or was when it was let go.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        *,
        health: Callable[[], Mapping[str, Health]],
        pictures: Callable[[], Mapping[str, float]],
        state: Path,
        runtime: Path | None,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._health = health
        self._pictures = pictures
        self._state = state / _NOTE
        self._former = state / _NAME
        self._runtime = None if runtime is None else runtime / _NAME
        self._started = clock.mono()
        self._seen: dict[str, Stamp] = {}
        self._pending: dict[str, list[int]] = {}  # gaps that a camera's first picture ends
        self._met: set[str] = set()  # cameras that gave a picture in this run
        self._due: list[Gap] = []  # not yet in the ledger
        self._not_before: dict[Path, float] = {}  # mono, by the note's file
        self._working = asyncio.Lock()

    async def begin(self) -> None:
        """At the start, before a camera is opened: find out since when there were no pictures. Writes nothing."""
        before = await asyncio.to_thread(self._read)
        reason = STOPPED if before.stopped else ENDED
        for entry in await self._outbox.open_gaps():  # the last run ended in it: it goes on until the first picture
            self._pending.setdefault(entry.gap.camera, []).append(entry.id)
        for camera, seen in before.cameras.items():
            if camera in self._health():
                self._seen[camera] = seen
                if camera not in self._pending:
                    self._due.append(Gap(camera=camera, start=seen, end=None, reason=reason))

    async def run(self, pulse: Pulse) -> None:
        """Look until cancelled."""
        while True:
            await self.step()
            pulse.beat()
            await asyncio.sleep(_LOOK if self._has_met_all() else _SOON)

    async def step(self) -> None:
        """Enter what is due, end the gaps of cameras that deliver, and note the newest pictures.

        Raises sqlite3.OperationalError where the disk refuses; nothing is forgotten then, and the next step goes on.
        """
        async with self._working:
            await self._enter()
            health = self._health()
            for camera in tuple(self._pending):
                await self._end_gaps(camera, health.get(camera))
            well = {name for name, state in health.items() if state.delivering}
            self._met |= well
            self._look(well)
            await asyncio.to_thread(self._write, stopped=False)

    async def stop(self) -> None:
        """Note that from here on nobody watches; up to now the ledger tells what was missing."""
        async with self._working:  # `run` goes on meanwhile
            await self._stop()

    async def _stop(self) -> None:
        await self._enter()  # a stop may come before the first step
        pictures, now = self._pictures(), stamp(self._clock)
        for camera in self._pending.keys() & pictures.keys():
            await self._close(camera, pictures[camera])
        self._seen |= dict.fromkeys(self._seen.keys() | pictures.keys(), now)
        self._not_before.clear()
        await asyncio.to_thread(self._write, stopped=True)

    def _has_met_all(self) -> bool:
        """Return whether each camera has given a picture in this run, or is ill."""
        return all(name in self._met or state.rung for name, state in self._health().items())

    async def _enter(self) -> None:
        """Enter what is due; a step that was cancelled meanwhile may have entered it already."""
        if not self._due:
            return
        entered = {entry.gap.camera: entry.id for entry in await self._outbox.open_gaps()}
        while self._due:
            gap = self._due[-1]
            known = entered.get(gap.camera)
            self._pending[gap.camera] = [await self._outbox.open_gap(gap) if known is None else known]
            self._due.pop()

    async def _end_gaps(self, camera: str, state: Health | None) -> None:
        """End a camera's gaps with its first picture; with the start when it is ill, for then it has begun its own."""
        if state is not None and state.delivering:
            await self._close(camera, state.since)
        elif state is None or state.rung:  # None: it is no longer configured
            await self._close(camera, self._started)

    async def _close(self, camera: str, end: float) -> None:
        for gap in self._pending[camera]:
            await self._outbox.close_gap(gap, stamp_at(self._clock, end))
        del self._pending[camera]

    def _look(self, cameras: Iterable[str]) -> None:
        pictures = self._pictures()
        self._seen |= {name: stamp_at(self._clock, pictures[name]) for name in cameras if name in pictures}

    def _read(self) -> Seen:
        """Return what the last run noted; the runtime directory knows better while it is there."""
        for path in filter(None, (self._runtime, self._state, self._former)):
            try:
                note = read_note(path) if path == self._state else path.read_bytes()
                return msgspec.json.decode(note, type=Seen)
            except FileNotFoundError:
                continue
            except (OSError, NoNoteError, msgspec.DecodeError, UnicodeDecodeError) as error:
                log.warning("last pictures unreadable", path=str(path), reason=str(error))
        return Seen()  # the first start, or unknown: then no gap is entered rather than a wrong one

    def _write(self, *, stopped: bool) -> None:
        if not self._seen:
            return
        note = msgspec.json.encode(Seen(cameras=self._seen, stopped=stopped))
        if self._runtime is not None:
            self._note(self._runtime, note, _replace, 0.0)
        self._note(self._state, note, self._write_lasting, _LASTING)

    def _write_lasting(self, path: Path, note: bytes) -> None:
        write_note(path, note)
        self._former.unlink(missing_ok=True)

    def _note(self, path: Path, note: bytes, write: Callable[[Path, bytes], None], pause: float) -> None:
        now = self._clock.mono()
        if now < self._not_before.get(path, now):
            return
        self._not_before[path] = now + pause
        try:
            write(path, note)
        except OSError as error:
            self._not_before[path] = now + _LASTING  # a disk in trouble is not asked all the time
            log.warning("last pictures not noted", path=str(path), reason=error.strerror or str(error))


def _replace(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


def runtime_directory() -> Path | None:
    """Return the service's directory in memory that systemd names (RUNTIME_DIRECTORY), None without one."""
    named = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(named) if named else None
