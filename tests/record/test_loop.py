"""The recorder on a real outbox: transitions and packets in, incidents, parts, snapshots and ledgers out."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edged.base.clock import SystemClock
from edged.base.config import Duration, Size
from edged.base.pulse import Pulse
from edged.model import DeliveryKind, EventKind, IncidentKind
from edged.outbox import sidecar
from edged.record.settings import RecordSettings
from tests.record.footage import RATE, packets, padded
from tests.record.stage import INCIDENT, OTHER, Stage, shown, stage
from tests.simloop import START, SimClock

if TYPE_CHECKING:
    from pathlib import Path

    from edged.outbox.store import Outbox
    from tests.simloop import Simulate

BEGIN = START + 1.0


async def kinds(outbox: Outbox, incident: str = INCIDENT) -> list[str]:
    """Return the deliveries of an incident as "kind destination"."""
    return sorted(f"{delivery.kind} {delivery.destination}" for delivery in await outbox.deliveries_of(incident))


async def whole_incident(on: Stage, *, seconds: float = 20.0) -> None:
    """Play a scene: quiet, motion from the 7th second to the 11th, quiet again."""
    playing = asyncio.ensure_future(on.play(packets(seconds=seconds, start=BEGIN)))
    await on.until(BEGIN + 7.5)
    await on.emit(EventKind.OPENED, BEGIN + 7.0)
    await on.until(BEGIN + 19.0)
    await on.emit(EventKind.CLOSED, BEGIN + 11.0, keep_until=BEGIN + 16.0)
    await playing
    await asyncio.sleep(1.0)


def test_an_incident_becomes_rows_files_and_deliveries(simulate: Simulate, state_dir: Path) -> None:
    """From pre-roll to post-roll: one incident, two alerts, its clip and its snapshot, each queued once."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            await whole_incident(on)
            (incident,) = await on.outbox.incidents()
            assert (incident.opened.mono, incident.closed and incident.closed.mono) == (BEGIN + 7.0, BEGIN + 11.0)
            assert [entered.id for entered in on.entered] == [INCIDENT]
            (clip,) = await on.outbox.clips_of(INCIDENT)
            assert clip.start.mono == pytest.approx(BEGIN + 2.0)
            assert shown(clip.path) == pytest.approx(16 * RATE, abs=3 * RATE)
            assert clip.sha256 == hashlib.sha256(clip.path.read_bytes()).hexdigest()
            (snapshot,) = await on.outbox.snapshots_of(INCIDENT)
            assert snapshot.sha256 == hashlib.sha256(snapshot.path.read_bytes()).hexdigest()
            assert await kinds(on.outbox) == [
                "alert mail:a@example.org",
                "alert mail:b@example.org",
                "clip receiver",
                "snapshot receiver",
            ]
            told = sidecar.read(clip.path.parent)
            assert (told.incident, told.clips, told.snapshots) == (incident, (clip,), (snapshot,))

    simulate(scene)


def test_the_alert_is_in_the_outbox_while_the_incident_goes_on(simulate: Simulate, state_dir: Path) -> None:
    """The row comes with the opening and each part with its seal, not at the end of it all."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir, settings=RecordSettings(part=Duration(4))) as on:
            playing = asyncio.ensure_future(on.play(packets(seconds=20, start=BEGIN)))
            await on.until(BEGIN + 7.5)
            await on.emit(EventKind.OPENED, BEGIN + 7.0)
            await asyncio.sleep(0.1)
            assert await kinds(on.outbox) == [
                "alert mail:a@example.org",
                "alert mail:b@example.org",
                "clip receiver",
                "snapshot receiver",
            ]
            await on.until(BEGIN + 11.0)
            assert [clip.part for clip in await on.outbox.clips_of(INCIDENT)] == [1, 2]
            await playing
            await on.stop()
            clips = await on.outbox.clips_of(INCIDENT)
            assert sum(clip.seconds for clip in clips) == pytest.approx(18.0, abs=0.05)

    simulate(scene)


async def restart_often(on: Stage) -> None:
    """Cancel the recorder's loop again and again and start it anew, as the supervisor may."""
    for _ in range(300):
        await asyncio.sleep(0.0613)
        on.task.cancel()
        await asyncio.gather(on.task, return_exceptions=True)
        on.task = asyncio.ensure_future(on.recorder.run(Pulse("record", 60.0, on.clock)))


