"""After a crash: what reached the disk is sealed, queued once and closed at its last picture; nothing is told twice."""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edged.base.clock import SystemClock
from edged.model import DeliveryKind, EventKind
from edged.outbox import sidecar
from edged.outbox.nouns import NoticeKind
from edged.outbox.spool import Spool
from edged.outbox.store import open_outbox
from edged.record.salvage import SalvageReport, salvage
from edged.wire.receipt import Proof, Receipt
from tests.record.footage import RATE, packets
from tests.record.stage import DESTINATIONS, INCIDENT, shown, stage
from tests.simloop import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edged.base.clock import Clock
    from edged.outbox.store import Outbox
    from tests.simloop import SimClock, Simulate

BEGIN = START + 1.0
ROOT = Path(__file__).parents[2]


async def crash(clock: SimClock, state: Path, *, seconds: float = 12.0) -> None:
    """Record an incident from its 3rd second on, and break off without a stop."""
    async with stage(clock, state) as on:
        playing = asyncio.ensure_future(on.play(packets(seconds=seconds, start=BEGIN)))
        await on.until(BEGIN + 3.0)
        await on.emit(EventKind.OPENED, BEGIN + 3.0)
        await playing
        await asyncio.sleep(0.5)


@asynccontextmanager
async def recovered(clock: Clock, state: Path) -> AsyncIterator[tuple[SalvageReport, Outbox]]:
    """Open the state directory as the next run does."""
    outbox = await open_outbox(state / "outbox.db", clock)
    try:
        yield await salvage(outbox, Spool(state), DESTINATIONS), outbox
    finally:
        await outbox.close()


def directory_of(state: Path) -> Path:
    """Return the incident's directory."""
    (directory,) = Spool(state).incident_directories()
    return directory


def test_an_unsealed_part_is_sealed_queued_and_its_incident_closed(simulate: Simulate, state_dir: Path) -> None:
    """The clip of a run that broke off is delivered like any other, and ends at its last picture, not now."""

    async def scene(clock: SimClock) -> None:
        await crash(clock, state_dir)
        await asyncio.sleep(3600.0)
        async with recovered(clock, state_dir) as (report, outbox):
            assert (report.parts, report.closed, report.imported, report.strange) == (1, 1, 0, 0)
            (clip,) = await outbox.clips_of(INCIDENT)
            assert clip.sha256 == hashlib.sha256(clip.path.read_bytes()).hexdigest()
            assert clip.start.mono == pytest.approx(BEGIN)
            assert shown(clip.path) == pytest.approx(12 * RATE, abs=RATE)
            incident = await outbox.incident(INCIDENT)
            assert incident is not None
            assert incident.recovered
            assert incident.closed is not None
            assert incident.closed.mono == pytest.approx(BEGIN + 12.0, abs=1.0)
            kinds = [delivery.kind for delivery in await outbox.deliveries_of(INCIDENT)]
            assert sorted(kinds) == sorted([*[DeliveryKind.ALERT] * 2, DeliveryKind.CLIP, DeliveryKind.SNAPSHOT])
        async with recovered(clock, state_dir) as (again, _):
            assert again == SalvageReport()

    simulate(scene)


def test_a_part_cut_off_anywhere_keeps_its_whole_fragments(simulate: Simulate, state_dir: Path) -> None:
    """Torn bytes at the end are cut; a file of which nothing plays is removed, a foreign one left alone."""

    async def scene(clock: SimClock) -> None:
        await crash(clock, state_dir)
        directory = directory_of(state_dir)
        part = directory / "part-001.mp4"
        part.write_bytes(part.read_bytes()[:-1])
        (directory / "part-002.mp4").touch()
        (directory / "part-003.mp4").write_bytes(part.read_bytes()[:300])
        (directory / "incident.json.new").write_bytes(b"half")
        (directory / "notes.txt").write_bytes(b"someone's")
        async with recovered(clock, state_dir) as (report, outbox):
            assert (report.parts, report.strange) == (1, 1)
            (clip,) = await outbox.clips_of(INCIDENT)
            assert 10 * RATE <= shown(clip.path) < 12 * RATE
            assert clip.seconds == pytest.approx(shown(clip.path) / RATE, abs=0.01)
            names = {path.name for path in directory.iterdir()}
            assert names == {"part-001.mp4", "snapshot-1.jpg", "incident.json", "notes.txt"}

    simulate(scene)


