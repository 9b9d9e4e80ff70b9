"""A stage for the recorder: a real outbox on the disk, virtual time, a camera and a detector that follow a script."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import av

from edged.base.pulse import Pulse
from edged.model import Event, EventKind, IncidentKind
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import Destinations
from edged.outbox.spool import Spool
from edged.outbox.store import Outbox, open_outbox
from edged.record.loop import Recorder
from edged.record.settings import RecordSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.model import Incident, Packet

DESTINATIONS = Destinations(recipients=("a@example.org", "b@example.org"), receiver=True)
INCIDENT = "a" * 32
OTHER = "b" * 32


@dataclass(kw_only=True)
class Stage:
    """What a test works with; `entered` holds the incidents that the recorder told of."""

    clock: Clock
    spool: Spool
    outbox: Outbox
    recorder: Recorder
    task: asyncio.Task[None]
    entered: list[Incident] = field(default_factory=list)

    async def play(self, units: Iterable[Packet]) -> None:
        """Offer each packet at its time."""
        for unit in units:
            await self.until(unit.mono)
            self.recorder.offer(unit)

    async def until(self, mono: float) -> None:
        """Let time pass until `mono`."""
        await asyncio.sleep(max(0.0, mono - self.clock.mono()))

    async def emit(self, kind: EventKind, mono: float, **other: object) -> None:
        """Hand a transition of INCIDENT over, as detect does."""
        values: dict[str, object] = {"incident": INCIDENT, "cause": IncidentKind.MOTION, "zones": ("gate",)}
        values |= {"best": mono, "score": 1.0, "regions": ()} | other
        await self.recorder.handle(Event(kind=kind, camera="door", mono=mono, **values))  # type: ignore[arg-type]

    async def stop(self) -> None:
        """Stop as the supervisor does: the recorder is asked to, while it runs, and ends by itself."""
        await self.recorder.stop()
        await self.task


@asynccontextmanager
async def stage(
    clock: Clock,
    state: Path,
    *,
    settings: RecordSettings | None = None,
    rules: AlertRules | None = None,
    alerting: Callable[[Incident], str] = lambda _: "",
    has_room: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Stage]:
    """Open the outbox in `state` and run a recorder for the camera "door"."""
    spool = Spool(state)
    spool.prepare()
    outbox = await open_outbox(spool.database, clock)
    entered: list[Incident] = []
    recorder = Recorder(
        "door",
        settings or RecordSettings(),
        outbox=outbox,
        spool=spool,
        clock=clock,
        destinations=DESTINATIONS,
        rules=rules or AlertRules(),
        alerting=alerting,
        has_room=has_room,
        on_commit=entered.append,
    )
    task = asyncio.ensure_future(recorder.run(Pulse("record", 60.0, clock)))
    try:
        yield Stage(clock=clock, spool=spool, outbox=outbox, recorder=recorder, task=task, entered=entered)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await outbox.close()


def shown(path: Path) -> int:
    """Return how many pictures a file shows."""
    with av.open(str(path), "r") as file:
        return sum(1 for _ in file.decode(video=0))
