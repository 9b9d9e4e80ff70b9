from __future__ import annotations

import asyncio
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edged.base.config import Duration, Share, Size
from edged.base.pulse import Pulse
from edged.model import Lane, State
from edged.outbox.loop import OutboxLoop
from edged.outbox.nouns import AlertRules, NoticeKind
from edged.outbox.policy import Destinations, alert_drafts, clip_drafts, document_drafts, snapshot_drafts
from edged.outbox.retention import Level
from edged.outbox.settings import OutboxSettings
from edged.outbox.sidecar import read, write
from edged.outbox.spool import SIDECAR, Spool, digest_of
from edged.outbox.store import open_outbox
from edged.outbox.sweep import Findings, sweep
from tests.outbox.world import HandClock, Maker, receipt

if TYPE_CHECKING:
    from edged.model import Clip, Delivery
    from edged.outbox.store import Outbox
    from tests.simloop import SimClock, Simulate

RULES = AlertRules()
HERE = Destinations(recipients=("a@example.org",), receiver=True)
DAY = 86400.0


@pytest.fixture
def spool(state_dir: Path) -> Spool:
    """The prepared state directory, with the ballast."""
    made = Spool(state_dir)
    made.prepare()
    return made


def loop_of(outbox: Outbox, spool: Spool, clock: HandClock, **settings: Any) -> OutboxLoop:
    """Make the loop; without other settings the disk of this machine is roomy enough."""
    roomy = {"warn_free": Size(0), "critical_free": Size(0)}
    return OutboxLoop(outbox, spool, settings=OutboxSettings(**roomy | settings), destinations=HERE, clock=clock)


async def recorded(outbox: Outbox, spool: Spool, make: Maker, *, queued: bool = True, parts: int = 1) -> list[Clip]:
    """Record an incident for real: files on the disk and rows; return its parts."""
    incident = await outbox.open_incident(make.incident(make.id()), (), RULES)
    directory = spool.incident_directory(incident.id, incident.opened.wall)
    (directory / SIDECAR).write_text("{}")
    clips = []
    for part in range(1, parts + 1):
        path = directory / f"part-{part:03}.mp4"
        path.write_bytes(bytes(1000))
        clip = make.clip(incident, part, path=path, sha256=digest_of(path)[1])
        await outbox.add_clip(clip, clip_drafts(clip, HERE) if queued else ())
        clips.append(clip)
    await outbox.close_incident(incident.id, make.now())
    return clips


async def prove(outbox: Outbox, clip: Clip) -> None:
    """Have the receiver prove a clip."""
    (delivery,) = await outbox.deliveries_for(clip.id)
    assert await outbox.complete(delivery.id, receipt(clip.id, sha256=clip.sha256))


# ---------------------------------------------------------------------------------------------- the sweep