def test_a_snapshot_without_a_row_is_entered_and_a_torn_one_removed(simulate: Simulate, state_dir: Path) -> None:
    """A better picture that was written and not yet entered is not lost."""

    async def scene(clock: SimClock) -> None:
        await crash(clock, state_dir)
        directory = directory_of(state_dir)
        jpeg = (directory / "snapshot-1.jpg").read_bytes()
        (directory / "snapshot-2.jpg").write_bytes(jpeg)
        noise = np.random.default_rng(1).integers(0, 255, (400, 600), dtype=np.uint8)
        large = cv2.imencode(".jpg", noise)[1].tobytes()
        (directory / "snapshot-3.jpg").write_bytes(large[:-8000] + b"\0" * 8000)
        async with recovered(clock, state_dir) as (_, outbox):
            assert [(picture.seq, picture.width) for picture in await outbox.snapshots_of(INCIDENT)] == [
                (1, 160),
                (2, 160),
            ]
            assert not (directory / "snapshot-3.jpg").exists()

    simulate(scene)


@pytest.mark.parametrize("with_sidecar", [True, False], ids=["sidecar", "clips alone"])
def test_a_lost_database_is_rebuilt_from_the_files(simulate: Simulate, state_dir: Path, with_sidecar: bool) -> None:
    """The incident is back, its clips under their old identities; one digest tells of it, and no alert is repeated."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            await on.play(packets(seconds=6, start=BEGIN))
            await on.emit(EventKind.OPENED, BEGIN + 5.0)
            await on.stop()
            before = await on.outbox.clips_of(INCIDENT)
        for path in state_dir.glob("outbox.db*"):
            path.unlink()
        if not with_sidecar:
            (directory_of(state_dir) / "incident.json").unlink()
        async with recovered(clock, state_dir) as (report, outbox):
            assert report.imported == 1
            assert [clip.id for clip in await outbox.clips_of(INCIDENT)] == [clip.id for clip in before]
            incident = await outbox.incident(INCIDENT)
            assert incident is not None
            assert incident.camera == "door"
            assert incident.closed is not None
            assert all(delivery.kind is not DeliveryKind.ALERT for delivery in await outbox.deliveries_of(INCIDENT))
            alerts = [delivery for delivery in await outbox.deliveries() if delivery.kind is DeliveryKind.ALERT]
            assert sorted(alert.destination for alert in alerts) == ["mail:a@example.org", "mail:b@example.org"]
            notice = await outbox.notice(alerts[0].subject)
            assert notice is not None
            assert (notice.kind, notice.count, notice.incident) == (NoticeKind.RECOVERED, 1, INCIDENT)

    simulate(scene)


def test_what_is_proven_elsewhere_is_not_sent_again_after_a_lost_database(simulate: Simulate, state_dir: Path) -> None:
    """Receipts and alert outcomes in the sidecar count: nothing is uploaded twice, nobody is told twice."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            await on.play(packets(seconds=6, start=BEGIN))
            await on.emit(EventKind.OPENED, BEGIN + 5.0)
            await asyncio.sleep(1.0)
            for delivery in await on.outbox.deliveries_of(INCIDENT):
                await on.outbox.complete(delivery.id, None)
            await on.stop()
            (clip,) = await on.outbox.clips_of(INCIDENT)
            (upload,) = await on.outbox.deliveries_for(clip.id)
            receipt = Receipt(
                key=upload.key,
                size=clip.size,
                sha256=clip.sha256,
                proof=Proof.SIGNED,
                issued=1.8e9,
                receiver="home",
                signature="e" * 64,
            )
            await on.outbox.complete(upload.id, receipt)
            assert await sidecar.refresh(on.outbox, INCIDENT)
        for path in state_dir.glob("outbox.db*"):
            path.unlink()
        async with recovered(clock, state_dir) as (_, outbox):
            (upload,) = await outbox.deliveries_for(clip.id)
            assert (upload.state, upload.receipt) == ("done", receipt)
            assert all(delivery.kind is not DeliveryKind.ALERT for delivery in await outbox.deliveries())

    simulate(scene)


