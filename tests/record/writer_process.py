"""A process that records until it is killed: python -m tests.record.writer_process STATE GOP BFRAMES."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from edged.base.clock import SystemClock
from edged.base.config import Duration
from edged.base.log import configure
from edged.model import Event, EventKind, IncidentKind
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import Destinations
from edged.outbox.spool import Spool
from edged.outbox.store import open_outbox
from edged.record.loop import Recorder
from edged.record.settings import RecordSettings
from tests.record.footage import RATE, packets


async def main(state: Path, gop: int, bframes: int) -> None:
    """Open an incident and record at thirty times the real speed.

    Says on stdout when the row is committed, and then how many packets went to the tape.
    """
    configure(style="text", level="warning")
    clock = SystemClock()
    spool = Spool(state)
    spool.prepare()
    outbox = await open_outbox(spool.database, clock)
    recorder = Recorder(
        "door",
        RecordSettings(part=Duration(6)),
        outbox=outbox,
        spool=spool,
        clock=clock,
        destinations=Destinations(recipients=("a@example.org",), receiver=True),
        rules=AlertRules(),
        on_commit=lambda incident: print(incident.id, flush=True),  # noqa: T201 -- the parent waits for it
    )
    units = packets(seconds=60, gop=gop, bframes=bframes, start=clock.mono())
    for unit in units[: 3 * RATE]:
        recorder.offer(unit)
    opening = Event(
        kind=EventKind.OPENED,
        incident="a" * 32,
        camera="door",
        cause=IncidentKind.MOTION,
        zones=(),
        mono=units[2 * RATE].mono,
        best=units[2 * RATE].mono,
        score=1.0,
        regions=(),
    )
    await recorder.handle(opening)
    await recorder.step()
    for written, unit in enumerate(units[3 * RATE :], start=3 * RATE + 1):
        recorder.offer(unit)
        await asyncio.sleep(1 / RATE / 30)
        await recorder._record()
        await recorder._entries.work()
        print(written, flush=True)  # noqa: T201
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