def test_a_loop_that_is_restarted_again_and_again_loses_nothing(simulate: Simulate, state_dir: Path) -> None:
    """Every part, every picture, every row once, whatever was under way at a cancellation."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir, settings=RecordSettings(part=Duration(2))) as on:
            restarting = asyncio.ensure_future(restart_often(on))
            await whole_incident(on)
            await restarting
            clips = await on.outbox.clips_of(INCIDENT)
            assert [clip.part for clip in clips] == list(range(1, len(clips) + 1))
            assert sum(shown(clip.path) for clip in clips) >= 14 * RATE
            for before, after in pairwise(clips):
                assert after.start.mono == pytest.approx(before.start.mono + before.seconds, abs=0.02)
            assert len(await on.outbox.deliveries_of(INCIDENT)) == 3 + len(clips)
            assert await on.outbox.losses() == ()

    simulate(scene)


@pytest.mark.parametrize("restarts", [False, True], ids=["undisturbed", "restarted"])
def test_a_continuation_follows_without_a_hole_and_without_an_alert(
    simulate: Simulate, state_dir: Path, restarts: bool
) -> None:
    """The first incident ends where the second begins: at the next key frame, no picture twice and none missing."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            playing = asyncio.ensure_future(on.play(packets(seconds=20, start=BEGIN)))
            restarting = asyncio.ensure_future(restart_often(on)) if restarts else playing
            await on.until(BEGIN + 2.0)
            await on.emit(EventKind.OPENED, BEGIN + 1.0)
            await on.until(BEGIN + 10.5)
            await on.emit(EventKind.CLOSED, BEGIN + 10.4, keep_until=BEGIN + 10.4)
            await on.emit(EventKind.OPENED, BEGIN + 10.4, incident=OTHER, continues=INCIDENT)
            await on.until(BEGIN + 17.0)
            await on.emit(EventKind.CLOSED, BEGIN + 12.0, incident=OTHER, keep_until=BEGIN + 17.0)
            await playing
            await restarting
            await asyncio.sleep(1.0)
            (first,), (second,) = await on.outbox.clips_of(INCIDENT), await on.outbox.clips_of(OTHER)
            assert second.start.mono == pytest.approx(BEGIN + 11.0)
            assert first.start.mono + first.seconds == pytest.approx(second.start.mono, abs=0.02)
            assert shown(first.path) == 11 * RATE
            found = await on.outbox.incident(OTHER)
            assert found is not None
            assert (found.held, found.continues) == ("continuation", INCIDENT)
            assert all(delivery.kind is not DeliveryKind.ALERT for delivery in await on.outbox.deliveries_of(OTHER))

    simulate(scene)


def test_a_camera_that_dies_leaves_a_sealed_part_and_goes_on_when_it_is_back(
    simulate: Simulate, state_dir: Path
) -> None:
    """What was recorded is on its way while the camera is away; the incident gets a further part."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            playing = asyncio.ensure_future(on.play(packets(seconds=4, start=BEGIN)))
            await on.until(BEGIN + 2.0)
            await on.emit(EventKind.OPENED, BEGIN + 1.5)
            await playing
            await asyncio.sleep(7.0)
            assert [clip.part for clip in await on.outbox.clips_of(INCIDENT)] == [1]
            await on.play(packets(seconds=3, start=clock.mono(), epoch=2))
            await on.emit(EventKind.CLOSED, clock.mono() - 1.0, keep_until=clock.mono())
            await asyncio.sleep(6.0)
            clips = await on.outbox.clips_of(INCIDENT)
            assert [shown(clip.path) for clip in clips] == [4 * RATE, 3 * RATE]

    simulate(scene)


def test_pictures_that_come_late_are_one_clip(simulate: Simulate, state_dir: Path) -> None:
    """A box too slow for its source, or a line that catches up, lags; that is no silence, and nothing is left out."""
    late = 7.0

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:

            async def play() -> None:
                for unit in packets(seconds=20.0, start=BEGIN):
                    await on.until(unit.mono + late)
                    on.recorder.offer(unit)

            playing = asyncio.ensure_future(play())
            await on.until(BEGIN + 7.5 + late)
            await on.emit(EventKind.OPENED, BEGIN + 7.0)
            await on.until(BEGIN + 15.0 + late)
            await on.emit(EventKind.CLOSED, BEGIN + 11.0, keep_until=BEGIN + 16.0)
            await playing
            await asyncio.sleep(6.0)
            (clip,) = await on.outbox.clips_of(INCIDENT)
            assert shown(clip.path) == pytest.approx(14 * RATE, abs=3 * RATE)

    simulate(scene)


def test_a_continuation_of_a_dead_camera_is_recorded_when_the_camera_is_back(
    simulate: Simulate, state_dir: Path
) -> None:
    """The hand-over waits for a key frame, but not for ever."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            await on.play(packets(seconds=3, start=BEGIN))
            await on.emit(EventKind.OPENED, BEGIN + 1.0)
            await asyncio.sleep(1.0)
            await on.emit(EventKind.CLOSED, BEGIN + 3.0, keep_until=BEGIN + 3.0)
            await on.emit(EventKind.OPENED, BEGIN + 3.0, incident=OTHER, continues=INCIDENT)
            await asyncio.sleep(15.0)
            first = await on.outbox.incident(INCIDENT)
            assert first is not None
            assert first.closed is not None
            await on.play(packets(seconds=2, start=clock.mono(), epoch=2))
            await on.stop()
            assert [shown(clip.path) for clip in await on.outbox.clips_of(OTHER)] == [2 * RATE]

    simulate(scene)


