"""Time stamps: whatever a camera's clock does, a part's times rise and stay near the truth."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.model import Packet, StreamInfo
from edged.record.timing import TICKS, Retimer


def packets(*given_times: tuple[int, float], rate: float = 10.0, duration: int = 100, ahead: int = 0) -> list[Packet]:
    """Return packets by (dts in milliseconds, mono)."""
    stream = StreamInfo(
        camera="door", epoch=1, codec="h264", extradata=b"", width=64, height=64, time_base=Fraction(1, 1000), rate=rate
    )
    return [
        Packet(stream=stream, data=b"", pts=dts + ahead, dts=dts, duration=duration, key=True, mono=mono)
        for dts, mono in given_times
    ]


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        pytest.param([(7000, 1.0), (7100, 1.1), (7200, 1.2)], [0.0, 0.1, 0.2], id="steady, from zero"),
        pytest.param([(0, 1.0), (100, 1.3), (200, 1.3)], [0.0, 0.1, 0.2], id="jitter on the way is not believed"),
        pytest.param([(0, 1.0), (100, 5.0), (200, 5.0)], [0.0, 0.1, 0.2], id="a network that stalls and catches up"),
        pytest.param([(0, 1.0), (4000, 5.0)], [0.0, 4.0], id="a hole that both clocks saw"),
        pytest.param([(0, 1.0), (9_000_000, 1.1), (9_000_100, 1.2)], [0.0, 0.1, 0.2], id="a jump ahead"),
        pytest.param([(95_443_717, 1.0), (0, 1.1), (100, 1.2)], [0.0, 0.1, 0.2], id="a counter that wraps"),
        pytest.param([(5000, 1.0), (4000, 1.1), (4100, 1.2)], [0.0, 0.1, 0.2], id="a clock set back"),
    ],
)
def test_times_follow_the_camera_while_it_is_credible(times: list[tuple[int, float]], seconds: list[float]) -> None:
    """A step is the camera's when it is forward and not ahead of ours, and ours when it is not."""
    retimer = Retimer()
    got = [retimer.time(packet).dts / TICKS for packet in packets(*times)]
    assert got == pytest.approx(seconds)


def test_a_repeated_time_stamp_moves_on_by_a_tick() -> None:
    """Two packets never share a decoding time, not even when they come together."""
    retimer = Retimer()
    assert [retimer.time(packet).dts for packet in packets((0, 1.0), (0, 1.0), (0, 1.0))] == [0, 1, 2]


@pytest.mark.parametrize(
    ("rate", "duration", "seconds"),
    [(10.0, 100, 0.1), (20.0, 0, 0.05), (0.0, 0, 0.04)],
    ids=["told", "by rate", "guessed"],
)
def test_a_missing_duration_is_made_up(rate: float, duration: int, seconds: float) -> None:
    """The last picture of a fragment is shown for some time, also when the camera does not say for how long."""
    (packet,) = packets((0, 1.0), rate=rate, duration=duration)
    assert Retimer().time(packet).duration == pytest.approx(seconds * TICKS)


@pytest.mark.parametrize(
    ("ahead", "ticks"), [(200, 18_000), (-50, 0), (60_000, 0)], ids=["B-frames", "behind", "absurd"]
)
def test_reordering_is_kept_and_nonsense_is_not(ahead: int, ticks: int) -> None:
    """B-frames keep their distance from decoding to showing; what no decoder does is dropped."""
    (packet,) = packets((0, 1.0), ahead=ahead)
    assert Retimer().time(packet).pts == ticks


@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40), st.floats(0, 100)), min_size=1))
def test_any_times_become_times_that_a_muxer_takes(raw: list[tuple[int, int, float]]) -> None:
    """Decoding times start at zero and rise; showing times never come before them."""
    retimer = Retimer()
    mono, last = 0.0, -1
    for number, (dts, ahead, step) in enumerate(raw):
        mono += step
        (packet,) = packets((dts, mono), ahead=ahead)
        time = retimer.time(packet)
        assert time.dts > last if number else time.dts == 0
        assert time.pts >= time.dts
        assert time.duration > 0
        last = time.dts
