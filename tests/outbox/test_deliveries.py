from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edged.model import DeliveryKind, Lane, State
from edged.outbox.claiming import NEXT
from edged.outbox.nouns import AlertRules, Notice, NoticeKind
from edged.outbox.policy import RECEIVER, Destinations, alert_drafts, clip_drafts, document_drafts, snapshot_drafts
from edged.outbox.store import open_outbox
from edged.wire.receipt import Proof
from tests.outbox.world import EVERYWHERE, SHA, HandClock, receipt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from edged.model import Delivery
    from edged.outbox.store import Outbox
    from edged.wire.receipt import Receipt
    from tests.outbox.world import Maker

TO_RECEIVER = Destinations(receiver=True)
RULES = AlertRules()


async def one(outbox: Outbox, make: Maker, destinations: Destinations = TO_RECEIVER) -> Delivery:
    """Enter an incident with one clip and return the clip's first delivery."""
    incident = await outbox.open_incident(make.incident(), (), RULES)
    clip = make.clip(incident)
    await outbox.add_clip(clip, clip_drafts(clip, destinations))
    return (await outbox.deliveries_for(clip.id))[0]


async def again(outbox: Outbox, delivery: Delivery) -> Delivery:
    """Return the delivery as the outbox has it now."""
    found = await outbox.delivery(delivery.id)
    assert found is not None
    return found


# ------------------------------------------------------------------------------------------------ claiming


