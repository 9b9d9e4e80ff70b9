from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edged.base.clock import stamp
from edged.model import Gap, Loss
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import clip_drafts
from edged.outbox.store import open_outbox
from tests.outbox.world import EVERYWHERE, HandClock

if TYPE_CHECKING:
    from pathlib import Path

    from edged.outbox.store import Outbox
    from tests.outbox.world import Maker

RULES = AlertRules()


async def test_an_incident_comes_back_as_it_went_in(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """Zones in order of appearance, times with their boot, and the end once."""
    incident = await outbox.open_incident(make.incident(), (), RULES)
    await outbox.extend_incident(incident.id, ["street", "yard", "gate"])
    clock.at += 20.0
    assert await outbox.close_incident(incident.id, make.now(), recovered=True)
    clock.at += 20.0
    assert not await outbox.close_incident(incident.id, make.now())
    wanted = replace(
        incident,
        zones=("yard", "street", "gate"),
        closed=replace(incident.opened, wall=incident.opened.wall + 20.0, mono=120.0),
        recovered=True,
    )
    assert await outbox.incident(incident.id) == wanted


async def test_open_incidents_and_pages(outbox: Outbox, make: Maker) -> None:
    """Open ones oldest first; the listing newest first, page by page."""
    made = [await outbox.open_incident(make.incident(f"c{n}"), (), RULES) for n in range(5)]
    await outbox.close_incident(made[1].id, make.now())
    assert [each.id for each in await outbox.unclosed_incidents()] == [made[n].id for n in (0, 2, 3, 4)]
    first = await outbox.incidents(limit=2)
    assert [each.id for each in first] == [made[4].id, made[3].id]
    assert [each.id for each in await outbox.incidents(2, first[-1].id)] == [made[2].id, made[1].id]
    assert await outbox.incidents(2, "f" * 32) == ()


async def test_extending_what_is_unknown_does_nothing(outbox: Outbox) -> None:
    """An id that is not there is passed over."""
    await outbox.extend_incident("f" * 32, ["yard"])
    assert await outbox.incident("f" * 32) is None


async def test_an_incident_and_its_first_snapshot_are_one_commit(outbox: Outbox, make: Maker) -> None:
    """The snapshot's row is there with the incident, before any other call."""
    incident = make.incident()
    snapshot = make.snapshot(incident)
    await outbox.open_incident(incident, (), RULES, snapshot)
    assert outbox.commits == 1
    assert await outbox.snapshots_of(incident.id) == (snapshot,)


async def test_parts_in_order_and_once(outbox: Outbox, make: Maker) -> None:
    """Parts come in the order of their numbers; a part with a known id or number is not entered again."""
    incident = await outbox.open_incident(make.incident(), (), RULES)
    second, first = make.clip(incident, 2), make.clip(incident, 1)
    for clip in (second, first):
        assert await outbox.add_clip(clip, clip_drafts(clip, EVERYWHERE))
    assert not await outbox.add_clip(first, clip_drafts(first, EVERYWHERE))
    twin = make.clip(incident, 1)
    assert not await outbox.add_clip(twin, clip_drafts(twin, EVERYWHERE))
    assert await outbox.clips_of(incident.id) == (first, second)
    assert len(await outbox.deliveries_of(incident.id)) == 4


async def test_an_imported_incident_alerts_nobody(outbox: Outbox, make: Maker) -> None:
    """It is entered as its sidecar has it, opens no cool-down, and a known one is left alone."""
    incident = replace(make.incident(), held="cooldown", alerting=False, closed=make.now())
    assert await outbox.import_incidents([incident], None, ()) == 1
    assert await outbox.import_incidents([replace(incident, camera="other")], None, ()) == 0
    assert await outbox.incident(incident.id) == incident
    assert await outbox.deliveries() == ()
    assert await outbox.next_window_end() is None


# --------------------------------------------------------------------------------------------- set clocks


async def test_a_clock_set_later_corrects_its_boot(state_dir: Path, make: Maker, clock: HandClock) -> None:
    """Untrusted times of this boot move to the truth, those of other boots and trusted ones stay; it happens once."""
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    trusted = await outbox.open_incident(make.incident("a"), (), RULES)
    await outbox.close()
    clock.reboot(trusted=False, wall=0.0)
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    lost = await outbox.open_incident(make.incident("b"), (), RULES)
    await outbox.close()
    clock.reboot(trusted=False, wall=1000.0)
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    early = await outbox.open_incident(make.incident("c"), (), RULES)
    clock.at += 50.0
    clock.ahead, clock.trusted = 1_780_000_000.0, True
    assert await outbox.correct_clock(stamp(clock))
    clock.at += 50.0
    clock.ahead += 5.0  # a later step is a drift of the wall, no second correction
    assert not await outbox.correct_clock(stamp(clock))
    later = await outbox.open_incident(make.incident("d"), (), RULES)
    assert await outbox.incident(later.id) == later
    assert await outbox.incident(trusted.id) == trusted
    assert await outbox.incident(lost.id) == lost
    assert await outbox.incident(early.id) == replace(
        early, opened=replace(early.opened, wall=1_780_000_000.0 + early.opened.mono, synced=True)
    )
    (wall,) = await outbox.database.read(
        lambda tx: tx.execute("SELECT opened_wall FROM incidents WHERE id = ?", (early.id,)).fetchone()
    )
    assert wall == early.opened.wall  # the original is kept
    await outbox.close()


# ------------------------------------------------------------------------------------------------ ledgers


@pytest.mark.parametrize("meanwhile", [False, True], ids=["told before", "ended while it was told"])
async def test_a_gap_is_reported_when_it_begins_and_again_when_it_ends(
    outbox: Outbox, make: Maker, clock: HandClock, *, meanwhile: bool
) -> None:
    """Its end is reported though its beginning was, also when it ended while a heartbeat told of the beginning."""
    gap = Gap(camera="door", start=make.now(), end=None, reason="no frames")
    number = await outbox.open_gap(gap)
    (told,) = await outbox.unreported_gaps()
    assert (told.id, told.gap) == (number, gap)
    clock.at += 9.0
    if meanwhile:
        await outbox.close_gap(number, make.now())
        await outbox.report_gaps([told])
    else:
        await outbox.report_gaps([told])
        assert await outbox.unreported_gaps() == ()
        await outbox.close_gap(number, make.now())
    (ended,) = await outbox.unreported_gaps()
    assert ended.gap == replace(gap, end=make.now())
    await outbox.report_gaps([ended])
    assert await outbox.unreported_gaps() == ()
    clock.at += 9.0
    await outbox.close_gap(number, make.now())
    assert await outbox.gaps() == (ended,)
    assert await outbox.open_gaps() == ()


async def test_losses_are_told_in_one_notice(outbox: Outbox, make: Maker) -> None:
    """Each loss is told once, the notice naming what, and why, and how many more."""
    for number in range(7):
        await outbox.add_loss(
            Loss(what="clip", name=f"part-{number}", incident="i", bytes=9, reason="disk full", at=make.now())
        )
    assert await outbox.count_losses() == 7
    assert await outbox.tell_losses(EVERYWHERE.people) == 7
    assert await outbox.tell_losses(EVERYWHERE.people) == 0
    alerts = await outbox.deliveries()
    assert {alert.destination for alert in alerts} == set(EVERYWHERE.people)
    notice = await outbox.notice(alerts[0].subject)
    assert notice is not None
    assert notice.text == (
        "Lost: clip part-0, clip part-1, clip part-2, clip part-3, clip part-4 and 2 more. Why: disk full."
    )
    assert (notice.count, notice.incident) == (7, "i")
    assert [loss.name for loss in await outbox.losses(limit=1)] == ["part-6"]


# --------------------------------------------------------------------------------------- callers and wakers


async def test_subscribers_are_woken_by_commits(outbox: Outbox, make: Maker) -> None:
    """Each subscriber's event is set by a commit that changed something, and by nothing else."""
    first, second = outbox.subscribe(), outbox.subscribe()
    await outbox.incidents()
    await outbox.tell_losses(())  # a transaction that finds nothing to change
    assert not first.is_set()
    await outbox.open_incident(make.incident(), (), RULES)
    assert first.is_set()
    assert second.is_set()


async def test_work_of_a_cancelled_caller_is_committed_and_noticed(outbox: Outbox, make: Maker) -> None:
    """Cancelling every caller at every stage loses no incident and wakes whoever waits for work."""
    woken = outbox.subscribe()
    made = [make.incident(f"c{number}") for number in range(60)]
    tasks = [asyncio.create_task(outbox.open_incident(each, (), RULES)) for each in made]
    for number, task in enumerate(tasks):
        for _ in range(1 + number % 4):
            await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert any(isinstance(result, asyncio.CancelledError) for result in results)
    await outbox.database.probe()  # behind all of them in the database's thread
    assert len(await outbox.incidents(limit=100)) == 60
    await asyncio.wait_for(woken.wait(), 10)


async def test_dossiers_hold_all_that_belongs_to_each_incident(outbox: Outbox, make: Maker) -> None:
    """The newest incidents come first, each with its own files and deliveries and nothing of the others'."""
    made = []
    for _ in range(3):
        incident = await outbox.open_incident(make.incident(), (), RULES)
        clips, snapshot = (make.clip(incident, 1), make.clip(incident, 2)), make.snapshot(incident)
        for clip in reversed(clips):
            await outbox.add_clip(clip, clip_drafts(clip, EVERYWHERE))
        await outbox.add_snapshot(snapshot, ())
        made.append((incident, clips, (snapshot,)))
    found = await outbox.dossiers(2)
    assert [(each.incident, each.clips, each.snapshots) for each in found] == [made[2], made[1]]
    for each in found:
        assert [row.subject for row in each.deliveries] == [clip.id for clip in reversed(each.clips) for _ in range(2)]
        assert await outbox.dossier(each.incident.id) == each
    assert await outbox.dossier("f" * 32) is None


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501])
async def test_kept_files_come_whole_over_pages(outbox: Outbox, make: Maker, count: int) -> None:
    """However many there are, each file is returned once and in order."""
    incident = await outbox.open_incident(make.incident(), (), RULES)
    await outbox.database.run(
        lambda tx: tx.executemany(
            "INSERT INTO files (id, what, incident, number, name, path, size, sha256, taken_wall, taken_mono,"
            " taken_boot, taken_synced) VALUES (?, 'clip', ?, ?, 'n', 'p', 1, 's', 0, 0, 1, 1)",
            [(f"{number:032}", incident.id, number) for number in range(count)],
        ).close()
    )
    assert [file.id for file in await outbox.kept_files()] == [f"{number:032}" for number in range(count)]
    assert await outbox.kept_bytes() == count
