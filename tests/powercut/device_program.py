"""A device that works for a while: python -m tests.powercut.device_program STATE INCIDENTS BOOT.

In virtual time: the real recorder, outbox and upkeep on the real disk, with deliveries that succeed at once. Each
promise is said after it was made: the product's own log lines on stderr, the rest as JSON on stdout.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edged.base.clock import stamp
from edged.base.config import Duration, Size
from edged.base.log import configure
from edged.model import DeliveryKind, EventKind, Gap, Lane
from edged.outbox.loop import TICK, OutboxLoop
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import document_drafts
from edged.outbox.settings import OutboxSettings
from edged.outbox.spool import Spool
from edged.outbox.store import open_outbox
from edged.record.salvage import salvage
from edged.record.settings import RecordSettings
from edged.wire.receipt import Proof, Receipt
from tests.record.footage import packets
from tests.record.stage import DESTINATIONS, Stage, stage
from tests.simloop import NOON, SimClock, run_simulated

if TYPE_CHECKING:
    from edged.model import Delivery

# upkeep comes round often, and what is proven goes at once, so that each of its works is among the operations
UPKEEP = OutboxSettings(
    delete_after_proof=True,
    sweep_interval=Duration(30.0),
    backup_interval=Duration(45.0),
    warn_free=Size(1),
    critical_free=Size(1),
)
RECORDING = RecordSettings(pre_roll=Duration(2), margin=Duration(1), part=Duration(4))


def say(**promise: object) -> None:
    """Say on stdout what was promised."""
    print(json.dumps(promise), flush=True)  # noqa: T201 -- the recorder reads it


async def work(clock: SimClock, state: Path, incidents: int) -> None:
    """Start as a device does, and let incidents come and go."""
    spool = Spool(state)
    spool.prepare()
    outbox = await open_outbox(spool.database, clock)
    await salvage(outbox, spool, DESTINATIONS)
    await outbox.close()
    with spool.lock():
        async with stage(clock, state, settings=RECORDING, rules=AlertRules(cooldown=0.0)) as on:
            loop = OutboxLoop(on.outbox, spool, settings=UPKEEP, destinations=DESTINATIONS, clock=clock)
            for number in range(incidents):
                await happen(on, f"{clock.boot()}-{number}".encode().hex().ljust(32, "0")[:32])
                if number % 2:  # every other time the line is down for a while
                    await deliver(on, Lane.ALERT)
                    await deliver(on, Lane.BULK)
                await look_after(on, state, number)
                await loop.step()
                await asyncio.sleep(TICK)
            await on.stop()


async def happen(on: Stage, incident: str) -> None:
    """Let one incident of two parts happen."""
    begin = on.clock.mono()
    playing = asyncio.ensure_future(on.play(packets(seconds=9, start=begin)))
    await on.until(begin + 3.0)
    await on.emit(EventKind.OPENED, begin + 2.5, incident=incident)
    await on.until(begin + 5.0)
    await on.emit(EventKind.EXTENDED, begin + 4.5, incident=incident, zones=("gate", "yard"), score=3.0)
    await on.until(begin + 7.0)
    await on.emit(EventKind.CLOSED, begin + 6.0, incident=incident, keep_until=begin + 8.0)
    await playing
    while on.recorder.incident is not None or on.recorder.waiting:
        await asyncio.sleep(0.2)


async def deliver(on: Stage, lane: Lane) -> None:
    """Deliver what waits in a lane, as the lanes' workers do."""
    while (delivery := await on.outbox.next_delivery(lane, on.clock.mono())) is not None:
        if delivery.kind is DeliveryKind.ALERT:
            await on.outbox.freeze(delivery.id, b"From: a device\r\n\r\nSomething moved.\r\n" * 20)
            await on.outbox.mark_sending(delivery.id)
            say(sending=delivery.key)
            await on.outbox.complete(delivery.id, None)
        else:
            await on.outbox.set_upload_url(delivery.id, f"/files/{delivery.key}")
            await on.outbox.complete(delivery.id, receipt_for(delivery))
        say(delivered=delivery.key)


def receipt_for(delivery: Delivery) -> Receipt:
    """Return the receiver's proof for a file."""
    return Receipt(
        key=delivery.key,
        size=delivery.size,
        sha256=delivery.sha256 or "",
        proof=Proof.SIGNED,
        issued=NOON,
        receiver="hq",
        signature="00",
    )


async def look_after(on: Stage, state: Path, number: int) -> None:
    """Take a document in, and enter a gap."""
    source = state.with_name("manual.txt")
    source.write_bytes(b"a page of text\n" * 100 * (number + 1))
    document = await asyncio.to_thread(on.spool.take_document, source, on.clock)
    await on.outbox.add_document(document, document_drafts(document, DESTINATIONS))
    say(document=document.id)
    gap = await on.outbox.open_gap(Gap(camera="door", start=stamp(on.clock), end=None, reason="cable pulled"))
    await on.outbox.close_gap(gap, stamp(on.clock))
    say(gap=gap)


def main() -> None:
    """Run from the command line."""
    state, incidents, boot = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    configure(style="json", level="debug")
    run_simulated(lambda clock: work(clock, state, incidents), wall_start=NOON + 3600.0 * boot, boot=f"boot-{boot}")


if __name__ == "__main__":
    main()
