"""The detector on drawn scenes, and on real footage of a Pi's camera."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from edged.base.config import Share
from edged.capture.analysis import Picker, shrink
from edged.capture.decoder import luma_plane
from edged.detect.incident import IncidentMachine
from edged.detect.motion import MotionDetector
from edged.detect.settings import DetectSettings
from edged.model import Event, EventKind, Frame, Motion
from tests.detect.drawn import HEIGHT, WIDTH, Square, frames, moving, patch, view, watch

if TYPE_CHECKING:
    from tests.detect.drawn import Picture

DATA = Path(__file__).parents[1] / "data"
CROSSING = Square(start=-36, end=WIDTH, begins=5.0, ends=9.0)


@pytest.mark.parametrize("noise", [0.0, 2.0, 6.0, 12.0])
def test_a_still_view_shows_no_motion_whatever_its_noise(noise: float) -> None:
    """Sensor noise, from none to that of a camera in the dark, is no motion."""
    assert moving(watch(15.0, noise=noise)) == []


def test_noise_that_rises_at_once_is_no_motion() -> None:
    """Gain that goes up in the dark multiplies the noise from one picture to the next."""
    random = np.random.default_rng(5)

    def gain(picture: Picture, time: float) -> Picture:
        return picture + random.normal(0.0, 12.0, picture.shape).astype(np.float32) if time > 6.0 else picture

    assert moving(watch(12.0, gain, noise=1.0)) == []


def test_noise_that_rises_before_a_bare_wall_is_no_motion() -> None:
    """Where there is no texture, the noise itself must not pass for it."""
    random = np.random.default_rng(5)

    def gain(picture: Picture, time: float) -> Picture:
        return picture + random.normal(0.0, 25.0, picture.shape).astype(np.float32) if time > 6.0 else picture

    wall = np.full((HEIGHT, WIDTH), 128.0, dtype=np.float32)
    motions = watch(12.0, gain, noise=1.0, background=wall)
    assert moving(motions) == []
    assert not any(motion.unsettled for motion in motions[16:])  # it is watched all the time


@pytest.mark.parametrize("noise", [1.0, 6.0])
@pytest.mark.parametrize("rate", [5.0, 8.0, 10.0])
def test_a_thing_that_crosses_is_found_within_a_second_and_where_it_is(rate: float, noise: float) -> None:
    """A square of 2 % of the view that crosses it is seen soon, most of the time, and in its place."""
    found = moving(watch(10.0, CROSSING, rate=rate, noise=noise))
    assert found
    assert 5.0 <= found[0].mono <= 6.0
    inside = [motion for motion in found if motion.mono < 9.0]
    assert len(inside) >= 0.7 * 3.0 * rate
    for motion in inside:
        region = max(motion.regions, key=lambda region: region.w * region.h)
        truth = (CROSSING.x(motion.mono) + CROSSING.side / 2) / WIDTH
        assert region.x - 0.1 <= truth <= region.x + region.w + 0.1
        assert region.y <= (CROSSING.y + CROSSING.side / 2) / HEIGHT <= region.y + region.h


def test_a_larger_and_more_central_picture_scores_higher() -> None:
    """The best picture of a thing that crosses is one from the middle of its way, not from the view's edge."""
    best = max(watch(10.0, CROSSING), key=lambda motion: motion.score)
    assert 0.2 < (CROSSING.x(best.mono) + CROSSING.side / 2) / WIDTH < 0.8


@pytest.mark.parametrize(("before", "after"), [(1.0, 0.35), (0.4, 1.0), (1.0, 1.6)])
def test_a_lamp_is_no_motion(before: float, after: float) -> None:
    """Light that changes from one picture to the next withholds all, and the view is watched again soon after."""

    def lamp(picture: Picture, time: float) -> Picture:
        return picture * np.float32(after if time >= 6.0 else before)

    motions = watch(14.0, lamp, Square(start=-36, end=WIDTH, begins=10.0, ends=13.0))
    assert moving(motions, 0.0, 9.9) == []
    assert any(motion.unsettled for motion in motions if 6.0 <= motion.mono < 7.0)
    assert moving(motions, 10.0, 11.0)


def test_drifting_light_is_no_motion() -> None:
    """Dusk and clouds change the light by half within half a minute."""

    def dusk(picture: Picture, time: float) -> Picture:
        return picture * np.float32(0.75 + 0.25 * math.cos(time / 5.0))

    assert moving(watch(40.0, dusk)) == []


def test_headlights_that_sweep_over_the_view_are_no_motion() -> None:
    """A soft patch of light that wanders changes brightness, but no texture."""
    across = np.arange(WIDTH, dtype=np.float32)[None, :]

    def headlights(picture: Picture, time: float) -> Picture:
        centre = (time - 5.0) * 120.0
        light = 1.0 + 0.8 * np.exp(-(((across - centre) / 70.0) ** 2))
        return np.asarray(picture * light, dtype=np.float32)

    assert moving(watch(10.0, headlights)) == []