def test_a_better_picture_follows_and_a_hardly_better_one_does_not(simulate: Simulate, state_dir: Path) -> None:
    """The second snapshot shows the best moment, and only when it is clearly better."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            playing = asyncio.ensure_future(on.play(packets(seconds=20, start=BEGIN)))
            for incident, score, opened in ((INCIDENT, 1.2, 2.0), (OTHER, 4.0, 11.0)):
                await on.until(BEGIN + opened + 0.5)
                await on.emit(EventKind.OPENED, BEGIN + opened, incident=incident)
                await on.until(BEGIN + opened + 3.5)
                await on.emit(
                    EventKind.EXTENDED,
                    BEGIN + opened + 3.0,
                    incident=incident,
                    score=score,
                    zones=("gate", "yard"),
                )
                await on.until(BEGIN + opened + 7.0)
                await on.emit(EventKind.CLOSED, BEGIN + opened + 3.0, incident=incident, keep_until=BEGIN + opened + 6)
            await playing
            await asyncio.sleep(2.0)
            assert [snapshot.taken.mono for snapshot in await on.outbox.snapshots_of(INCIDENT)] == [BEGIN + 2.0]
            assert [snapshot.taken.mono for snapshot in await on.outbox.snapshots_of(OTHER)] == pytest.approx(
                [BEGIN + 11.0, BEGIN + 14.0], abs=0.06
            )
            extended = await on.outbox.incident(OTHER)
            assert extended is not None
            assert extended.zones == ("gate", "yard")
            assert len({delivery.key for delivery in await on.outbox.deliveries_of(OTHER)}) == 3

    simulate(scene)


def test_an_incident_without_a_picture_gets_one_at_its_end(simulate: Simulate, state_dir: Path) -> None:
    """A camera that had given nothing yet when the incident opened still leaves a snapshot."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            await on.emit(EventKind.OPENED, clock.mono())
            await asyncio.sleep(1.0)
            assert [incident.id for incident in await on.outbox.incidents()] == [INCIDENT]
            await on.play(packets(seconds=3, start=clock.mono()))
            await on.emit(EventKind.EXTENDED, clock.mono() - 1.0)
            await on.emit(EventKind.CLOSED, clock.mono(), keep_until=clock.mono())
            await on.stop()
            assert [snapshot.seq for snapshot in await on.outbox.snapshots_of(INCIDENT)] == [1]

    simulate(scene)


def test_an_alert_does_not_wait_for_its_picture(simulate: Simulate, state_dir: Path) -> None:
    """When decoding takes too long the incident is entered without, and the picture follows as the first."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir, settings=RecordSettings(snapshot_wait=Duration(0))) as on:
            await on.play(packets(seconds=3, start=BEGIN))
            await on.emit(EventKind.OPENED, BEGIN + 2.0)
            await asyncio.sleep(1.0)
            first, *later = await on.outbox.deliveries_of(INCIDENT)
            assert first.kind is DeliveryKind.ALERT
            assert later[-1].kind is DeliveryKind.SNAPSHOT
            assert [snapshot.seq for snapshot in await on.outbox.snapshots_of(INCIDENT)] == [1]

    simulate(scene)


def test_disarmed_is_recorded_and_uploaded_and_tells_nobody(simulate: Simulate, state_dir: Path) -> None:
    """Who disarmed wants no mail, but the clip all the same."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir, alerting=lambda _: "disarmed") as on:
            await whole_incident(on)
            assert await kinds(on.outbox) == ["clip receiver", "snapshot receiver"]
            assert on.entered[0].held == "disarmed"

    simulate(scene)


