"""Cameras that break in every way: each is noticed, recovered by the ladder in the same process, and in the ledger.

The signs, the ladder and the times of the ledger have their tables and scenes in tests/capture (test_health.py,
test_ladder.py, test_loop.py, test_stamps.py, test_view.py), a stopped and a killed RTSP server in tests/capture/
test_rtsp.py, mails in tests/app/test_notices.py and tests/scenes/test_two_cameras.py, a V4L2 device in tests/vivid.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest

from edged.base.config import Duration
from edged.capture.settings import CameraSettings, HealthSettings
from scripts.soaks.oracle.pictures import Shown, gaps
from tests.capture.test_loop import Scene
from tests.capture.test_rtsp import Watched
from tests.feeder import Fault, Feeder, Run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edged.model import StreamInfo

LONG = 120.0  # seconds, for a machine that has other things to do
QUICK = HealthSettings(silence=Duration(4), stuck=Duration(12), frozen=Duration(3), dark=Duration(2))
pytestmark = pytest.mark.timeout(400)


def settings(feeder: Feeder) -> CameraSettings:
    """Settings of a camera whose loss is noticed quickly."""
    return CameraSettings(url=feeder.url, health=QUICK)


@pytest.fixture
async def camera() -> AsyncIterator[Feeder]:
    """A camera that works."""
    feeder = Feeder()
    yield feeder
    await asyncio.to_thread(feeder.close)


def fresh(watched: Watched, streams: list[StreamInfo]) -> bool:
    """Return whether a stream delivers that began after those."""
    return watched.well() and bool(watched.packets) and watched.packets[-1].stream.epoch > streams[-1].epoch


OUTAGES: dict[Fault, tuple[str, ...]] = {
    "hang": ("no picture for", "nothing to record", "did not answer in time", "stream has ended"),
    "refuse": ("stream has ended", "Connection re"),
    "end": ("stream has ended",),
    "garbage": ("can't be read", "no picture", "did not", "nothing to record"),
    "sound": ("sends sound but no picture",),
    "frozen": ("the picture has been frozen",),
}


async def test_cameras_without_pictures_are_lost_and_come_back() -> None:
    """Each way is a gap with its reason, the ladder opens the camera anew, and no connection of before is left."""
    async with asyncio.TaskGroup() as group:
        for fault, reasons in OUTAGES.items():
            group.create_task(outage(fault, reasons))


def says(watched: Watched, words: tuple[str, ...]) -> bool:
    """Return whether health says one of these."""
    return any(each in watched.loop.health.text for each in words)


async def outage(fault: Fault, reasons: tuple[str, ...]) -> None:
    """Break one camera and mend it."""
    watched = Watched(settings(camera := Feeder()))
    async with watched.running():
        await watched.until(lambda: len(watched.frames) > 5, LONG)
        streams = [watched.packets[-1].stream]
        camera.fault = fault
        await watched.until(lambda: watched.loop.health.rung > 0 and says(watched, reasons), LONG)
        camera.fault = ""
        await watched.until(lambda: fresh(watched, streams), LONG)
        await watched.until(lambda: camera.open == 1, LONG)
    assert watched.ledger.entries[-1][1] is not None
    await watched.until(lambda: camera.open == 0, LONG)
    await asyncio.to_thread(camera.close)


async def test_cameras_with_a_mad_clock_or_a_picture_a_second_go_on() -> None:
    """Pictures come, stamps rise by the time that passes, and none is dated far from its arrival."""
    faults: tuple[Fault, ...] = ("slow", "jumping", "standing", "returning")
    async with asyncio.TaskGroup() as group:
        for fault in faults:
            group.create_task(strange(fault))


async def strange(fault: Fault) -> None:
    """Let one camera be strange for some seconds."""
    calm = replace(QUICK, silence=Duration(20), stuck=Duration(30))
    watched = Watched(CameraSettings(url=(camera := Feeder()).url, read_timeout=Duration(10), health=calm))
    async with watched.running():
        await watched.until(lambda: len(watched.frames) > 5, LONG)
        camera.fault = fault
        count, began = len(watched.packets), watched.clock.mono()
        await watched.until(lambda: watched.clock.mono() - began > 4.0 and len(watched.packets) > count + 3, LONG)
        packets = watched.packets[count + 1 :]
        assert watched.well()
        assert {packet.stream.epoch for packet in packets} == {1}
        shown = float((packets[-1].pts - packets[0].pts) * packets[0].stream.time_base)
        # the jump itself may leave what a live stream is allowed to run ahead
        assert abs(shown - (packets[-1].mono - packets[0].mono)) < 10.0
        assert all(earlier.dts < later.dts for earlier, later in pairwise(packets))
    assert watched.ledger.entries == []
    await asyncio.to_thread(camera.close)


async def test_another_size_in_mid_stream_is_another_epoch(camera: Feeder) -> None:
    """The camera is not opened anew for it; pictures go on, described as what they are."""
    watched = Watched(settings(camera))
    async with watched.running():
        await watched.until(lambda: len(watched.frames) > 5, LONG)
        camera.size = (640, 360)
        await watched.until(lambda: watched.packets[-1].stream.width == 640 and watched.well(), LONG)
    change = next(packet for packet in watched.packets if packet.stream.width == 640)
    assert change.key
    assert change.stream.extradata


def delivers(watched: Watched, codec: str, count: int) -> bool:
    """Return whether more than `count` packets have come, the newest of `codec`."""
    return watched.well() and len(watched.packets) > count and watched.packets[-1].stream.codec == codec


async def test_another_codec_in_mid_stream_is_opened_anew_and_spoils_nothing(camera: Feeder) -> None:
    """From H.264 to HEVC and back: no packet is handed on as what it is not."""
    watched = Watched(settings(camera))
    async with watched.running():
        for codec, name in (("libx264", "h264"), ("libx265", "hevc"), ("libx264", "h264")):
            camera.codec = codec
            await watched.until(partial(delivers, watched, name, len(watched.packets) + 5), LONG)
    assert any("no longer sends" in str(entry[2]) for entry in watched.ledger.entries)
    for packet in watched.packets:
        kind = packet.data[packet.data.index(b"\0\0\1") + 3]
        assert (kind & 0x1F in {1, 5, 6, 7, 8, 9}) if packet.stream.codec == "h264" else (kind & 1 == 0)


async def test_a_black_picture_is_told_and_recorded(camera: Feeder) -> None:
    """It is no outage: packets go on."""
    watched = Watched(settings(camera))
    async with watched.running():
        await watched.until(lambda: len(watched.frames) > 5, LONG)
        camera.fault = "black"
        await watched.until(lambda: "dark" in watched.loop.health.signs, LONG)
        assert watched.well()
        camera.fault = ""
        await watched.until(lambda: not watched.loop.health.signs, LONG)


class Diary:
    """When the pictures of a scripted camera came, in virtual time."""

    def __init__(self) -> None:
        self.scene = Scene(CameraSettings(url="rtsp://10.0.0.2/live"))
        self.runs: list[Run] = []

    async def watch(self, seconds: float) -> None:
        """Let pictures come whenever the camera is open, and note those that did."""
        for _ in range(max(1, round(seconds * 4))):
            count = len(self.scene.packets)
            await self.scene.pass_time(0.25, "picture")
            now = self.scene.clock.now
            if len(self.scene.packets) == count:
                continue
            if not self.runs or now - self.runs[-1].end > 0.5:
                self.runs.append(Run(start=now, end=now))
            self.runs[-1].end = now

    async def suffer(self, rng: Random) -> None:
        """Let the camera have one of its troubles."""
        match rng.choice(("silence", "end", "refuse", "stammer")):
            case "silence":
                await self.scene.pass_time(rng.uniform(0.5, 25.0))
            case "end":
                await self.scene.fail("gone")
            case "refuse":
                self.scene.refuses = "connection refused"
                await self.scene.fail("gone")
                await self.scene.pass_time(rng.uniform(1.0, 100.0))
                self.scene.refuses = ""
            case _:
                for _ in range(rng.randrange(8)):
                    await self.watch(rng.uniform(0.25, 1.0))
                    await self.scene.pass_time(rng.uniform(0.25, 4.5))

    async def end(self) -> None:
        """Let every camera's thread go."""
        for camera in self.scene.cameras:
            camera.wake()
            camera.script.put("end")
        await self.scene.loop.stop()


@pytest.mark.parametrize("seed", range(4))
async def test_the_ledger_is_exact_to_the_second_whatever_a_camera_does(seed: int) -> None:
    """A camera that hangs, ends, refuses and stammers, in virtual time: each outage is there, and no other."""
    rng, diary = Random(seed), Diary()
    await diary.scene.look()
    await diary.watch(5.0)
    for _ in range(8):
        await diary.suffer(rng)
        while not diary.scene.delivering():
            await diary.watch(1.0)
        await diary.watch(rng.uniform(0.25, 20.0))
    rows = [
        {"camera": "cam", "start_mono": start, "end_mono": end, "reason": reason}
        for start, end, reason in diary.scene.ledger.entries
    ]
    began, now = diary.runs[0].start, diary.scene.clock.now
    shown = Shown(camera="cam", runs=diary.runs, since=began, until=now, silence=5.0, opening=1.0)
    assert [finding.text for finding in gaps(shown, rows)] == []
    assert len(rows) >= len(shown.outages()) > 0
    await diary.end()