def test_a_sidecar_is_not_written_where_retention_was(simulate: Simulate, state_dir: Path) -> None:
    """An unknown incident, or one whose files are gone, gets none, and no directory is made for it."""

    async def scene(clock: SimClock) -> None:
        await crash(clock, state_dir)
        async with recovered(clock, state_dir) as (_, outbox):
            directory = directory_of(state_dir)
            directory.rename(state_dir / "elsewhere")
            assert not await sidecar.refresh(outbox, INCIDENT)
            assert not await sidecar.refresh(outbox, "f" * 32)
            assert not directory.exists()

    simulate(scene)


def test_a_clip_whose_header_rotted_with_its_row_is_kept_aside(simulate: Simulate, state_dir: Path) -> None:
    """Nobody can play it as it is, but its pictures are in it: it is never deleted, nor looked at again."""

    async def scene(clock: SimClock) -> None:
        await crash(clock, state_dir)
        clip = directory_of(state_dir) / "part-001.mp4"
        spoiled = bytes(64) + clip.read_bytes()[64:]
        clip.write_bytes(spoiled)
        async with recovered(clock, state_dir) as (report, _):
            assert (report.parts, report.removed) == (0, 0)
        assert clip.with_name("part-001.mp4.damaged").read_bytes() == spoiled
        assert not clip.exists()
        async with recovered(clock, state_dir) as (again, _):
            assert again == SalvageReport()

    simulate(scene)


def test_a_damaged_sidecar_or_one_of_another_incident_is_not_believed(simulate: Simulate, state_dir: Path) -> None:
    """Then the clips speak for themselves."""

    async def scene(clock: SimClock) -> None:
        await crash(clock, state_dir)
        directory = directory_of(state_dir)
        told = (directory / "incident.json").read_bytes()
        for damaged in (told[:100], told.replace(INCIDENT.encode(), b"f" * 32)):
            for path in state_dir.glob("outbox.db*"):
                path.unlink()
            (directory / "incident.json").write_bytes(damaged)
            async with recovered(clock, state_dir) as (report, outbox):
                assert (report.imported, report.parts) == (1, 1)
                assert [incident.id for incident in await outbox.incidents()] == [INCIDENT]

    simulate(scene)


def test_a_directory_that_says_nothing_is_left_alone(simulate: Simulate, state_dir: Path) -> None:
    """What can't be told to be an incident is named in the log and never deleted."""

    async def scene(clock: SimClock) -> None:
        directory = state_dir / "clips" / "2026-05-29" / "holiday"
        directory.mkdir(parents=True)
        (directory / "snapshot-1.jpg").write_bytes(b"someone's")
        async with recovered(clock, state_dir) as (report, _):
            assert report == SalvageReport(strange=1)
            assert (directory / "snapshot-1.jpg").read_bytes() == b"someone's"

    simulate(scene)