async def test_value_decides_the_order(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """Snapshots go before clips, clips before documents, whatever was entered first; equals in the order of commit."""
    document = make.document()
    await outbox.add_document(document, document_drafts(document, TO_RECEIVER, priority=9))
    urgent = make.document()
    await outbox.add_document(urgent, document_drafts(urgent, TO_RECEIVER))
    subjects = []
    for _ in range(2):
        incident = await outbox.open_incident(make.incident(), (), RULES)
        clip, snapshot = make.clip(incident), make.snapshot(incident)
        await outbox.add_clip(clip, clip_drafts(clip, TO_RECEIVER))
        await outbox.add_snapshot(snapshot, snapshot_drafts(snapshot, TO_RECEIVER))
        subjects.append((snapshot.id, clip.id))
        clock.at += 7.0
    wanted = [*(s for s, _ in subjects), *(c for _, c in subjects), urgent.id, document.id]
    got = []
    while delivery := await outbox.next_delivery(Lane.BULK, 200.0):
        got.append(delivery.subject)
        await outbox.complete(delivery.id, None)
    assert got == wanted


async def test_lanes_busy_rows_closed_destinations_and_due_times(outbox: Outbox, make: Maker) -> None:
    """A claim takes only its lane's, only what is due, and neither what is under way nor what is for a closed door."""
    incident = make.incident()
    await outbox.open_incident(incident, alert_drafts(incident, Destinations(recipients=("a@example.org",))), RULES)
    clip = make.clip(incident)
    await outbox.add_clip(clip, clip_drafts(clip, Destinations(receiver=True, folders=("usb",))))
    upload, copy = await outbox.deliveries_for(clip.id)

    async def bulk(now: float = 100.0, **rest: Any) -> Delivery | None:
        return await outbox.next_delivery(Lane.BULK, now, **rest)

    assert await bulk() == upload
    assert await bulk(busy={upload.id}) == copy
    assert await bulk(closed={RECEIVER}) == copy
    assert await bulk(busy={copy.id}, closed={RECEIVER}) is None
    assert await outbox.next_due(Lane.BULK, busy={copy.id}, closed={RECEIVER}) is None
    await outbox.retry(upload.id, 130.0, "busy", costs=True)
    await outbox.retry(copy.id, 120.0, "unplugged", costs=False)
    assert await bulk(119.0) is None
    assert await outbox.next_due(Lane.BULK) == 120.0
    assert await bulk(120.0) == await again(outbox, copy)
    # the earlier due time goes first, though the other was entered first
    assert await bulk(140.0) == await again(outbox, copy)
    alert = await outbox.next_delivery(Lane.ALERT, 100.0)
    assert alert is not None
    assert alert.kind is DeliveryKind.ALERT


async def test_what_was_put_off_is_not_overtaken_for_ever(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """A retried clip that is due goes before a clip entered after that time."""
    old = await one(outbox, make)
    await outbox.retry(old.id, 105.0, "busy", costs=True)
    clock.at = 110.0
    new = await one(outbox, make)
    assert (await outbox.next_delivery(Lane.BULK, 110.0)) == await again(outbox, old)
    assert (await outbox.next_delivery(Lane.BULK, 110.0, busy=[old.id])) == new


async def test_a_claim_costs_the_same_however_many_rows_wait(outbox: Outbox, make: Maker) -> None:
    """Among 100,000 rows, half of them for a closed door, a claim runs as few SQLite instructions as among two."""
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    async def cost() -> int:
        steps[0] = 0
        found = await outbox.next_delivery(Lane.BULK, 1e9, closed={RECEIVER})
        assert found is not None
        return steps[0]

    await one(outbox, make, Destinations(receiver=True, folders=("usb",)))
    await outbox.database.read(lambda tx: tx.set_progress_handler(count, 1))
    few = await cost()
    await outbox.database.run(lambda tx: tx.execute(_MANY))
    assert (await outbox.backlog()).count == 100_002
    many = await cost()
    assert few < 1000
    assert many <= few + 20  # a deeper tree, not more rows


_MANY = f"""
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
    INSERT INTO deliveries (key, kind, lane, priority, destination, subject, size, state, due,
        created_wall, created_mono, created_boot, created_synced)
    SELECT 'key-' || n, 'clip', 'bulk', 5, iif(n % 2, '{RECEIVER}', 'folder:usb'), 'subject-' || n, 1000, 'pending', n,
        0, 0, (SELECT min(id) FROM boots), 1
    FROM numbers
"""


async def test_the_plan_of_a_claim_searches_one_index(outbox: Outbox) -> None:
    """SQLite's own plan of the claiming query is a search in the index made for it, and no sort."""
    plan = await outbox.database.read(
        lambda tx: [
            row["detail"]
            for row in tx.execute("EXPLAIN QUERY PLAN " + NEXT.format("AND id NOT IN (1)"), ("bulk", RECEIVER, 5))
        ]
    )
    assert plan == ["SEARCH deliveries USING INDEX deliveries_next (lane=? AND destination=? AND priority=?)"]


# ------------------------------------------------------------------------------------------------ outcomes

OUTCOMES: dict[str, Callable[[Outbox, int], Awaitable[object]]] = {
    "complete": lambda outbox, id_: outbox.complete(id_, None),
    "retry": lambda outbox, id_: outbox.retry(id_, 500.0, "busy", costs=True),
    "bury": lambda outbox, id_: outbox.bury(id_, "no such user"),
    "redrive": lambda outbox, id_: outbox.redrive(id_),
    "drop": lambda outbox, id_: outbox.drop(id_),
    "lose": lambda outbox, id_: outbox.lose(id_, "missing"),
}
TRANSITIONS = [
    ("", "complete", State.DONE),
    ("", "retry", State.PENDING),
    ("", "bury", State.DEAD),
    ("", "redrive", State.PENDING),
    ("", "drop", State.DROPPED),
    ("", "lose", State.DEAD),
    ("bury", "complete", State.DONE),  # the answer came after all
    ("bury", "retry", State.DEAD),
    ("bury", "redrive", State.PENDING),
    ("bury", "drop", State.DROPPED),
    ("complete", "retry", State.DONE),
    ("complete", "bury", State.DONE),
    ("complete", "redrive", State.DONE),
    ("complete", "drop", State.DONE),
    ("complete", "complete", State.DONE),
    ("drop", "redrive", State.DROPPED),
    ("drop", "complete", State.DROPPED),
    ("lose", "redrive", State.DEAD),  # nothing is left to send
]


@pytest.mark.parametrize(("before", "then", "state"), TRANSITIONS)
async def test_what_becomes_of_a_delivery(outbox: Outbox, make: Maker, before: str, then: str, state: State) -> None:
    """Each outcome leads to its state from where it may happen, and changes nothing elsewhere."""
    delivery = await one(outbox, make)
    if before:
        await OUTCOMES[before](outbox, delivery.id)
    await OUTCOMES[then](outbox, delivery.id)
    assert (await again(outbox, delivery)).state is state


async def test_only_refusals_cost_and_progress_renews(outbox: Outbox, make: Maker) -> None:
    """Attempts count what was said to cost; `renew` gives the budget back; the last error is kept until it is done."""
    delivery = await one(outbox, make)
    await outbox.retry(delivery.id, 1.0, "no answer", costs=False)
    await outbox.retry(delivery.id, 2.0, "503", costs=True)
    await outbox.retry(delivery.id, 3.0, "503 again", costs=True)
    found = await again(outbox, delivery)
    assert (found.attempts, found.due, found.last_error) == (2, 3.0, "503 again")
    await outbox.renew(delivery.id)
    assert (await again(outbox, delivery)).attempts == 0
    await outbox.complete(delivery.id, None)
    assert (await again(outbox, delivery)).last_error == ""


async def test_redriving_starts_afresh(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """A dead delivery that is driven again is due at once, with a whole budget and where its upload stood."""
    delivery = await one(outbox, make)
    await outbox.set_upload_url(delivery.id, "/files/1")
    await outbox.retry(delivery.id, 400.0, "503", costs=True)
    await outbox.bury(delivery.id, "507")
    clock.at = 150.0
    assert await outbox.redrive(delivery.id)
    found = await again(outbox, delivery)
    assert (found.state, found.due, found.attempts, found.upload_url) == (State.PENDING, 150.0, 0, "/files/1")


async def test_a_message_is_frozen_once(outbox: Outbox, make: Maker) -> None:
    """The first message is kept at every attempt and through death, and given up when it is delivered."""
    incident = make.incident()
    await outbox.open_incident(incident, alert_drafts(incident, EVERYWHERE), RULES)
    alert = (await outbox.deliveries_of(incident.id))[0]
    assert await outbox.freeze(alert.id, b"first") == b"first"
    assert await outbox.freeze(alert.id, b"second") == b"first"
    await outbox.bury(alert.id, "550")
    await outbox.redrive(alert.id)
    assert (await again(outbox, alert)).message == b"first"
    await outbox.complete(alert.id, None)
    assert (await again(outbox, alert)).message is None


@pytest.mark.parametrize(
    ("given", "degree", "proven"),
    [
        ({}, Proof.SIGNED, True),
        ({}, Proof.READBACK, True),
        ({}, Proof.CHECKSUM, True),
        ({}, Proof.CLAIMED, False),
        ({"sha256": "00" * 32}, Proof.SIGNED, False),
        ({"size": 999}, Proof.SIGNED, False),
    ],
)
async def test_only_a_receipt_about_the_very_bytes_proves(
    outbox: Outbox, make: Maker, given: dict[str, Any], degree: Proof, proven: bool
) -> None:
    """A claim, another digest or another size leave the file unproven, however strong the receipt's degree."""
    delivery = await one(outbox, make)
    proof: Receipt = receipt(delivery.key, proof=degree, **given)
    assert await outbox.complete(delivery.id, proof)
    assert (await again(outbox, delivery)).receipt == proof
    counts = await outbox.counts()
    assert (counts.proven, counts.sent) == ((1, 0) if proven else (0, 1))
    (file,) = await outbox.kept_files()
    assert (file.proven is not None) == proven


async def test_a_folder_s_copy_does_not_stand_in_for_the_receiver(outbox: Outbox, make: Maker) -> None:
    """A proven copy in a folder makes a file proven only where no receiver was to have it."""
    delivery = await one(outbox, make, Destinations(receiver=True, folders=("usb",)))
    upload, copy = await outbox.deliveries_for(delivery.subject)
    alone = await one(outbox, make, Destinations(folders=("usb",)))
    for each in (copy, alone):
        await outbox.complete(each.id, receipt(each.key, proof=Proof.READBACK))
    both, only = await outbox.kept_files()
    assert (both.proven, only.proven) == (None, make.now())
    await outbox.complete(upload.id, receipt(upload.key))
    assert (await outbox.kept_files())[0].proven == make.now()


async def test_a_lost_file_is_entered_once(outbox: Outbox, make: Maker) -> None:
    """All deliveries of the file die together, and the ledger has one loss, though both uploads found it missing."""
    delivery = await one(outbox, make, Destinations(receiver=True, folders=("usb",)))
    both = await outbox.deliveries_for(delivery.subject)
    assert [await outbox.lose(each.id, "missing from the disk") for each in both] == [True, False]
    assert {each.state for each in await outbox.deliveries_for(delivery.subject)} == {State.DEAD}
    (loss,) = await outbox.losses()
    assert (loss.what, loss.name, loss.bytes, loss.reason) == ("clip", "part-001.mp4", 1000, "missing from the disk")
    assert (await outbox.counts()).deleted == 1


async def test_a_missing_file_that_is_proven_elsewhere_is_no_loss(outbox: Outbox, make: Maker) -> None:
    """The open copy is dropped, and the ledger stays empty."""
    delivery = await one(outbox, make, Destinations(receiver=True, folders=("usb",)))
    upload, copy = await outbox.deliveries_for(delivery.subject)
    await outbox.complete(upload.id, receipt(upload.key))
    assert not await outbox.lose(copy.id, "missing from the disk")
    assert (await again(outbox, copy)).state is State.DROPPED
    assert await outbox.losses() == ()


async def test_dropping_is_a_loss_that_its_person_knows_of(outbox: Outbox, make: Maker) -> None:
    """The loss is in the ledger with the destination, and nobody is told of it again."""
    delivery = await one(outbox, make)
    assert await outbox.drop(delivery.id)
    (loss,) = await outbox.losses()
    assert (loss.what, loss.name) == ("clip", delivery.key)
    assert "receiver" in loss.reason
    assert await outbox.tell_losses(EVERYWHERE.people) == 0


async def test_manual_uploads_wait_for_their_release(outbox: Outbox, make: Maker) -> None:
    """With upload = "manual" a clip is held, not claimed, until a person drives it; snapshots go on their own."""
    manual = Destinations(receiver=True, manual=True)
    delivery = await one(outbox, make, manual)
    assert delivery.state is State.HELD
    assert await outbox.next_delivery(Lane.BULK, 1e9) is None
    assert (await outbox.counts()).held == 1
    assert await outbox.redrive(delivery.id)
    assert await outbox.next_delivery(Lane.BULK, 1e9) == await again(outbox, delivery)
    snapshot = make.snapshot(make.incident())
    assert [draft.held for draft in snapshot_drafts(snapshot, manual)] == [False]


# ------------------------------------------------------------------------------------------- crash and reboot


async def test_a_crash_while_sending_is_counted_as_possibly_sent(
    state_dir: Path, make: Maker, clock: HandClock
) -> None:
    """The mark is durable: a process that died after it counts one attempt of unknown outcome, the next one none."""
    before = await open_outbox(state_dir / "outbox.db", clock)
    delivery = await one(before, make)
    await before.mark_sending(delivery.id)
    await before.close()
    for _ in range(2):
        after = await open_outbox(state_dir / "outbox.db", clock)
        assert (await again(after, delivery)).possibly_sent == 1
        await after.close()


async def test_a_known_outcome_clears_the_mark(state_dir: Path, make: Maker, clock: HandClock) -> None:
    """A refusal says that it was not sent; a missing answer counts at once and not again after a crash."""
    before = await open_outbox(state_dir / "outbox.db", clock)
    refused, unanswered = await one(before, make), await one(before, make)
    for delivery, possibly in ((refused, False), (unanswered, True)):
        await before.mark_sending(delivery.id)
        await before.retry(delivery.id, 200.0, "said so", costs=not possibly, possibly=possibly)
    await before.close()
    after = await open_outbox(state_dir / "outbox.db", clock)
    assert (await again(after, refused)).possibly_sent == 0
    assert (await again(after, unanswered)).possibly_sent == 1
    await after.close()


@pytest.mark.parametrize(("reboot", "due"), [(False, 900.0), (True, 0.0)])
async def test_due_times_end_with_their_boot(
    state_dir: Path, make: Maker, clock: HandClock, reboot: bool, due: float
) -> None:
    """A restart keeps due times; after a reboot, when their clock is gone, everything is due at once."""
    before = await open_outbox(state_dir / "outbox.db", clock)
    delivery = await one(before, make)
    await before.retry(delivery.id, 900.0, "busy", costs=True)
    await before.close()
    if reboot:
        clock.reboot(trusted=True)
    after = await open_outbox(state_dir / "outbox.db", clock)
    assert (await again(after, delivery)).due == due
    assert (await after.next_delivery(Lane.BULK, clock.at) is not None) == reboot
    await after.close()


# ------------------------------------------------------------------------------------------------- digests


async def alerts(outbox: Outbox, make: Maker, count: int) -> list[Delivery]:
    """Enter incidents of as many cameras and return the first alert of each."""
    found = []
    for number in range(count):
        incident = make.incident(f"camera-{number}")
        await outbox.open_incident(incident, alert_drafts(incident, EVERYWHERE), RULES)
        found.append((await outbox.deliveries_of(incident.id))[0])
    return found


async def test_a_digest_takes_the_others_along(outbox: Outbox, make: Maker) -> None:
    """Folded alerts are not claimed any more, and done with their carrier."""
    first, second, third = await alerts(outbox, make, 3)
    assert await outbox.waiting_alerts(first.destination) == (first, second, third)
    assert await outbox.fold(first.id, [second.id, third.id], b"digest")
    assert await outbox.waiting_alerts(first.destination) == ()
    carrier = await outbox.next_delivery(Lane.ALERT, 100.0, closed={"mail:b@example.org"})
    assert carrier is not None
    assert (carrier.id, carrier.message) == (first.id, b"digest")
    assert await outbox.next_delivery(Lane.ALERT, 100.0, busy=[first.id], closed={"mail:b@example.org"}) is None
    await outbox.complete(first.id, None)
    assert {(await again(outbox, each)).state for each in (first, second, third)} == {State.DONE}


async def test_a_dead_digest_comes_back_whole(outbox: Outbox, make: Maker) -> None:
    """Driving one of its alerts again drives the digest; dropping the digest drops all that it tells."""
    first, second = await alerts(outbox, make, 2)
    await outbox.fold(first.id, [second.id], b"digest")
    await outbox.bury(first.id, "550")
    assert {(await again(outbox, each)).state for each in (first, second)} == {State.DEAD}
    assert await outbox.redrive(second.id)
    assert {(await again(outbox, each)).state for each in (first, second)} == {State.PENDING}
    claimed = await outbox.next_delivery(Lane.ALERT, 1e9, closed={"mail:b@example.org"})
    assert claimed is not None
    assert claimed.id == first.id
    await outbox.drop(first.id)
    assert len(await outbox.losses()) == 2


@pytest.mark.parametrize("spoilt", ["frozen", "sent", "done", "sending"])
async def test_a_digest_takes_in_nothing_that_was_tried(outbox: Outbox, make: Maker, spoilt: str) -> None:
    """One alert that somebody may have seen leaves the whole digest undone."""
    first, second = await alerts(outbox, make, 2)
    if spoilt == "frozen":
        await outbox.freeze(second.id, b"own")
    elif spoilt == "sent":
        await outbox.retry(second.id, 1.0, "no answer", costs=False, possibly=True)
    elif spoilt == "sending":
        await outbox.mark_sending(second.id)
    else:
        await outbox.complete(second.id, None)
    before = await again(outbox, second)
    assert not await outbox.fold(first.id, [second.id], b"digest")
    assert (await again(outbox, first)).message is None
    assert await again(outbox, second) == before


# ------------------------------------------------------------------------------------------------ listings


async def test_counts_and_backlog_tell_the_states_apart(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """Waiting, sent, proven, dead and dropped are counted apart; the backlog has the waiting bytes and their age."""
    made = []
    for _ in range(6):
        made.append(await one(outbox, make))
        clock.at += 1.0
    await outbox.complete(made[0].id, receipt(made[0].key))
    await outbox.complete(made[1].id, receipt(made[1].key, proof=Proof.CLAIMED))
    await outbox.bury(made[2].id, "413")
    await outbox.drop(made[3].id)
    counts = await outbox.counts()
    assert (counts.waiting, counts.proven, counts.sent, counts.dead, counts.dropped) == (2, 1, 1, 1, 1)
    backlog = await outbox.backlog(RECEIVER)
    assert (backlog.count, backlog.bytes) == (2, 2000)
    assert backlog.oldest == made[4].created
    assert (await outbox.backlog("folder:usb")).oldest is None
    page = await outbox.deliveries((State.PENDING,), limit=1)
    assert [each.id for each in page] == [made[5].id]
    assert [each.id for each in await outbox.deliveries((State.PENDING,), before=page[0].id)] == [made[4].id]
    assert [await outbox.is_waiting(destination) for destination in (RECEIVER, "folder:usb")] == [True, False]
    assert await outbox.is_waiting()
    for last in made[4:]:
        await outbox.bury(last.id, "413")
    assert not await outbox.is_waiting(RECEIVER)
    assert not await outbox.is_waiting()


async def test_the_sequence_rises_with_every_commit_of_something_new(outbox: Outbox, make: Maker) -> None:
    """Incidents and deliveries raise it, outcomes leave it."""
    numbers = [await outbox.sequence()]
    delivery = await one(outbox, make)
    numbers.append(await outbox.sequence())
    await outbox.complete(delivery.id, None)
    numbers.append(await outbox.sequence())
    assert numbers == [0, 2, 2]


async def test_a_notice_is_entered_once(outbox: Outbox, make: Maker) -> None:
    """A notice with a known id raises no second alert."""
    notice = Notice(id=make.id(), kind=NoticeKind.SYSTEM, since=make.now(), text="Camera door: no pictures.")
    assert await outbox.add_notice(notice, EVERYWHERE.people)
    assert not await outbox.add_notice(replace(notice, text="other"), EVERYWHERE.people)
    assert await outbox.notice(notice.id) == notice
    assert len(await outbox.deliveries_for(notice.id)) == len(EVERYWHERE.people)


async def test_files_are_found_by_their_id(outbox: Outbox, make: Maker) -> None:
    """What a delivery carries comes back as it was entered, with its path."""
    incident = await outbox.open_incident(make.incident(), (), RULES)
    clip, snapshot, document = make.clip(incident), make.snapshot(incident), make.document()
    await outbox.add_clip(clip, clip_drafts(clip, TO_RECEIVER))
    await outbox.add_snapshot(snapshot, ())
    await outbox.add_document(document, ())
    for each in (clip, snapshot, document):
        assert await outbox.file(each.id) == each
    assert await outbox.file("f" * 32) is None
    (upload,) = await outbox.deliveries_for(clip.id)
    assert (upload.path, upload.sha256, upload.size) == (clip.path, SHA, 1000)
