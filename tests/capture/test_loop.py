from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from edged.base.clock import Stamp, stamp
from edged.base.config import Duration
from edged.base.handover import Latest
from edged.base.pulse import Pulse
from edged.capture.gaps import GapBook
from edged.capture.loop import CaptureLoop
from edged.capture.reader import Reader
from edged.capture.settings import CameraSettings, HealthSettings
from edged.capture.stream import StreamCamera
from edged.capture.view import ViewWatch
from edged.model import Frame, Gap, Packet, Sign
from tests.capture.clips import ScriptedCamera, StepClock, make_clip

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from edged.capture.camera import Camera


class Ledger:
    """The gap ledger: entries as [start, end, reason] by mono time; refuses while `broken`."""

    def __init__(self) -> None:
        self.entries: list[list[float | str | None]] = []
        self.broken = False

    async def open_gap(self, gap: Gap) -> int:
        """Enter a gap."""
        if self.broken:
            raise OSError("disk full")
        self.entries.append([gap.start.mono, None, gap.reason])
        return len(self.entries) - 1

    async def close_gap(self, number: int, end: Stamp) -> None:
        """End a gap."""
        assert self.entries[number][1] is None
        self.entries[number][1] = end.mono


async def no_reset(reason: str) -> None:
    """Nobody is to ask for a reset."""
    raise AssertionError(reason)


class Scene:
    """A capture loop whose cameras follow scripts, on a clock that the test moves."""

    def __init__(self, settings: CameraSettings) -> None:
        self.clock = StepClock()
        self.ledger = Ledger()
        self.packets: list[Packet] = []
        self.cameras: list[ScriptedCamera] = []
        self.refuses = ""
        self.frames: Latest[Frame] = Latest()
        self.resets: list[str] = []
        self.loop = CaptureLoop(
            "cam",
            self._open_camera,
            settings,
            self.clock,
            on_packet=self.packets.append,
            frames=self.frames,
            open_gap=self.ledger.open_gap,
            close_gap=self.ledger.close_gap,
            ask_reset=self._reset,
        )

    async def _reset(self, reason: str) -> None:
        self.resets.append(reason)

    def _open_camera(self, _: Iterator[int]) -> Camera:
        self.cameras.append(ScriptedCamera(self.clock, self.refuses))
        return self.cameras[-1]

    def delivering(self) -> bool:
        """Return what health says now."""
        return self.loop.health.delivering

    async def pass_time(self, seconds: float, order: str = "") -> None:
        """Let time pass in steps of a quarter second, with the order carried out at each."""
        for _ in range(round(seconds * 4)):
            self.clock.now += 0.25
            if order:
                await self.order(order)
            await self.look()

    async def order(self, order: str) -> None:
        """Have the newest camera carry an order out, if it is open."""
        reader, script = self.loop._reader, self.cameras[-1].script
        if reader is None:
            return
        script.put(order)
        while script.unfinished_tasks and not reader.join(0.0005):
            await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)  # what the thread handed to the event loop comes first

    async def fail(self, order: str) -> None:
        """Have the newest camera end its thread by an order, and look."""
        self.cameras[-1].script.put(order)
        await self.ended()
        await self.look()

    async def ended(self) -> None:
        """Wait until the present thread has ended."""
        reader = self.loop._reader
        assert reader is not None
        while not reader.join(0.001):
            await asyncio.sleep(0)

    async def look(self) -> None:
        """Take one step without waiting for the tick; a thread that refuses to open is waited for."""
        before = len(self.cameras)
        self.loop._nudge.set()
        await self.loop.step()
        if len(self.cameras) > before and self.refuses:
            await self.ended()
            self.loop._nudge.set()
            await self.loop.step()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A scene with a live camera that has just been opened."""
    made = Scene(CameraSettings(url="rtsp://10.0.0.2/live"))
    await made.look()
    yield made
    for camera in made.cameras:
        camera.wake()
        camera.script.put("end")
    await made.loop.stop()


async def test_a_healthy_camera_has_no_gap(scene: Scene) -> None:
    """Packets and frames flow, the picture is shown, and the ledger stays empty."""
    await scene.pass_time(20, "picture")
    assert scene.delivering()
    assert scene.loop.health.text == ""
    assert scene.loop.picture is not None
    assert scene.loop.picture.pts == 80
    assert len(scene.packets) == 80
    assert (await scene.frames.get()).pts == 80
    assert scene.frames.dropped == 79
    assert scene.ledger.entries == []


async def test_a_camera_that_breaks_off_is_opened_again_and_the_outage_is_one_gap(scene: Scene) -> None:
    """The gap runs from the last good picture to the first new one, with the first reason."""
    await scene.pass_time(2, "picture")
    lost = scene.clock.now
    await scene.fail("no route to host")
    assert scene.loop.health.signs == {Sign.EXCEPTION}
    assert scene.cameras[0].closed
    scene.refuses = "connection refused"
    await scene.pass_time(2.5)
    scene.refuses = ""
    await scene.pass_time(1.5)
    await scene.pass_time(0.25, "picture")
    assert scene.delivering()
    assert scene.ledger.entries == [[lost, scene.clock.now, "no route to host"]]


async def test_an_hour_without_the_camera_is_one_gap_and_few_attempts(scene: Scene) -> None:
    """The ladder slows down to one attempt a minute, and health tells its rung."""
    await scene.pass_time(2, "picture")
    lost = scene.clock.now
    scene.refuses = "connection refused"
    await scene.fail("no route to host")
    await scene.pass_time(3600)
    assert 60 <= len(scene.cameras) <= 75
    assert scene.loop.health.rung == len(scene.cameras)
    assert scene.ledger.entries == [[lost, None, "no route to host"]]


async def test_idle_tells_a_dead_camera_from_a_wedged_loop(scene: Scene) -> None:
    """Pictures, packets and the ladder's steps are progress, waiting on a rung is none that is missing."""
    await scene.pass_time(2, "picture")
    assert scene.loop.idle() == 0.0
    await scene.pass_time(4)
    assert scene.loop.idle() == 4.0
    await scene.pass_time(0.25, "packet")
    assert scene.loop.idle() == 0.0
    scene.refuses = "connection refused"
    await scene.fail("gone")
    await scene.pass_time(300)
    assert scene.loop.idle() < 1.0
    scene.clock.now += 200  # nobody calls step any more
    assert scene.loop.idle() > 100


