"""Too much at once: a hundred incidents in a minute, ten thousand deliveries, a receiver that takes its time.

What a claim costs with 100,000 rows is in tests/outbox/test_deliveries.py; the memory and the loop's lag of the real
program are the figures of `./scripts/bench load`.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import tracemalloc
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

from edged.base.clock import stamp
from edged.base.errors import NoAnswerError
from edged.base.pulse import Pulse
from edged.model import Incident, IncidentKind, Lane
from edged.outbox.digests import WAITING
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import RECEIVER, Destinations, alert_drafts, clip_drafts, document_drafts
from edged.push.loop import LaneWorker
from edged.push.settings import PushSettings
from edged.push.transfers import Transfers
from tests.faults.office import ME, YOU, Office, office, open_relay, told
from tests.mailbox import serve_mail
from tests.outbox.world import Maker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.model import Delivery
    from edged.outbox.store import Outbox
    from edged.push.transfers import Transfer
    from tests.mailbox import Mail
    from tests.simloop import SimClock, Simulate

HOUR = 3600.0

MANY = f"""
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)
    INSERT INTO deliveries (key, kind, lane, priority, destination, subject, size, state, due,
        created_wall, created_mono, created_boot, created_synced)
    SELECT 'key-' || n, 'clip', 'bulk', 5, '{RECEIVER}', 'subject-' || n, 1000, 'pending', 0,
        0, 0, (SELECT min(id) FROM boots), 1
    FROM numbers