async def test_a_sweep_of_what_is_in_order_changes_nothing(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """Rows, files and deliveries that agree are left alone, without a single commit."""
    await recorded(outbox, spool, make)
    commits = outbox.commits
    assert await sweep(outbox, spool, HERE, clock) == Findings()
    assert outbox.commits == commits


async def test_the_sweep_queues_what_was_missed(outbox: Outbox, spool: Spool, make: Maker, clock: HandClock) -> None:
    """Clips, snapshots and documents without a delivery get theirs, once; without a place to go nothing happens."""
    (clip,) = await recorded(outbox, spool, make, queued=False)
    incident = await outbox.incident(clip.incident)
    assert incident is not None
    snapshot = make.snapshot(incident, path=clip.path.with_name("snapshot-1.jpg"))
    snapshot.path.write_bytes(bytes(100))
    await outbox.add_snapshot(snapshot, ())
    source = spool.root / "source.txt"
    source.write_text("hello")
    document = spool.take_document(source, clock)
    await outbox.add_document(document, ())
    assert await sweep(outbox, spool, Destinations(), clock) == Findings()
    assert await sweep(outbox, spool, HERE, clock) == Findings(queued=3)
    assert await sweep(outbox, spool, HERE, clock) == Findings()
    # a folder that is configured later gets what comes from then on
    assert await sweep(outbox, spool, replace(HERE, folders=("usb",)), clock) == Findings()
    wanted = [*snapshot_drafts(snapshot, HERE), *clip_drafts(clip, HERE), *document_drafts(document, HERE)]
    found = {(each.key, each.kind, each.priority, each.size) for each in await outbox.deliveries()}
    assert found == {(each.key, each.kind, each.priority, each.size) for each in wanted}


@pytest.mark.parametrize("damage", ["missing", "shorter"])
async def test_the_sweep_finds_lost_files(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock, damage: str
) -> None:
    """A file that is missing or has changed is entered as a loss, once; one that was proven elsewhere is none."""
    lost, proven = await recorded(outbox, spool, make, parts=2)
    await prove(outbox, proven)
    for clip in (lost, proven):
        if damage == "missing":
            clip.path.unlink()
        else:
            clip.path.write_bytes(b"short")
    findings = await sweep(outbox, spool, HERE, clock)
    assert findings.missing == 2
    (loss,) = await outbox.losses()
    assert (loss.name, loss.reason.split(":")[0]) == (
        lost.path.name,
        "missing from the disk" if damage == "missing" else "changed on the disk",
    )
    assert [each.state for each in await outbox.deliveries_for(lost.id)] == [State.DEAD]
    assert (await sweep(outbox, spool, HERE, clock)).missing == 0
    # what is left of it may still show something: it is kept aside and never deleted
    aside = [path.read_bytes() for path in spool.clips.rglob("*.damaged")]
    assert aside == ([] if damage == "missing" else [b"short"] * 2)


async def test_the_sweep_removes_what_a_crash_left_of_a_deletion(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """The row said deleted, then the power went: the file goes now, with its directory."""
    (clip,) = await recorded(outbox, spool, make)
    await outbox.delete_file(clip.id, "made room")
    assert clip.path.exists()
    assert await sweep(outbox, spool, HERE, clock) == Findings(removed=1)
    assert not clip.path.parent.exists()


async def test_the_sweep_takes_in_documents_without_a_row(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """A document whose row was lost is queued again under its own key; half a copy is left alone."""
    source = spool.root / "log.txt"
    source.write_text("hello")
    document = spool.take_document(source, clock)
    half = spool.documents / "half"
    half.mkdir()
    (half / ".partial").write_text("hel")
    assert await sweep(outbox, spool, HERE, clock) == Findings(adopted=1)
    assert await outbox.file(document.id) == document
    assert [each.key for each in await outbox.deliveries_for(document.id)] == [document.id]
    assert await sweep(outbox, spool, HERE, clock) == Findings()


async def test_the_sweep_writes_sidecars_that_a_crash_left_behind_their_rows(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """A receipt or a part that a sidecar lacks comes into it; what only the sidecar knows is not taken from it."""
    clip, other = await recorded(outbox, spool, make, parts=2)
    directory = clip.path.parent
    (directory / SIDECAR).unlink()
    assert await sweep(outbox, spool, HERE, clock) == Findings(described=1)
    await prove(outbox, clip)
    assert read(directory).receipts == ()
    assert await sweep(outbox, spool, HERE, clock) == Findings(described=1)
    assert [one.key for one in read(directory).receipts] == [clip.id]
    assert await sweep(outbox, spool, HERE, clock) == Findings()
    ahead = replace(read(directory), receipts=(receipt(clip.id), receipt(other.id)), alerts=())
    write(directory, ahead)
    assert await sweep(outbox, spool, HERE, clock) == Findings()
    assert read(directory) == ahead


# ------------------------------------------------------------------------------------------------ the loop


async def test_proven_clips_go_after_their_time(outbox: Outbox, spool: Spool, make: Maker, clock: HandClock) -> None:
    """Thirty days after its proof a clip is deleted, row, file and directory; the unproven stays. No loss is told."""
    (proven,), (waiting,) = await recorded(outbox, spool, make), await recorded(outbox, spool, make)
    await prove(outbox, proven)
    keeper = loop_of(outbox, spool, clock)
    await keeper.step()
    assert proven.path.exists()
    clock.at += 31 * DAY
    await keeper.step()
    assert not proven.path.parent.exists()
    assert waiting.path.exists()
    assert [file.id for file in await outbox.kept_files()] == [waiting.id]
    assert (await outbox.counts()).deleted == 1
    assert await outbox.losses() == ()


async def test_delete_after_proof_does_not_wait_for_the_sweep(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """With the setting, a proven clip is gone within a minute or two."""
    (clip,) = await recorded(outbox, spool, make)
    keeper = loop_of(outbox, spool, clock, delete_after_proof=True)
    await keeper.step()
    await prove(outbox, clip)
    clock.at += 61.0
    await keeper.step()
    assert not clip.path.exists()


async def test_a_stop_does_not_come_between_the_row_and_the_file(
    outbox: Outbox, state_dir: Path, make: Maker, clock: HandClock
) -> None:
    """The row is gone and the disk takes its time: a stop then waits, so that no file is left that its row denies."""
    reached, go_on = threading.Event(), threading.Event()

    class SlowSpool(Spool):
        def delete(self, path: Path) -> None:
            reached.set()
            assert go_on.wait(30.0)
            super().delete(path)

    spool = SlowSpool(state_dir)
    spool.prepare()
    (clip,) = await recorded(outbox, spool, make)
    await prove(outbox, clip)
    keeper = loop_of(outbox, spool, clock, delete_after_proof=True)
    step = asyncio.create_task(keeper.step())
    assert await asyncio.to_thread(reached.wait, 30.0)
    step.cancel()
    await asyncio.wait((step,))
    stop = asyncio.create_task(keeper.stop())
    await asyncio.wait((stop,), timeout=0.5)
    assert not stop.done()
    go_on.set()
    await stop
    assert not clip.path.exists()


async def test_the_quota_holds_between_sweeps(outbox: Outbox, spool: Spool, make: Maker, clock: HandClock) -> None:
    """Over the quota the oldest proven clip goes within a minute or two, and nothing else."""
    clips = [*(await recorded(outbox, spool, make, parts=3))]
    keeper = loop_of(outbox, spool, clock, quota=Size(2500))
    await keeper.step()
    full: Level = keeper.level
    assert full is Level.CRITICAL
    for clip in clips[1:]:
        await prove(outbox, clip)
    clock.at += 61.0
    await keeper.step()
    assert [clip.path.exists() for clip in clips] == [True, False, True]
    assert keeper.level < full


async def test_a_loss_is_told_and_entered(outbox: Outbox, spool: Spool, make: Maker, clock: HandClock) -> None:
    """What the law takes before it was delivered is in the ledger, dead in the queue, and told by mail."""
    (clip,) = await recorded(outbox, spool, make)
    keeper = loop_of(outbox, spool, clock, legal_limit=Duration(7 * DAY))
    clock.at += 8 * DAY
    await keeper.step()
    assert not clip.path.exists()
    (loss,) = await outbox.losses()
    assert loss.reason == "older than the legal limit of 7 days"
    told = [each for each in await outbox.deliveries() if each.destination == "mail:a@example.org"]
    assert len(told) == 1


async def test_losses_are_told_within_a_minute_and_then_together(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """The first loss does not wait for the sweep; those of the next half hour share one mail."""
    keeper = loop_of(outbox, spool, clock)
    await keeper.step()
    lost = [incident[0] for incident in [await recorded(outbox, spool, make) for _ in range(3)]]
    told = []
    for clip in lost:
        await outbox.delete_file(clip.id, "made room")
        clock.at += 61.0
        await keeper.step()
        told.append(len(await _mails(outbox)))
    assert told == [1, 1, 1]
    clock.at += 1800.0
    await keeper.step()
    _, second = await _mails(outbox)
    notice = await outbox.notice(second.subject)
    assert notice is not None
    assert notice.count == 2


async def _mails(outbox: Outbox) -> list[Delivery]:
    return sorted((each for each in await outbox.deliveries() if each.lane is Lane.ALERT), key=lambda each: each.id)


async def test_sidecars_follow_receipts_and_outcomes(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """What a burst of deliveries brought is in the sidecar after half a minute, in one write, then nothing."""
    one, two = await recorded(outbox, spool, make, parts=2)
    await outbox.enqueue(alert_drafts(replace(make.incident(), id=one.incident), HERE))
    path = one.path.with_name(SIDECAR)
    keeper = loop_of(outbox, spool, clock)
    await prove(outbox, one)
    await keeper.step()
    assert path.read_text() == "{}"
    await prove(outbox, two)
    (alert,) = await _mails(outbox)
    await outbox.bury(alert.id, "no such mailbox")
    clock.at += 31.0
    await keeper.step()
    found = read(path.parent)
    assert {receipt.key for receipt in found.receipts} == {one.id, two.id}
    assert found.alerts == (("mail:a@example.org", "dead"),)
    written = path.stat().st_mtime_ns
    clock.at += 31.0
    await keeper.step()
    assert path.stat().st_mtime_ns == written


async def test_a_digest_is_in_the_sidecar_of_each_incident_that_it_tells(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """Completing the mail that tells two incidents writes the outcome into both sidecars, at the stop at the latest."""
    clips = [(await recorded(outbox, spool, make))[0] for _ in range(2)]
    for clip in clips:
        await outbox.enqueue(alert_drafts(replace(make.incident(), id=clip.incident), HERE))
    carrier, other = await _mails(outbox)
    assert await outbox.fold(carrier.id, [other.id], b"both")
    await outbox.complete(carrier.id, None)
    await loop_of(outbox, spool, clock).stop()
    assert [read(clip.path.parent).alerts for clip in clips] == [(("mail:a@example.org", "sent"),)] * 2


async def test_less_room_is_told_once(outbox: Outbox, spool: Spool, clock: HandClock) -> None:
    """A disk under both floors is critical: one alert says so, and no second while it stays so."""
    everything = {"warn_share": Share(1.0), "critical_share": Share(1.0)}
    huge = {"warn_free": Size(10**18), "critical_free": Size(10**18)}
    keeper = loop_of(outbox, spool, clock, **everything, **huge)
    for _ in range(3):
        await keeper.step()
        clock.at += 61.0
    assert keeper.level is Level.CRITICAL
    (alert,) = await outbox.deliveries()
    notice = await outbox.notice(alert.subject)
    assert notice is not None
    assert notice.kind is NoticeKind.SYSTEM
    assert "snapshots only" in notice.text


async def test_summaries_come_with_the_step_after_their_window(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """The loop tells what a cool-down held back once its minute is over."""
    for _ in range(2):
        incident = make.incident()
        await outbox.open_incident(incident, alert_drafts(incident, HERE), RULES)
    keeper = loop_of(outbox, spool, clock)
    await keeper.step()
    assert len(await outbox.deliveries()) == 1
    clock.at += 60.0
    await keeper.step()
    assert len(await outbox.deliveries()) == 2


async def test_the_clock_is_corrected_when_it_becomes_trusted(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """The step after the clock was set moves the times of before."""
    clock.trusted, clock.ahead = False, 0.0
    incident = await outbox.open_incident(make.incident(), (), RULES)
    keeper = loop_of(outbox, spool, clock)
    await keeper.step()
    clock.trusted, clock.ahead = True, 1_780_000_000.0
    await keeper.step()
    found = await outbox.incident(incident.id)
    assert found is not None
    assert found.opened == replace(incident.opened, wall=1_780_000_000.0 + incident.opened.mono, synced=True)


async def test_a_copy_is_kept_where_something_changed(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """Every few hours, and only after commits, the database's copy is replaced by a newer whole one."""
    keeper = loop_of(outbox, spool, clock, backup_interval=Duration(100.0))
    copied = []
    for opens in (True, False, True):
        if opens:
            await outbox.open_incident(make.incident(), (), RULES)
        clock.at += 100.0
        await keeper.step()
        copied.append(spool.backup.stat().st_mtime_ns)
    assert copied[0] == copied[1] < copied[2]
    copy = await open_outbox(Path(shutil.copy(spool.backup, spool.root / "copy.db")), clock)
    assert len(await copy.incidents()) == 2
    await copy.close()


async def test_nothing_is_written_while_nothing_happens(
    outbox: Outbox, spool: Spool, make: Maker, clock: HandClock
) -> None:
    """Over an idle hour of steps, sweeps included, the loop commits nothing: a quiet night wears no card."""
    await recorded(outbox, spool, make)
    keeper = loop_of(outbox, spool, clock)
    clock.at += 61.0  # the cool-down is over
    await keeper.step()
    before = _bytes_in(spool.root)
    for _ in range(60):
        clock.at += 60.0
        await keeper.step()
    assert _bytes_in(spool.root) == before


def _bytes_in(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}


def test_run_repeats_its_step_and_beats(simulate: Simulate, state_dir: Path) -> None:
    """Over an hour in virtual time the loop beats every five seconds and ends when it is cancelled."""

    async def scene(clock: SimClock) -> int:
        spool = Spool(state_dir)
        spool.prepare()
        outbox = await open_outbox(spool.database, clock)
        keeper = OutboxLoop(outbox, spool, settings=OutboxSettings(), destinations=HERE, clock=clock)
        pulse = Pulse("outbox", 60.0, clock)
        task = asyncio.create_task(keeper.run(pulse))
        await asyncio.sleep(3601.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await outbox.close()
        return pulse.beats

    assert simulate(scene) == 721