def test_an_incident_cut_off_before_its_row_is_known_by_its_snapshot(simulate: Simulate, state_dir: Path) -> None:
    """With no clip yet the picture says what it is of: the incident is entered, told once and its picture delivered."""

    async def scene(clock: SimClock) -> None:
        await crash(clock, state_dir)
        directory = directory_of(state_dir)
        for name in ("part-001.mp4", "incident.json"):
            (directory / name).unlink()
        Spool(state_dir).database.rename(state_dir / "lost.db")
        async with recovered(clock, state_dir) as (report, outbox):
            assert (report.imported, report.closed, report.strange) == (1, 1, 0)
            (snapshot,) = await outbox.snapshots_of(INCIDENT)
            assert snapshot.taken.mono == pytest.approx(BEGIN + 3.0, abs=1.0)
            incident = await outbox.incident(INCIDENT)
            assert incident is not None
            assert (incident.camera, incident.opened) == ("door", snapshot.taken)
            told = await outbox.deliveries()
            assert sorted(one.destination for one in told if one.incident is None) == sorted(DESTINATIONS.people)

    simulate(scene)


def test_an_incident_of_which_nothing_reached_the_disk_leaves_nothing(simulate: Simulate, state_dir: Path) -> None:
    """Torn files in a directory of no known incident go with it; a foreign file keeps all of them."""

    async def scene(clock: SimClock) -> None:
        for name, more in (("1" * 32, ()), ("2" * 32, ("notes.txt",))):
            directory = state_dir / "clips" / f"2026-05-2{name[0]}" / name
            directory.mkdir(parents=True)
            for torn in ("part-001.mp4", "snapshot-1.jpg", "incident.json.new", *more):
                (directory / torn).write_bytes(bytes(1000))
        async with recovered(clock, state_dir) as (report, _):
            assert report == SalvageReport(removed=1, strange=1)
        assert [path.name for path in sorted((state_dir / "clips").iterdir())] == ["2026-05-22"]
        assert len(list((state_dir / "clips" / "2026-05-22" / ("2" * 32)).iterdir())) == 4

    simulate(scene)


def test_what_was_half_written_beside_the_clips_is_removed(simulate: Simulate, state_dir: Path) -> None:
    """Half a document, half a copy of the database and their like are gone after the start; whole ones are not."""

    async def scene(clock: SimClock) -> None:
        half = [state_dir / "documents" / "1" / ".partial", state_dir / "outbox.db.backup.new"]
        half += [state_dir / "outbox.db.backup.new-journal", state_dir / "lost.json.new"]
        whole = [state_dir / "documents" / "2" / "manual.txt", state_dir / "lost.json"]
        for path in (*half, *whole):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"{}")
        async with recovered(clock, state_dir) as (report, _):
            assert report.removed == len(half) + 1
        assert not any(path.exists() for path in (*half, half[0].parent))
        assert all(path.exists() for path in whole)

    simulate(scene)


@pytest.mark.parametrize(("gop", "bframes", "seed"), [(10, 0, 1), (10, 2, 2), (30, 0, 3)])
async def test_kill_9_at_any_moment_costs_at_most_two_seconds(
    state_dir: Path, gop: int, bframes: int, seed: int
) -> None:
    """A process killed while it records leaves an incident, its alert, and a clip up to the last fragments."""
    rng = random.Random(seed)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.record.writer_process", str(state_dir), str(gop), str(bframes)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"a" * 32
        await asyncio.sleep(rng.uniform(0.05, 0.6))
    finally:
        process.send_signal(signal.SIGKILL)
        told, _ = process.communicate()
    packets_written = int(told.split(b"\n")[-2]) if told.count(b"\n") else 0
    written = [path.name for path in sorted(directory_of(state_dir).glob("part-*.mp4"))]
    async with recovered(SystemClock(), state_dir) as (_, outbox):
        clips = await outbox.clips_of("a" * 32)
        assert [clip.path.name for clip in clips] in (written, written[:-1])
        for clip in clips:
            assert shown(clip.path) == pytest.approx(clip.seconds * RATE, abs=0.5)
            assert clip.sha256 == hashlib.sha256(clip.path.read_bytes()).hexdigest()
        assert sum(shown(clip.path) for clip in clips) >= packets_written - RATE
        assert [delivery.kind for delivery in await outbox.deliveries_of("a" * 32)].count(DeliveryKind.ALERT) == 1
        assert await outbox.unclosed_incidents() == ()