"""


class SlowReceiver:
    """Takes a file in `seconds`, or never answers; counts how many it is given at once."""

    def __init__(self, seconds: float, *, mute: bool = False) -> None:
        self.taken: list[str] = []
        self.most = 0
        self._seconds = seconds
        self._mute = mute
        self._now = 0

    async def deliver(self, delivery: Delivery, _: Transfer) -> None:
        """Take a delivery."""
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await asyncio.sleep(self._seconds)
        finally:
            self._now -= 1
        if self._mute:
            raise NoAnswerError("no answer in time")
        self.taken.append(str(delivery.kind))


@asynccontextmanager
async def uploading(outbox: Outbox, receiver: SlowReceiver, clock: Clock) -> AsyncIterator[LaneWorker]:
    """Work the bulk lane off, two at a time as by default; what is taken is done."""

    async def deliver(delivery: Delivery, transfer: Transfer) -> None:
        await receiver.deliver(delivery, transfer)
        await outbox.complete(delivery.id, None)

    worker = LaneWorker(
        Lane.BULK,
        deliver,
        outbox=outbox,
        transfers=Transfers(),
        settings=PushSettings(),
        parallel=2,
        clock=clock,
        rng=Random(4),
    )
    working = asyncio.create_task(worker.run(Pulse("uploads", 300.0, clock)))
    try:
        yield worker
    finally:
        working.cancel()
        await asyncio.wait((working,))


async def crowd(shop: Office, count: int, rules: AlertRules, *, every: float) -> list[Incident]:
    """Enter incidents of four cameras with two zones each, in turn."""
    entered = []
    for number in range(count):
        incident = Incident(
            id=secrets.token_hex(16),
            camera=f"cam{number % 4}",
            kind=IncidentKind.MOTION,
            zones=(f"zone{number % 8 // 4}",),
            opened=stamp(shop.clock),
        )
        entered.append(await shop.outbox.open_incident(incident, alert_drafts(incident, shop.to), rules))
        await asyncio.sleep(every)
    return entered


def counted(mails: list[Mail], person: str) -> int:
    """Return how many incidents the summaries to `person` count."""
    subjects = [str(mail.message["Subject"]) for mail in mails if person in mail.recipients]
    return sum(int(subject.split(" ", 1)[0]) for subject in subjects if " more since " in subject)


def test_a_hundred_incidents_in_a_minute_are_each_told_once(simulate: Simulate, tmp_path: Path) -> None:
    """Eight alerts go out at once, the other 92 are counted in eight summaries: sixteen mails for each person."""

    async def act(clock: SimClock) -> None:
        async with serve_mail() as relay, office(tmp_path, clock, open_relay(relay), to=(ME, YOU)) as shop:
            entered = await crowd(shop, 100, AlertRules(cooldown=60.0), every=0.6)
            await shop.settled()
            first = [incident.id for incident in entered if incident.held == ""]
            assert sorted(told(relay, ME)) == sorted(first)
            assert len(first) == 8
            await asyncio.sleep(60.0)
            await shop.outbox.tell_ended_windows(shop.to.people)
            await shop.settled()
            for person in (ME, YOU):
                assert len(told(relay, person)) + counted(relay.mails, person) == 100
                assert len([mail for mail in relay.mails if person in mail.recipients]) == 16

    simulate(act)


def test_five_hundred_alerts_after_an_outage_are_ten_mails(simulate: Simulate, tmp_path: Path) -> None:
    """Late alerts go out fifty to a mail, oldest first, and each incident is in one of them."""

    async def act(clock: SimClock) -> None:
        async with serve_mail() as relay:
            async with office(tmp_path, clock, to=(ME,)) as shop:
                entered = await crowd(shop, 500, AlertRules(cooldown=0.0), every=0.0)
                await asyncio.sleep(HOUR)
            async with office(tmp_path, clock, open_relay(relay), to=(ME,)) as shop:
                await shop.settled(300.0)
        assert told(relay, ME) == [incident.id for incident in entered]
        assert len(relay.mails) == 10

    simulate(act)


def test_what_waits_for_a_digest_is_found_without_a_sort(simulate: Simulate, tmp_path: Path) -> None:
    """However many alerts wait, the oldest fifty are the first fifty entries of an index."""

    async def act(clock: SimClock) -> None:
        async with office(tmp_path, clock) as shop:
            plan = await shop.outbox.database.read(
                lambda tx: [row["detail"] for row in tx.execute(f"EXPLAIN QUERY PLAN {WAITING}", (f"mail:{ME}", 50))]
            )
        assert plan[0] == "SEARCH deliveries USING INDEX deliveries_next (lane=? AND destination=?)"
        assert not [step for step in plan if "TEMP B-TREE" in step]

    simulate(act)


def test_an_alert_overtakes_ten_thousand_clips(simulate: Simulate, tmp_path: Path) -> None:
    """While clips wait at a receiver that takes a minute for each, an alert is told within a second."""

    async def act(clock: SimClock) -> None:
        receiver = SlowReceiver(60.0)
        async with (
            serve_mail() as relay,
            office(tmp_path, clock, open_relay(relay), to=(ME,)) as shop,
            uploading(shop.outbox, receiver, clock),
        ):
            await shop.incidents(1)
            await shop.outbox.database.run(lambda tx: tx.execute(MANY))
            for _ in range(5):
                (incident,) = await shop.incidents(1)
                assert told(relay, ME)[-1] == incident.id
                await asyncio.sleep(100.0)
            assert receiver.most == 2
            assert 10 <= len(receiver.taken) <= 20

    simulate(act)


def test_a_long_outage_with_ten_thousand_waiting_costs_no_memory(simulate: Simulate, tmp_path: Path) -> None:
    """What is set aside is bounded by the gate, not by how much waits or how long."""

    async def act(clock: SimClock) -> None:
        mute = SlowReceiver(0.5, mute=True)
        async with office(tmp_path, clock, to=()) as shop, uploading(shop.outbox, mute, clock):
            await shop.incidents(1)
            await shop.outbox.database.run(lambda tx: tx.execute(MANY))
            await asyncio.sleep(HOUR / 4)
            tracemalloc.start()
            try:
                await asyncio.sleep(60.0)
                before, _ = tracemalloc.get_traced_memory()
                await asyncio.sleep(HOUR)
                after, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert after - before < 60_000
            assert (await shop.outbox.counts()).waiting == 10_000

    simulate(act)


def test_a_document_does_not_starve_behind_clips(simulate: Simulate, tmp_path: Path) -> None:
    """On a line that never catches up with its clips, a document goes once it has waited as long as they do."""

    async def act(clock: SimClock) -> None:
        receiver, to = SlowReceiver(1200.0), Destinations(receiver=True)
        async with office(tmp_path, clock) as shop:
            make = Maker(clock=clock, root=shop.outbox.root)  # type: ignore[arg-type] # it has a time of its own
            incident = await shop.outbox.open_incident(make.incident(), (), AlertRules())
            numbers = itertools.count(1)

            async def record() -> None:
                clip = make.clip(incident, next(numbers))
                await shop.outbox.add_clip(clip, clip_drafts(clip, to))

            for _ in range(6):
                await record()
            document = make.document()
            await shop.outbox.add_document(document, document_drafts(document, to))
            async with uploading(shop.outbox, receiver, clock):
                for _ in range(14 * 8):  # eight an hour, of which six can be sent
                    await asyncio.sleep(HOUR / 8)
                    await record()
                    if clock.mono() - document.added.mono < 11 * HOUR:
                        assert "document" not in receiver.taken
        assert "document" in receiver.taken
        assert len(receiver.taken) < 85

    simulate(act)
