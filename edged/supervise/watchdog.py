"""The watchdog: systemd is fed from real progress, never from a mere timer.

Healthy means: the loop's lag is bounded, every critical task's pulse beats, the database's write lock can be had,
and each camera shows a picture or a step on its recovery ladder (a dead camera must not restart a healthy box).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from edged.supervise.supervisor import Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from edged.base.pulse import Pulse
    from edged.base.systemd import Notifier
    from edged.supervise.supervisor import TaskState

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the watchdog judges by: `lag` in seconds, `camera_ages` seconds since picture or recovery step."""

    lag: float
    tasks: Sequence[TaskState]
    database: str  # "" when the probe succeeded, else why not
    camera_ages: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much is too much, in seconds."""

    lag: float
    camera: float


def complaints(evidence: Evidence, limits: Limits) -> tuple[str, ...]:
    """Return why the watchdog must not be fed; empty when all is well."""
    found = []
    if evidence.lag > limits.lag:
        found.append(f"the event loop is {evidence.lag:.1f} s late")
    if evidence.database:
        found.append(f"the database does not take writes: {evidence.database}")
    found += [f"task {task.name} is {_how(task)}" for task in evidence.tasks if task.critical and _how(task)]
    found += [
        f"camera {name} shows neither a picture nor a recovery step for {age:.0f} s"
        for name, age in evidence.camera_ages.items()
        if age > limits.camera
    ]
    return tuple(found)


def _gist(found: Sequence[str]) -> list[str]:
    """Return complaints without their figures: one that only grows is no news."""
    return [re.sub(r"[0-9.]+ s\b", "", text) for text in found]


def _how(task: TaskState) -> str:
    if task.status is Status.DEGRADED:
        return f"degraded ({task.error})"
    return f"silent for {task.age:.0f} s" if task.status is Status.RUNNING and task.age > task.deadline else ""


class Watchdog:
    """Gathers the evidence every `interval` seconds and feeds systemd when there is no complaint."""

    def __init__(
        self,
        notifier: Notifier,
        *,
        interval: float,
        limits: Limits,
        gather: Callable[[], Awaitable[Evidence]],
        status: Callable[[], str],
    ) -> None:
        self._notifier = notifier
        self._interval = interval
        self._limits = limits
        self._gather = gather
        self._status = status
        self.complaints: tuple[str, ...] = ()

    def adopt(self, limits: Limits) -> None:
        """Judge by other limits from now on."""
        self._limits = limits

    async def run(self, pulse: Pulse) -> None:
        """Judge until cancelled."""
        while True:
            await self.step()
            pulse.beat()
            await asyncio.sleep(self._interval)

    async def step(self) -> None:
        """Judge once: feed, or say why not (once for each new complaint)."""
        found = complaints(await self._gather(), self._limits)
        if _gist(found) != _gist(self.complaints):
            for text in found:
                log.error("watchdog not fed", reason=text)
            if not found:
                log.info("watchdog fed again")
        self.complaints = found
        if not found:
            self._notifier.alive()
        self._notifier.status("; ".join(found) or self._status())