def test_flicker_is_no_motion() -> None:
    """A failing tube changes the light of the whole view many times a second."""

    def tube(picture: Picture, time: float) -> Picture:
        return picture * np.float32(1.0 + 0.15 * math.sin(time * 17.0))

    assert moving(watch(15.0, tube)) == []


def test_a_crown_that_sways_is_no_motion_and_does_not_hide_a_passer_by() -> None:
    """Fine texture that plays by some pixels is learned within seconds; who crosses before it is still seen."""
    leaves = np.random.default_rng(3).normal(110.0, 45.0, (60, 110)).astype(np.float32)
    crown = cv2.resize(leaves, (220, 120), interpolation=cv2.INTER_LINEAR)

    def sway(picture: Picture, time: float) -> Picture:
        drawn = picture.copy()
        shift = round(6 + 4.0 * math.sin(time * 2.1) + 2.0 * math.sin(time * 5.3))
        drawn[20:130, 60:260] = crown[5:115, shift : shift + 200]
        return drawn

    passer_by = Square(start=-50, end=WIDTH, begins=20.0, ends=24.0, y=80, side=50)
    motions = watch(26.0, sway, passer_by)
    assert moving(motions, 6.0, 19.9) == []
    assert len(moving(motions, 20.0, 24.0)) >= 8


def test_rain_is_no_motion() -> None:
    """Streaks at random places, each in one picture, make no thing."""
    random = np.random.default_rng(9)

    def rain(picture: Picture, _: float) -> Picture:
        drawn = picture.copy()
        for x, y in zip(random.integers(0, WIDTH - 1, 60), random.integers(0, HEIGHT - 14, 60), strict=True):
            drawn[y : y + 14, x : x + 1] += 60.0
        return drawn

    assert moving(watch(20.0, rain)) == []


def test_what_is_put_down_stops_to_be_motion() -> None:
    """A thing that comes and stays is motion while it comes, and is learned then."""
    motions = watch(20.0, Square(start=-36, end=140, begins=5.0, ends=7.0))
    assert moving(motions, 5.0, 7.5)
    assert moving(motions, 8.5) == []


def test_the_hole_that_a_thing_leaves_is_no_motion() -> None:
    """What was in the view at the start and goes away leaves a difference, but nothing that changes."""
    motions = watch(20.0, Square(start=140, end=WIDTH, begins=6.0, ends=8.0))
    assert moving(motions, 6.0, 8.5)
    assert moving(motions, 9.5) == []


def test_a_start_in_the_middle_of_motion_finds_it() -> None:
    """After a boot with somebody in the view the motion is found within two seconds."""
    motions = watch(5.0, Square(start=20, end=280, begins=0.0, ends=5.0))
    assert moving(motions, 0.0, 2.0)


def test_a_camera_that_starts_is_unsettled() -> None:
    """A black picture that ramps up to the view within a second is no motion."""

    def ramp(picture: Picture, time: float) -> Picture:
        return picture * np.float32(min(1.0, time / 1.2))

    motions = watch(8.0, ramp)
    assert motions[0].unsettled
    assert moving(motions) == []


def test_smaller_than_the_smallest_does_not_count() -> None:
    """The least share of the view is the user's to set."""
    small = Square(start=-36, end=WIDTH, begins=5.0, ends=9.0, side=24)
    assert moving(watch(10.0, small))
    assert moving(watch(10.0, small, settings=DetectSettings(smallest=Share(0.05)))) == []


def test_a_mask_hides_and_a_zone_names() -> None:
    """Motion under a mask never counts; with zones each region carries the one it is in."""
    lower = ((0.0, 0.4), (1.0, 0.4), (1.0, 1.0), (0.0, 1.0))
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    assert moving(watch(10.0, CROSSING, settings=DetectSettings(masks={"street": lower}))) == []
    found = moving(watch(10.0, CROSSING, settings=DetectSettings(zones={"door": left})))
    assert {region.zone for motion in found for region in motion.regions} == {"door"}
    assert max(motion.mono for motion in found) < 7.8


def test_other_zones_and_sizes_hold_from_the_next_frame_on() -> None:
    """Nothing that was learned of the view is lost: no second of settling comes between."""
    lower = ((0.0, 0.4), (1.0, 0.4), (1.0, 1.0), (0.0, 1.0))
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    detector, found = MotionDetector(DetectSettings(masks={"street": lower})), list[Motion]()
    for frame in frames(10.0, CROSSING):
        if frame.mono >= 6.0:
            detector.adopt(DetectSettings(zones={"door": left}))
        if frame.mono >= 7.0:
            detector.adopt(DetectSettings(smallest=Share(0.5)))
        found.append(detector.feed(frame))
    seen = moving(found)
    assert {region.zone for motion in seen for region in motion.regions} == {"door"}
    assert 6.0 <= seen[0].mono <= 6.3
    assert seen[-1].mono < 7.0
    assert not any(motion.unsettled for motion in found if motion.mono > 2.0)


