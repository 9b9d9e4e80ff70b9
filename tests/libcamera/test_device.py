"""A whole edged with virtual Pi cameras: what it records, and how it recovers."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING
from urllib.request import urlopen

import av
import cv2
import numpy as np
import pytest

from tests.libcamera.conftest import PICTURES, ROOT
from tests.libcamera.device import device

if TYPE_CHECKING:
    from pathlib import Path

    from tests.libcamera.conftest import VirtualPi

pytestmark = pytest.mark.timeout(180)  # importing and starting all of this takes seconds, more on a busy machine


async def test_a_clip_begins_before_and_holds_every_picture_with_the_sensors_time(virtual_pi: VirtualPi) -> None:
    """From a key frame at or before the pre-roll on no picture is missing; each has the time that the sensor noted."""
    stamps = virtual_pi.order("stamps", "front")
    async with device(virtual_pi, "front") as box:
        await box.well()
        while len(stamps.read_text().splitlines()) < 10 * 4:  # more than the pre-roll of two seconds
            await asyncio.sleep(0.1)
        asked = _stamps(stamps)[-1][1]
        clip = await box.recorded("front", 1.0)
    taken = dict(_stamps(stamps))
    with av.open(str(clip)) as container:
        pictures = list(container.decode(video=0))
    assert pictures[0].key_frame
    times = np.array([float(picture.time or 0.0) for picture in pictures])
    first = _first(times - times[0], taken)
    assert taken[first] <= asked - 2.0
    assert taken[first + len(pictures) - 1] >= asked + 0.8
    for number, picture in enumerate(pictures, first):
        assert virtual_pi.number("front", picture.to_ndarray()[: picture.height]) == number % PICTURES
        told = float(picture.time or 0.0) - times[0]
        assert told == pytest.approx(taken[number] - taken[first], abs=1e-4)  # MP4 rounds


def _stamps(path: Path) -> list[tuple[int, float]]:
    """Return number and time, in seconds, of each picture that the sensor has taken."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return [(int(words[0]), int(words[1]) / 1e9) for words in lines if len(words) == 2]


def _first(times: np.ndarray, taken: dict[int, float]) -> int:
    """Return the number of the picture that a clip with these times since its start begins with: no two fit alike."""

    def off(first: int) -> float:
        sensors = np.array([taken[number] for number in range(first, first + len(times))])
        return float(np.abs(sensors - sensors[0] - times).max())

    return min(range(min(taken), max(taken) + 2 - len(times)), key=off)


async def test_a_still_is_whole_and_in_colour_and_no_picture_is_missing_for_it(virtual_pi: VirtualPi) -> None:
    """It has the size of the recording and the colours that the sensor saw, and what that tells is in the metrics."""
    stamps = virtual_pi.order("stamps", "front")
    async with device(virtual_pi, "front", size="1280x720") as box:
        await box.well()
        recording = asyncio.create_task(box.recorded("front", 3.0))
        stills = []
        for _ in range(3):
            with await asyncio.to_thread(urlopen, f"{box.page}/stills/front.jpg") as answer:
                stills.append(cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR))
            await asyncio.sleep(0.5)
        with await asyncio.to_thread(urlopen, f"{box.page}/metrics") as answer:
            metrics = answer.read().decode()
        clip = await recording
    assert 'edged_camera_lux{camera="front"} 120.0\n' in metrics
    for still in stills:
        assert still is not None
        assert still.shape == (720, 1280, 3)
        number = virtual_pi.number("front", cv2.cvtColor(still, cv2.COLOR_BGR2GRAY))
        assert np.abs(still.astype(int) - virtual_pi.picture("front", number)).mean() < 4
    with av.open(str(clip)) as container:
        times = [packet.pts * packet.time_base for packet in container.demux(video=0) if packet.pts is not None]
    taken = [at for _, at in _stamps(stamps)]
    assert max(np.diff(np.array(times, dtype=float))) <= max(np.diff(taken)) + 2e-5


async def test_a_sensor_that_hangs_is_lost_and_found_while_the_other_goes_on(virtual_pi: VirtualPi) -> None:
    """The stalled one of two is told, opened anew and back; the other records meanwhile."""
    async with device(virtual_pi, "front", "back") as box:
        await box.well()
        virtual_pi.order("stall", "front")
        await box.heard("camera lost", camera="front")
        clip = await box.recorded("back", 2.0)
        virtual_pi.let("stall", "front")
        await box.heard("camera back", camera="front")
    with av.open(str(clip)) as container:
        pictures = list(container.decode(video=0))
    assert pictures[0].key_frame
    assert len(pictures) >= 20  # two seconds at ten a second, and what the pre-roll had of before


async def test_a_cable_that_is_pulled_and_put_back(virtual_pi: VirtualPi) -> None:
    """Pictures stop, and the sensor can't be started any more: its driver's answer is told until it is back."""
    async with device(virtual_pi, "front") as box:
        await box.well()
        virtual_pi.order("unplugged", "front")
        told = await box.heard("camera lost", camera="front")
        assert told["reason"] == "the Pi camera gave no picture for 2 s"
        told = await box.heard("camera will be opened anew", rung=2)
        assert told["reason"] == "the Pi camera can't be started: Failed to start camera: Remote I/O error"
        virtual_pi.let("unplugged", "front")
        await box.heard("camera back", camera="front")


async def test_a_camera_that_another_program_uses(virtual_pi: VirtualPi) -> None:
    """It is told that it is in use, and opened as soon as it is free."""
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.libcamera.child", "hold", "front"),
        env=virtual_pi.environment,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert await holder.stdout.readline() == b'"front"\n'
    async with device(virtual_pi, "front") as box:
        told = await box.heard("camera lost")
        assert "can't be started: Failed to acquire camera: Device or resource busy; another" in told["reason"]
        holder.stdin.close()
        await box.heard("camera back")
        await holder.wait()


async def test_an_exception_in_the_cameras_own_thread(virtual_pi: VirtualPi) -> None:
    """picamera2's thread ends with it and says nothing to anybody; the camera is opened anew."""
    broken = virtual_pi.folder / "broken"
    async with device(virtual_pi, "front", EDGED_TEST_BREAK=str(broken)) as box:
        await box.well()
        broken.touch()
        await box.heard("camera lost", camera="front")
        broken.unlink()
        await box.heard("camera back", camera="front")


async def test_an_ordered_stop_while_a_camera_hangs(virtual_pi: VirtualPi) -> None:
    """It ends by itself and in good order, with the other camera's incident closed."""
    async with device(virtual_pi, "front", "back") as box:
        await box.well()
        virtual_pi.order("stall", "front")
        incident = (await box.call("record", camera="back", seconds=60))["incident"]
        box.process.terminate()
        await box.heard("incident closed", incident=incident)
        await box.heard("edged stopped")
        assert await box.process.wait() == 0


@pytest.mark.parametrize("stop", [False, True])
async def test_a_driver_that_never_answers_cannot_keep_edged_alive(virtual_pi: VirtualPi, *, stop: bool) -> None:
    """No thread of the process may run then; it ends all the same, says where that was, and is started anew."""
    async with device(virtual_pi, "front") as box:
        await box.well()
        virtual_pi.order("stuck", "front")
        if stop:
            box.process.send_signal(signal.SIGTERM)
        said = await box.rest()
        code = await box.process.wait()
        assert code == 1 or stop  # told to stop it may be gone before libcamera is asked
        assert code == 0 or ("Timeout (0:00:05)!" in said and "picamera2.py" in said)
        virtual_pi.let("stuck", "front")
    async with device(virtual_pi, "front") as box:
        await box.well()