async def test_a_hung_camera_is_left_behind_and_what_it_still_sends_is_dropped(scene: Scene) -> None:
    """Silence shows after 5 s, another opening follows after 8 s, and the old thread delivers nothing when it wakes."""
    await scene.pass_time(2, "picture")
    lost = scene.clock.now
    hung = scene.cameras[0]
    hung.script.put("hang")
    await scene.pass_time(5.25)
    assert Sign.NO_FRAMES in scene.loop.health.signs
    assert len(scene.cameras) == 1
    await scene.pass_time(4.25)
    assert len(scene.cameras) == 2
    await scene.pass_time(0.25, "picture")
    back = scene.clock.now
    assert scene.delivering()
    hung.script.put("picture")
    hung.wake()
    count = len(scene.packets)
    await scene.pass_time(1, "picture")
    assert len(scene.packets) == count + 4
    assert hung.closed
    assert len(scene.ledger.entries) == 1
    assert scene.ledger.entries[0][:2] == [lost, back]


async def test_a_network_that_stalls_for_six_seconds_goes_on_by_itself(scene: Scene) -> None:
    """The gap is told, but nothing is opened anew."""
    await scene.pass_time(2, "picture")
    lost = scene.clock.now
    await scene.pass_time(6)
    await scene.pass_time(0.25, "picture")
    assert len(scene.cameras) == 1
    assert scene.delivering()
    assert [entry[:2] for entry in scene.ledger.entries] == [[lost, scene.clock.now]]


async def test_the_last_picture_of_a_silent_stream_makes_no_time_count_twice(scene: Scene) -> None:
    """It may come only when the stream is given up: the outage is then two gaps, one after the other."""
    await scene.pass_time(2, "picture")
    lost = scene.clock.now
    await scene.pass_time(6)
    await scene.pass_time(0.25, "late")
    held = scene.clock.now
    await scene.fail("did not answer in time")
    await scene.pass_time(1.25)
    await scene.pass_time(0.25, "picture")
    assert [entry[:2] for entry in scene.ledger.entries] == [[lost, held], [held, scene.clock.now]]


async def test_frames_alone_are_not_enough(scene: Scene) -> None:
    """A camera whose pictures stop while packets go on, smart codec or decoder trouble, is opened anew."""
    await scene.pass_time(2, "picture")
    await scene.pass_time(9, "packet")
    assert scene.loop.health.signs == {Sign.NO_FRAMES}
    assert scene.loop._reader is None


async def test_a_frozen_picture_is_lost_until_it_changes(scene: Scene) -> None:
    """Identical pictures for a minute are an outage from their first on; the same does not end it, new ones do."""
    await scene.pass_time(2, "picture")
    frozen = scene.clock.now
    await scene.pass_time(60.5, "same")
    assert scene.loop.health.signs == {Sign.FROZEN}
    await scene.pass_time(1.5)
    await scene.pass_time(10, "same")
    assert not scene.delivering()
    thawed = scene.clock.now + 0.25
    await scene.pass_time(0.25 * 33, "picture")
    assert scene.delivering()
    assert [entry[:2] for entry in scene.ledger.entries] == [[frozen, thawed]]