def test_a_view_that_changed_during_a_gap_is_learned_anew() -> None:
    """What came or went while the camera was away is no motion when it returns."""
    detector = MotionDetector(DetectSettings())
    away = [detector.feed(frame) for frame in frames(6.0)]
    back = [detector.feed(frame) for frame in frames(6.0, lambda picture, _: patch(picture, 150, 60, 60), start=66.0)]
    assert moving(away) == []
    assert moving(back) == []
    assert back[0].unsettled


def test_a_picture_of_another_size_starts_anew() -> None:
    """A camera that comes back with another size is watched on."""
    detector = MotionDetector(DetectSettings())
    for frame in frames(3.0):
        detector.feed(frame)
    other = Frame(camera="yard", epoch=2, pts=0, mono=3.0, luma=np.zeros((240, 180), dtype=np.uint8))
    assert detector.feed(other).unsettled


@pytest.mark.parametrize("jump", [-1000.0, 1000.0])
def test_a_clock_that_is_set_starts_anew(jump: float) -> None:
    """Time that jumps, back too, costs a second of settling and no more."""
    detector = MotionDetector(DetectSettings())
    before = [detector.feed(frame) for frame in frames(5.0, start=2000.0)]
    after = [detector.feed(frame) for frame in frames(10.0, CROSSING, start=2000.0 + jump)]
    assert moving(before) == []
    assert after[0].unsettled
    assert moving(after, 0.0, 2004.9 + jump) == []
    assert moving(after, 2005.0 + jump, 2006.0 + jump)


def test_time_stamps_that_jump_do_no_harm() -> None:
    """Equal and falling times are survived, and the scene stays quiet."""
    detector = MotionDetector(DetectSettings())
    drawn = frames(6.0)
    for place in (20, 30):
        drawn.insert(place, drawn[place - 5])
    assert moving([detector.feed(frame) for frame in drawn]) == []


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (160, 90), (180, 320), (40, 30)])
def test_any_size_of_picture_will_do(size: tuple[int, int]) -> None:
    """Upright, wide, small: a thing that crosses is found in all."""
    detector = MotionDetector(DetectSettings())
    small = [
        Frame(camera="yard", epoch=1, pts=frame.pts, mono=frame.mono, luma=shrink_to(frame, size))
        for frame in frames(10.0, Square(start=-80, end=WIDTH, begins=5.0, ends=9.0, y=50, side=80))
    ]
    assert moving([detector.feed(frame) for frame in small], 5.0, 9.5)


def shrink_to(frame: Frame, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the frame's picture in another size."""
    return np.asarray(cv2.resize(frame.luma, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def test_the_frame_is_left_as_it_was() -> None:
    """Others may look at the same read-only picture."""
    luma = view().astype(np.uint8)
    luma.flags.writeable = False
    MotionDetector(DetectSettings()).feed(Frame(camera="yard", epoch=1, pts=4, mono=2.0, luma=luma))
    assert np.array_equal(luma, view().astype(np.uint8))


def test_a_man_who_crosses_a_real_room_and_comes_back_is_one_incident() -> None:
    """Both crossings lie in one incident of about their length, found within a second of the first."""
    opened, closed = incidents(DATA / "bew_walking_by.mp4")
    assert (opened.kind, closed.kind) == (EventKind.OPENED, EventKind.CLOSED)
    assert 5.8 <= opened.mono <= 7.4  # he is in the view from 6.4 s, his shadow from 5.8 s
    assert 11.0 <= closed.mono <= 12.9


def test_a_real_lamp_and_camera_start_are_no_incident() -> None:
    """Nothing moves in an empty room in which the camera starts and the light goes on."""
    assert incidents(DATA / "bew_dark_light.mp4") == []


def incidents(path: Path) -> list[Event]:
    """Watch a clip from a cold start; return the openings and closings."""
    settings = DetectSettings()
    detector, machine, picker = MotionDetector(settings), IncidentMachine("door", settings), Picker(8.0)
    events: list[Event] = []
    with av.open(str(path)) as container:
        for picture in container.decode(container.streams.video[0]):
            if not picker.take(picture.time):
                continue
            luma = shrink(luma_plane(picture))
            frame = Frame(camera="door", epoch=1, pts=picture.pts or 0, mono=picture.time, luma=luma)
            events += machine.feed(detector.feed(frame))
        events += machine.close(picture.time)
    return [event for event in events if event.kind is not EventKind.EXTENDED]
