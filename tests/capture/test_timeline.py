from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.timeline import FileTimeline, LiveTimeline
from tests.capture.clips import StepClock


@given(st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(0.0, 3.0)), min_size=2, max_size=40))
def test_a_picture_is_never_dated_after_its_arrival_nor_before_the_one_before(
    packets: list[tuple[float, float]],
) -> None:
    """Whatever the network's delays, capture times rise and lie in the past."""
    clock = StepClock()
    timeline = LiveTimeline(clock)
    start, shown, last = clock.now, 0.0, 0.0
    for step, delay in packets:
        shown += step
        clock.now = max(clock.now, start + shown + delay)
        mono = timeline.arrive(shown, shown)
        assert mono <= clock.now + 1e-6
        assert mono >= last - 1e-6
        last = mono


def test_jitter_does_not_reach_the_capture_times() -> None:
    """Pictures taken every 100 ms that arrive 0 to 80 ms late are dated 100 ms apart."""
    clock = StepClock()
    timeline = LiveTimeline(clock)
    delays = [0.0, 0.08, 0.03, 0.08, 0.0, 0.05, 0.08, 0.01]
    dated = []
    for number, delay in enumerate(delays):
        clock.now = 1000.0 + number * 0.1 + delay
        dated.append(timeline.arrive(number * 0.1, number * 0.1))
    steps = [b - a for a, b in pairwise(dated)]
    assert all(abs(step - 0.1) < 0.002 for step in steps)


def test_a_cameras_slow_clock_is_followed() -> None:
    """A camera whose clock loses 0.1 % is after an hour still dated to within 50 ms."""
    clock = StepClock()
    timeline = LiveTimeline(clock)
    mono = 0.0
    for second in range(3600):
        clock.now = 1000.0 + second * 1.001
        mono = timeline.arrive(second, second)
    assert clock.now - mono < 0.05


def test_pictures_of_a_clock_that_hardly_goes_are_dated_by_their_arrival() -> None:
    """A picture a second, each said to be a tenth of a second after the one before: none is dated long ago."""
    clock = StepClock()
    timeline = LiveTimeline(clock)
    for second in range(60):
        clock.now = 1000.0 + second
        assert clock.now - timeline.arrive(second / 10, second / 10) <= 10.0


@pytest.mark.parametrize(("paced", "slept"), [(True, [0.1, 0.1]), (False, [])])
def test_a_file_is_paced_by_its_decoding_times(paced: bool, slept: list[float]) -> None:
    """At real speed each packet waits until it is to be decoded, at full speed none does; both are dated alike."""
    clock = StepClock()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.now += seconds

    timeline = FileTimeline(clock, paced=paced, sleep=sleep)
    dated = [timeline.arrive(shown, decoded) for shown, decoded in [(5.1, 5.0), (5.4, 5.1), (5.2, 5.2)]]
    assert waits == pytest.approx(slept)
    assert dated == pytest.approx([1000.1, 1000.4, 1000.2])
    assert timeline.at(5.3) == pytest.approx(1000.3)


def test_a_file_that_fell_behind_catches_up() -> None:
    """A machine that was busy reads on without waiting until it is back in time."""
    clock = StepClock()
    waits: list[float] = []
    timeline = FileTimeline(clock, paced=True, sleep=waits.append)
    timeline.arrive(0.0, 0.0)
    clock.now += 1.0
    assert timeline.arrive(0.5, 0.5) == pytest.approx(1000.5)
    assert not waits
