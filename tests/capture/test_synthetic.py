from __future__ import annotations

from itertools import count, islice, pairwise
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from edged.base.config import Duration
from edged.capture.backend import backend
from edged.capture.encoder import Encoder, ticks
from edged.capture.scene import Scene
from edged.capture.settings import CameraSettings, SyntheticSettings
from edged.capture.stream import StreamCamera
from edged.capture.synthetic import SyntheticCamera
from edged.model import Frame, Packet
from tests.capture.clips import StepClock, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = CameraSettings(
    source="synthetic",
    speed="full",
    size="320x180",
    rate=10.0,
    synthetic=SyntheticSettings(period=Duration(20), walks=(4.0,), walk=Duration(5), lamps=(15.0,)),
)


def items(settings: CameraSettings, number: int) -> list[Packet | Frame]:
    """Read `number` items from a fresh synthetic camera."""
    camera = backend("cam", settings, password="", clock=StepClock())(count(1))
    assert isinstance(camera, SyntheticCamera)
    camera.open()
    taken = list(islice(camera.read(), number))
    camera.close()
    return taken


def test_the_same_seed_draws_the_same_video_and_another_does_not() -> None:
    """Packets and frames are equal to the last byte, so a test that fails does so again."""
    other = SyntheticSettings(seed=2)
    first, second = items(SETTINGS, 60), items(SETTINGS, 60)
    for one, two in zip(first, second, strict=True):
        if isinstance(one, Packet):
            assert one == two
        else:
            assert isinstance(two, Frame)
            assert np.array_equal(one.luma, two.luma)
    changed = items(CameraSettings(source="synthetic", speed="full", size="320x180", synthetic=other), 1)
    assert isinstance(changed[0], Packet)
    assert isinstance(first[0], Packet)
    assert changed[0].data != first[0].data


def test_a_synthetic_camera_is_like_any_other() -> None:
    """Ten packets a second with a key frame each second, eight frames, each of a packet's picture."""
    taken = items(SETTINGS, 72)
    packets = [item for item in taken if isinstance(item, Packet)]
    frames = [item for item in taken if isinstance(item, Frame)]
    assert (len(packets), len(frames)) == (40, 32)
    assert [number for number, packet in enumerate(packets) if packet.key] == [0, 10, 20, 30]
    assert {frame.pts for frame in frames} <= {packet.pts for packet in packets}
    assert packets[10].mono - packets[0].mono == pytest.approx(1.0)


def test_the_scene_shows_its_truth() -> None:
    """The figure is where it is said to be and nowhere else, and the lamp changes the light when it is said to."""
    scene = Scene(SETTINGS.synthetic, 320, 180)
    quiet, walking = scene.draw(0, 3.0).astype(float), scene.draw(0, 6.5).astype(float)
    box = scene.walker(6.5)
    assert scene.walker(3.0) is None
    assert box is not None
    changed = np.abs(walking - quiet) > 10
    x, y, w, h = box
    inside = np.zeros_like(changed)
    inside[round(y * 180) : round((y + h) * 180), round(x * 320) : round((x + w) * 320)] = True
    assert changed[inside].mean() > 0.5
    assert not changed[~inside].any()
    assert (scene.light(14.9), scene.light(15.0), scene.light(34.9), scene.light(35.0)) == (1.0, 0.6, 0.6, 1.0)
    assert scene.draw(1, 15.0).mean() < 0.8 * scene.draw(1, 14.9).mean()


def test_no_two_pictures_have_the_same_noise() -> None:
    """A minute of the same scene never repeats a picture, as no sensor does."""
    scene = Scene(SETTINGS.synthetic, 320, 180)
    pictures = [scene.draw(number, 1.0) for number in range(300)]
    assert len({drawn.tobytes() for drawn in pictures}) == 300
    steps = [float(np.std(a.astype(float) - b)) for a, b in pairwise(pictures[:5])]
    assert all(2.0 < step < 4.0 for step in steps)  # two pictures with a deviation of 2 each


def test_each_source_has_its_backend() -> None:
    """A stream's settings make a stream camera."""
    made = backend("cam", CameraSettings(url="rtsp://10.0.0.2/live"), password="", clock=StepClock())(count(1))
    assert isinstance(made, StreamCamera)


def encoder() -> Encoder:
    """Make an encoder with a key frame each second."""
    return Encoder("cam", epochs=count(5), rate=10.0, quality=24, keyframes=1.0)


def test_a_picture_that_is_not_later_than_the_last_is_left_out() -> None:
    """Equal and falling time stamps make no packet, for no player could show them."""
    mine = encoder()
    made = [mine.encode(picture(n), ticks(seconds), seconds) for n, seconds in enumerate([0.0, 0.1, 0.1, 0.05, 0.2])]
    assert [packet is not None for packet in made] == [True, True, False, False, True]


def test_pictures_of_another_size_begin_a_new_epoch_with_a_key_frame() -> None:
    """A camera that changes its resolution is recorded on, and odd sides are made even."""
    mine = encoder()
    sizes: Iterator[tuple[int, int]] = iter([(160, 120), (160, 120), (320, 240), (320, 240)])
    packets = [mine.encode(picture(n, size), ticks(n / 10), 0.0) for n, size in enumerate(sizes)]
    assert [(p.stream.epoch, p.stream.width, p.key) for p in packets if p] == [
        (5, 160, True),
        (5, 160, False),
        (6, 320, True),
        (6, 320, False),
    ]
    odd = av.VideoFrame.from_ndarray(np.full((101, 151, 3), 90, np.uint8), format="bgr24")
    packet = mine.encode(odd, ticks(1.0), 0.0)
    assert packet is not None
    assert (packet.stream.width, packet.stream.height) == (150, 100)


def test_key_frames_come_by_time_and_not_by_count() -> None:
    """A camera at one picture a second has a key frame in each, one at fifty every fiftieth."""
    slow, fast = encoder(), encoder()
    assert [p.key for n in range(4) if (p := slow.encode(picture(n), ticks(n), 0.0))] == [True] * 4
    keys = [n for n in range(101) if (p := fast.encode(picture(n), ticks(n / 50), 0.0)) and p.key]
    assert keys == [0, 50, 100]