async def test_a_dark_picture_is_told_and_is_no_outage(scene: Scene) -> None:
    """It is recorded like any other: a word in the journal when it is dark and when it is not, and no gap."""
    await scene.pass_time(2, "picture")
    with capture_logs() as said:
        await scene.pass_time(40, "dark")
        assert scene.loop.health.signs == {Sign.DARK}
        assert scene.delivering()
        await scene.pass_time(5, "picture")
    assert scene.loop.health.signs == set()
    assert [each["event"] for each in said] == ["camera sees nothing", "camera sees again"]
    assert scene.ledger.entries == []


async def test_other_limits_hold_from_the_next_look_on(scene: Scene) -> None:
    """What is dark, and after how long, can change while the camera stays open."""
    await scene.pass_time(2, "picture")
    scene.loop.adopt(HealthSettings(dark=Duration(5), dark_level=255))
    await scene.pass_time(6, "picture")
    assert scene.loop.health.signs == {Sign.DARK}
    scene.loop.adopt(HealthSettings())
    await scene.pass_time(1, "picture")
    assert scene.loop.health.signs == set()
    assert len(scene.cameras) == 1


async def test_a_flapping_camera_climbs_the_ladder_and_a_steady_one_comes_down(scene: Scene) -> None:
    """Pictures for two seconds at a time do not bring the ladder back to its first rung, half a minute does."""
    for _ in range(6):
        await scene.pass_time(2, "picture")
        await scene.fail("gone")
        await scene.pass_time(scene.loop._open_at - scene.clock.now + 0.25)
    assert scene.loop._failures == 6
    await scene.pass_time(31, "picture")
    await scene.fail("gone")
    assert scene.loop._failures == 1
    assert len(scene.ledger.entries) == 7


async def test_a_ledger_in_trouble_does_not_stop_the_camera(scene: Scene) -> None:
    """Recovery goes on while the ledger refuses; the gap is entered once, whole, when it takes it."""
    await scene.pass_time(2, "picture")
    lost = scene.clock.now
    scene.ledger.broken = True
    await scene.fail("gone")
    await scene.pass_time(1.25)
    await scene.pass_time(3, "picture")
    back = lost + 1.5
    assert scene.delivering()
    assert scene.ledger.entries == []
    scene.ledger.broken = False
    await scene.pass_time(5, "picture")
    assert scene.ledger.entries == [[lost, back, "gone"]]


async def test_stopping_during_an_outage_ends_the_gap(scene: Scene) -> None:
    """From then on nobody watches, so the ledger does not claim an outage."""
    await scene.pass_time(2, "picture")
    await scene.fail("gone")
    scene.clock.now += 1
    await scene.loop.stop()
    assert scene.ledger.entries[0][1] == scene.clock.now


async def test_a_stopped_loop_delivers_nothing_more(scene: Scene) -> None:
    """After stop the camera is closed, and pictures on the way are dropped."""
    await scene.pass_time(1, "picture")
    count = len(scene.packets)
    scene.cameras[0].script.put("picture")
    await scene.loop.stop()
    assert scene.cameras[0].closed
    assert len(scene.packets) <= count + 1
    scene.loop._nudge.set()
    await scene.loop.step()
    assert len(scene.cameras) == 1


@pytest.mark.parametrize(("wanted", "expected"), [(True, ["connection refused"]), (False, [])])
async def test_a_reset_is_asked_for_once_where_it_is_wanted(wanted: bool, expected: list[str]) -> None:
    """When opening anew has failed ten times, with the reason; and not again for an hour."""
    scene = Scene(CameraSettings(url="rtsp://10.0.0.2/live", reset=wanted))
    scene.refuses = "connection refused"
    await scene.look()
    await scene.pass_time(79)
    assert scene.resets == []
    await scene.pass_time(2)
    assert scene.resets == expected
    await scene.pass_time(3000)
    assert scene.resets == expected
    await scene.pass_time(1000)
    assert scene.resets == expected * 2
    await scene.loop.stop()


async def test_a_driver_that_swallows_threads_gets_few_of_them() -> None:
    """A process has only so many threads, and the other cameras need theirs: it is opened anew when one is free."""
    scene = Scene(CameraSettings(url="/dev/video0", reset=True))
    await scene.look()
    await scene.pass_time(4000)
    assert len(scene.cameras) == 3
    assert "its driver hangs" in scene.loop.health.text
    assert not scene.delivering()
    assert len(scene.resets) == 2  # the ladder goes on
    scene.cameras[0].script.put("end")
    await asyncio.to_thread(scene.loop._left[0].join, 10.0)
    while len(scene.cameras) < 4:
        await scene.pass_time(0.25)
    await scene.pass_time(1, "picture")
    assert scene.delivering()
    for camera in scene.cameras:
        camera.script.put("end")
    await scene.loop.stop()


