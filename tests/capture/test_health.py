from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.config import Duration
from edged.capture.health import Observer, Vitals, back_since, delivers, hopeless, judge, last_good
from edged.capture.settings import HealthSettings
from edged.capture.view import USUAL, View, ViewWatch
from edged.model import Frame, Sign
from tests.capture.clips import PACKET

FIGURES = HealthSettings()  # silence 5 s, stuck 8 s, first picture 15 s, frozen 60 s, dark 30 s
NOW = 1000.0


def vitals(
    *,
    opened: float = 500.0,
    frame: float | None = 0.1,
    packet: float | None = 0.1,
    changed: float | None = 0.1,
    bright: float | None = 0.1,
    view: View = USUAL,
    error: str = "",
    ended: bool = False,
) -> Vitals:
    """Vitals by ages in seconds."""

    def at(age: float | None) -> float | None:
        return None if age is None else NOW - age

    return Vitals(
        opened=NOW - opened,
        frame=at(frame),
        packet=at(packet),
        frame_taken=at(frame),
        packet_taken=at(packet),
        changed=at(changed),
        bright=at(bright),
        view=view,
        error=error,
        ended=ended,
    )


@pytest.mark.parametrize(
    ("observed", "signs", "text"),
    [
        (vitals(), set(), ""),
        (vitals(frame=4.9, packet=4.9), set(), ""),
        (vitals(frame=6.0), {Sign.NO_FRAMES}, "no picture for 6 s"),
        (vitals(packet=7.0), {Sign.NO_PACKETS}, "nothing to record for 7 s"),
        (vitals(frame=6, packet=6), {Sign.NO_FRAMES, Sign.NO_PACKETS}, "no picture for 6 s, nothing to record for 6 s"),
        (vitals(opened=14, frame=None, packet=None, changed=None, bright=None), set(), ""),
        (
            vitals(opened=16, frame=None, packet=None, changed=None, bright=None),
            {Sign.NO_FRAMES, Sign.NO_PACKETS},
            "no picture for 16 s, nothing to record for 16 s",
        ),
        (vitals(changed=61.0), {Sign.FROZEN}, "the picture has been frozen for 61 s"),
        (vitals(bright=31.0), {Sign.DARK}, "the picture has been dark for 31 s"),
        (vitals(bright=None), {Sign.DARK}, "the picture has been dark for 500 s"),
        (vitals(bright=70.0, changed=70.0), {Sign.DARK}, "the picture has been dark for 70 s"),
        (vitals(view=View(since=NOW - 29)), set(), ""),
        (vitals(view=View(since=NOW - 31)), {Sign.MOVED}, "the camera has looked elsewhere for 31 s"),
        (vitals(view=View(since=NOW - 31, flat=True)), {Sign.COVERED}, "the camera has been covered for 31 s"),
        (vitals(view=View(since=NOW - 99), bright=31.0), {Sign.DARK}, "the picture has been dark for 31 s"),
        (vitals(error="no route to host"), {Sign.EXCEPTION}, "no route to host"),
        (vitals(ended=True), {Sign.ENDED}, "the stream has ended"),
    ],
)
def test_each_sign_is_seen_by_itself(observed: Vitals, signs: set[Sign], text: str) -> None:
    """Each sign shows alone, with a sentence for a person; a dark picture is not called frozen."""
    assert judge(observed, FIGURES, sensor=True, now=NOW) == (frozenset(signs), text)


def test_a_drawn_picture_may_stand_still() -> None:
    """Without a sensor identical pictures mean nothing; nor with the sign switched off."""
    assert judge(vitals(changed=900.0), FIGURES, sensor=False, now=NOW) == (frozenset(), "")
    assert judge(vitals(changed=900.0), HealthSettings(frozen=Duration(0)), sensor=True, now=NOW) == (frozenset(), "")
    other = vitals(view=View(since=NOW - 900, flat=True))
    assert judge(other, FIGURES, sensor=False, now=NOW) == (frozenset(), "")
    assert judge(other, HealthSettings(covered=Duration(0)), sensor=True, now=NOW) == (frozenset(), "")


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (vitals(frame=6, packet=6), False),
        (vitals(frame=9, packet=9), True),
        (vitals(frame=9, packet=0.1), True),
        (vitals(frame=9, packet=6), True),
        (vitals(opened=80, frame=None, packet=0.1), False),
        (vitals(opened=91, frame=None, packet=0.1), True),
        (vitals(opened=16, frame=None, packet=None), True),
        (vitals(changed=61), True),
        (vitals(error="x"), True),
        (vitals(ended=True), True),
    ],
)
def test_a_short_silence_is_waited_out_and_anything_worse_is_not(observed: Vitals, expected: bool) -> None:
    """A network that stalls for some seconds goes on by itself; an opening that ended never does."""
    signs, _ = judge(observed, FIGURES, sensor=True, now=NOW)
    assert hopeless(observed, FIGURES, signs, NOW) is expected