def test_a_person_may_start_a_recording_without_any_motion(simulate: Simulate, state_dir: Path) -> None:
    """A manual incident is recorded like any other."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            playing = asyncio.ensure_future(on.play(packets(seconds=10, start=BEGIN)))
            await on.until(BEGIN + 3.0)
            await on.emit(EventKind.OPENED, BEGIN + 3.0, cause=IncidentKind.MANUAL, zones=(), score=0.0)
            await on.until(BEGIN + 6.0)
            await on.emit(EventKind.CLOSED, BEGIN + 6.0, cause=IncidentKind.MANUAL, zones=(), score=0.0)
            await playing
            (incident,) = await on.outbox.incidents()
            assert incident.kind is IncidentKind.MANUAL
            assert len(await on.outbox.clips_of(INCIDENT)) == 1
            assert len(await on.outbox.snapshots_of(INCIDENT)) == 1

    simulate(scene)


def test_a_stop_seals_closes_and_enters_everything(simulate: Simulate, state_dir: Path) -> None:
    """An ordered stop leaves no open incident and no file without a row."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            await on.play(packets(seconds=6, start=BEGIN))
            await on.emit(EventKind.OPENED, BEGIN + 5.0)
            await on.stop()
            assert await on.outbox.unclosed_incidents() == ()
            (clip,) = await on.outbox.clips_of(INCIDENT)
            assert shown(clip.path) == 6 * RATE
            files = {path.name for path in clip.path.parent.iterdir()}
            assert files == {"part-001.mp4", "snapshot-1.jpg", "incident.json"}

    simulate(scene)


@pytest.mark.parametrize(("gop", "shown_at"), [(4 * RATE, 39), (16 * RATE, 0)])
def test_a_still_is_the_newest_picture_or_where_that_costs_too_much_its_key_frame(
    simulate: Simulate, state_dir: Path, gop: int, shown_at: int
) -> None:
    """It has the stream's own size; of a camera that gives pictures no more there is none."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            await on.play(packets(seconds=gop / RATE, start=BEGIN, gop=gop, size=(640, 96)))
            still = await on.recorder.still(newer_than=clock.mono() - 1.0)
            assert still is not None
            picture = cv2.imdecode(np.frombuffer(still, np.uint8), cv2.IMREAD_GRAYSCALE)
            assert picture is not None
            assert picture.shape == (96, 640)
            left = int(np.argmax(picture[40] > 225))  # of a square that goes on by three pixels
            assert abs(left - 3 * shown_at) <= 1
            await asyncio.sleep(60.0)
            assert await on.recorder.still(newer_than=clock.mono() - 10.0) is None

    simulate(scene)


def test_a_second_incident_in_the_post_roll_of_the_first_is_another(simulate: Simulate, state_dir: Path) -> None:
    """The first is closed, the second has its own pre-roll, and both have their clips."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            playing = asyncio.ensure_future(on.play(packets(seconds=14, start=BEGIN)))
            await on.until(BEGIN + 6.0)
            await on.emit(EventKind.OPENED, BEGIN + 6.0)
            await on.until(BEGIN + 9.0)
            await on.emit(EventKind.CLOSED, BEGIN + 8.0, keep_until=BEGIN + 13.0)
            await on.emit(EventKind.OPENED, BEGIN + 9.0, incident=OTHER, cause=IncidentKind.MANUAL)
            await playing
            await on.stop()
            (first,), (second,) = await on.outbox.clips_of(INCIDENT), await on.outbox.clips_of(OTHER)
            assert first.start.mono == pytest.approx(BEGIN + 1.0)
            assert second.start.mono == pytest.approx(BEGIN + 4.0)

    simulate(scene)