async def test_a_frame_on_its_way_when_its_camera_is_abandoned_is_dropped() -> None:
    """What the thread handed over before, and the event loop gets to only after, goes nowhere."""
    clock = StepClock()
    camera = ScriptedCamera(clock)
    frames: list[Frame] = []

    async def take(frame: Frame) -> None:
        frames.append(frame)

    reader = Reader(
        camera,
        "cam",
        HealthSettings(),
        clock,
        on_packet=lambda _: None,
        on_frame=take,
        on_end=lambda: None,
        waits=False,
        view=ViewWatch(),
    )
    reader.start()
    camera.script.put("picture")
    camera.script.join()
    reader.abandon()
    camera.script.put("end")
    while not reader.join(0.001):
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert reader.vitals().frame == clock.now
    assert frames == []


async def test_an_unexpected_error_names_its_place_and_not_its_text(scene: Scene) -> None:
    """A library's exception, of which the text may hold anything, is told by its kind and place."""

    class Broken(ScriptedCamera):
        def open(self) -> None:
            raise KeyError("rtsp://user:hunter2@10.0.0.2")  # as careless as a library may be

    scene.cameras[-1].script.put("gone")
    await scene.ended()
    scene.loop._open_camera = lambda _: Broken(scene.clock)
    await scene.look()
    await scene.pass_time(1)
    await scene.ended()
    await scene.look()
    assert "KeyError at" in scene.loop.health.text
    assert "hunter2" not in scene.loop.health.text


async def test_a_camera_that_can_not_be_closed_is_opened_anew_all_the_same(scene: Scene) -> None:
    """What a driver raises at the end does not keep the loop from noticing the end."""

    class Stuck(ScriptedCamera):
        def close(self) -> None:
            raise RuntimeError("device busy")

    await scene.fail("gone")
    scene.loop._open_camera = lambda _: Stuck(scene.clock, refuses="still gone")
    await scene.pass_time(1)
    await scene.ended()
    await scene.look()
    assert scene.loop.health.text == "still gone"
    await scene.pass_time(1)
    assert scene.loop._reader is not None


async def _capture(path: Path, *, loop: bool = False) -> tuple[CaptureLoop, list[Packet], list[Frame], Ledger]:
    """Run a file at full speed through a loop, with a detector that is slower than the file."""
    clock, ledger = StepClock(), Ledger()
    settings = CameraSettings(url=str(path), speed="full", loop=loop)
    packets: list[Packet] = []
    frames: list[Frame] = []
    place: Latest[Frame] = Latest()
    capture = CaptureLoop(
        "cam",
        lambda epochs: StreamCamera("cam", settings, password="", clock=clock, epochs=epochs),
        settings,
        clock,
        on_packet=packets.append,
        frames=place,
        open_gap=ledger.open_gap,
        close_gap=ledger.close_gap,
        ask_reset=no_reset,
    )

    async def detect() -> None:
        while True:
            frames.append(await place.get())
            await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(detect()), tasks.create_task(capture.run(Pulse("cam", 60.0, clock)))]
        while not (capture.finished or (loop and len(frames) > 100)):
            await asyncio.sleep(0.01)
        await capture.stop()
        while place._value is not None:  # the last frame still waits for the detector
            await asyncio.sleep(0.001)
        for task in running:
            task.cancel()
    return capture, packets, frames, ledger


async def test_a_file_at_full_speed_loses_no_frame_and_its_end_is_no_outage(tmp_path: Path) -> None:
    """Detection gets every frame that is due, the loop says that the file has ended, and the ledger stays empty."""
    capture, packets, frames, ledger = await _capture(make_clip(tmp_path / "a.mp4"))
    assert len(packets) == 40
    assert len(frames) == 32  # eight a second of ten
    assert capture.health.signs == {Sign.ENDED}
    assert ledger.entries == []


async def test_a_loop_that_waits_for_detection_can_be_stopped(tmp_path: Path) -> None:
    """Stopping does not wait for a detector that takes no more frames."""
    _, _, frames, ledger = await _capture(make_clip(tmp_path / "a.mp4"), loop=True)
    assert len(frames) > 100
    assert ledger.entries == []


async def test_one_outage_at_a_time() -> None:
    """Beginning twice and ending twice is one gap; a gap that was never written is written whole."""
    ledger, clock = Ledger(), StepClock()
    book = GapBook("cam", ledger.open_gap, ledger.close_gap)
    book.end(stamp(clock))
    book.begin(stamp(clock), "first")
    book.begin(stamp(clock), "second")
    clock.now += 5
    book.end(stamp(clock))
    clock.now += 5
    book.end(stamp(clock))
    assert not book.open
    await book.write(clock.now)
    await book.write(clock.now)
    assert ledger.entries == [[1000.0, 1005.0, "first"]]