def test_pictures_were_last_good_before_the_first_of_the_two_stopped() -> None:
    """What can't be recorded, or stands still, was not seen."""
    assert last_good(vitals(frame=1, packet=3)) == NOW - 3
    assert last_good(vitals(changed=61), frozenset({Sign.FROZEN})) == NOW - 61
    assert last_good(vitals(frame=None, packet=None)) is None


def test_an_outage_ends_with_the_first_picture_after_it() -> None:
    """Of a new opening it is the first picture, of one that went on by itself the newest."""
    again = Vitals(opened=90.0, first=95.0, frame=99.0, packet=99.0)
    went_on = Vitals(opened=10.0, first=11.0, frame=99.0, packet=99.0)
    assert back_since(again, 80.0, was_frozen=False) == 95.0
    assert back_since(went_on, 80.0, was_frozen=False) == 99.0
    thawed = Vitals(opened=90.0, first=95.0, lively=97.0, frame=99.0, packet=99.0)
    assert back_since(thawed, 80.0, was_frozen=True) == 97.0


def test_after_a_frozen_picture_only_a_change_counts() -> None:
    """The first pictures of a new opening may be the frozen one again, as an encoder makes it that has just begun."""
    same = Vitals(opened=0.0, first=1.0, frame=2.0, packet=2.0, changes=16)
    assert delivers(same, was_frozen=False)
    assert not delivers(same, was_frozen=True)
    assert delivers(Vitals(opened=0.0, first=1.0, frame=2.0, packet=2.0, changes=33), was_frozen=True)
    assert not delivers(Vitals(opened=0.0, first=1.0, frame=2.0), was_frozen=False)


ages = st.none() | st.floats(0.0, 400.0)


@given(frame=ages, packet=ages, changed=ages, bright=ages, sensor=st.booleans(), error=st.sampled_from(["", "gone"]))
def test_signs_and_sentence_go_together(
    *,
    frame: float | None,
    packet: float | None,
    changed: float | None,
    bright: float | None,
    sensor: bool,
    error: str,
) -> None:
    """There is a sentence exactly when there is a sign, and silence is never judged by an old picture's looks."""
    observed = vitals(frame=frame, packet=packet, changed=changed, bright=bright, error=error)
    signs, text = judge(observed, FIGURES, sensor=sensor, now=NOW)
    assert bool(signs) == bool(text)
    if signs & {Sign.DARK, Sign.FROZEN}:
        assert not signs & {Sign.NO_FRAMES, Sign.NO_PACKETS}


def frame(luma: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> Frame:
    """Make a frame of a picture."""
    return Frame(camera="cam", epoch=1, pts=0, mono=0.0, luma=luma)


def test_what_an_encoder_makes_of_a_frozen_picture_is_no_change() -> None:
    """Each group of pictures has the same few contents as the one before: only the first time they are new."""
    observer = Observer(FIGURES, 0.0, ViewWatch())
    for second in range(20):
        for number in range(5):
            observer.frame(frame(np.full((120, 160), 90 + number, np.uint8)), second + number / 5)
    seen = observer.vitals()
    assert (seen.changes, seen.changed) == (5, 0.8)


def test_the_observer_tells_change_and_light() -> None:
    """A repeated picture is no change, a black one is not bright, nor does one lamp make it so."""
    observer = Observer(FIGURES, 0.0, ViewWatch())
    lit = np.full((120, 160), 90, np.uint8)
    black = np.full((120, 160), 17, np.uint8)
    lamp = black.copy()
    lamp[:8, :8] = 235
    for now, luma in [(1.0, lit), (2.0, lit), (3.0, black), (4.0, lamp)]:
        observer.frame(frame(luma), now)
    observer.packet(replace(PACKET, mono=4.5), 5.0)
    seen = observer.vitals()
    assert (seen.first, seen.frame, seen.packet) == (1.0, 4.0, 5.0)
    assert (seen.frame_taken, seen.packet_taken) == (0.0, 4.5)
    assert (seen.changed, seen.changes, seen.bright) == (4.0, 3, 2.0)