def test_without_room_there_is_a_snapshot_and_a_loss(simulate: Simulate, state_dir: Path) -> None:
    """At critical space the incident is told with its picture, and what is missing is in the ledger."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir, has_room=lambda: False) as on:
            await whole_incident(on)
            assert await on.outbox.clips_of(INCIDENT) == ()
            assert len(await on.outbox.snapshots_of(INCIDENT)) == 1
            (loss,) = await on.outbox.losses()
            assert (loss.what, loss.incident) == ("seconds", INCIDENT)
            assert "snapshots only" in loss.reason

    simulate(scene)


def test_no_sidecar_comes_back_after_the_last_file_is_gone(simulate: Simulate, state_dir: Path) -> None:
    """Retention took the only snapshot of an incident that goes on without clips: nothing would take a sidecar away."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir, has_room=lambda: False) as on:
            playing = asyncio.ensure_future(on.play(packets(seconds=14, start=BEGIN)))
            await on.until(BEGIN + 7.5)
            await on.emit(EventKind.OPENED, BEGIN + 7.0)
            await on.until(BEGIN + 9.0)
            (snapshot,) = await on.outbox.snapshots_of(INCIDENT)
            await on.outbox.delete_file(snapshot.id, "made room")
            await asyncio.to_thread(on.spool.delete, snapshot.path)
            await on.emit(EventKind.CLOSED, BEGIN + 11.0, keep_until=BEGIN + 12.0)
            await playing
            await asyncio.sleep(1.0)
            (incident,) = await on.outbox.incidents()
            assert incident.closed is not None
            assert not snapshot.path.parent.exists()

    simulate(scene)


def test_a_pre_roll_that_had_no_room_in_memory_is_a_gap(simulate: Simulate, state_dir: Path) -> None:
    """What the ring could not hold is in the ledger of gaps, with its length."""

    async def scene(clock: SimClock) -> None:
        settings = RecordSettings(ring=Size(1_000_000))
        async with stage(clock, state_dir, settings=settings) as on:
            units = packets(seconds=6, start=BEGIN)
            for unit in units:
                await on.until(unit.mono)
                on.recorder.offer(padded(unit, 40_000))
            await on.emit(EventKind.OPENED, BEGIN + 5.5)
            await asyncio.sleep(1.0)
            (entry,) = await on.outbox.gaps()
            assert entry.gap.end is not None
            assert entry.gap.start.mono == pytest.approx(BEGIN + 0.5)
            assert entry.gap.end.mono == pytest.approx(BEGIN + 4.0)
            await on.stop()

    simulate(scene)


def test_a_disk_that_hangs_neither_fills_the_memory_nor_loses_what_waits(simulate: Simulate, state_dir: Path) -> None:
    """While the writer hangs packets stay in the ring, restart after restart, and go on to the disk after."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            playing = asyncio.ensure_future(on.play(packets(seconds=20, start=BEGIN)))
            await on.until(BEGIN + 7.5)
            await on.emit(EventKind.OPENED, BEGIN + 7.0)
            await on.until(BEGIN + 9.0)
            gate = asyncio.get_running_loop().create_future()
            on.recorder._job = gate
            for _ in range(5):
                await asyncio.sleep(1.0)
                on.task.cancel()
                await asyncio.gather(on.task, return_exceptions=True)
                on.task = asyncio.ensure_future(on.recorder.run(Pulse("record", 60.0, clock)))
            assert on.recorder._unwritten == []
            assert len(on.recorder._ring._tap._packets) == pytest.approx(5 * RATE, abs=3)
            gate.set_result(None)
            await playing
            await on.stop()
            assert sum(shown(clip.path) for clip in await on.outbox.clips_of(INCIDENT)) == 18 * RATE

    simulate(scene)


def test_the_clip_ends_with_its_post_roll(simulate: Simulate, state_dir: Path) -> None:
    """Pictures that came after its end, while the recorder was busy, are no part of it."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state_dir) as on:
            await on.play(packets(seconds=6, start=BEGIN))
            await on.emit(EventKind.OPENED, BEGIN + 3.0)
            await on.emit(EventKind.CLOSED, BEGIN + 4.0, keep_until=BEGIN + 4.95)
            await asyncio.sleep(1.0)
            (clip,) = await on.outbox.clips_of(INCIDENT)
            assert shown(clip.path) == 5 * RATE

    simulate(scene)


async def test_work_for_the_writer_is_done_though_its_caller_was_cancelled(state_dir: Path) -> None:
    """What was handed to the writer's thread happens, also when it had not begun."""
    busy, done = threading.Event(), list[int]()
    async with stage(SystemClock(), state_dir) as on:
        first = asyncio.ensure_future(on.recorder._on_writer(busy.wait))
        second = asyncio.ensure_future(on.recorder._on_writer(lambda: done.append(2)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        busy.set()
        await first
        await on.recorder._writer_idle()
    assert done == [2]
