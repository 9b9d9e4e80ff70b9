"""How much goes in one request, what offsets are believed, and what was sent twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.errors import RefusedError
from edged.base.units import Size
from edged.push.settings import ReceiverSettings
from edged.push.upload import Reach, advance, resume_at, slice_length

_SETTINGS = ReceiverSettings(url="http://a", slice_min=Size(1000), slice_max=Size(1_000_000))


@pytest.mark.parametrize(
    ("rtt", "life", "rate", "left", "length"),
    [
        (0.5, 64.0, 10_000.0, 10_000_000, 80_000),  # sqrt(2 * 0.5 * 64) = 8 s of sending
        (0.5, 64.0, 40_000.0, 10_000_000, 320_000),
        (2.0, 64.0, 10_000.0, 10_000_000, 160_000),  # four times the round trip: twice the slice
        (0.5, 64.0, 0.0, 10_000_000, 1000),  # nothing is known yet
        (0.5, 64.0, 1e9, 10_000_000, 1_000_000),
        (0.5, 64.0, 10_000.0, 119_999, 119_999),  # a small rest goes along
        (0.5, 64.0, 10_000.0, 120_000, 80_000),
        (0.5, 64.0, 10_000.0, 5, 5),
    ],
)
def test_slices_fit_the_line(rtt: float, life: float, rate: float, left: int, length: int) -> None:
    """A slice takes sqrt(2 x round trip x mean life) seconds, within the configured bounds."""
    assert slice_length(_SETTINGS, rtt=rtt, life=life, rate=rate, left=left) == length


@given(st.floats(0, 10), st.floats(0, 1e6), st.floats(0, 1e9), st.integers(1, 10**12))
def test_a_slice_always_moves_on(rtt: float, life: float, rate: float, left: int) -> None:
    """Whatever was measured, a slice has at least a byte and never more than there is."""
    assert 1 <= slice_length(_SETTINGS, rtt=rtt, life=life, rate=rate, left=left) <= left


@pytest.mark.parametrize("answered", [99, 100, 151])
def test_impossible_answers_are_refused(answered: int) -> None:
    """After 50 bytes at offset 100 the server stands past 100 and at 150 at most."""
    with pytest.raises(RefusedError, match=f"answered offset {answered} to 50 bytes sent at 100"):
        advance(100, 50, answered)


def test_possible_answers_are_believed() -> None:
    """A server may take less than was sent, and at a resumption stand anywhere in the file."""
    assert advance(100, 50, 101) == 101
    assert advance(100, 50, 150) == 150
    assert [resume_at(offset, 10) for offset in (0, 5, 10)] == [0, 5, 10]
    with pytest.raises(RefusedError, match="claims to hold 11 bytes of a file of 10"):
        resume_at(11, 10)


def test_what_is_sent_again_is_counted() -> None:
    """Bytes count as sent again from where the server stands to where they had once left, each time anew."""
    reach = Reach()
    assert reach.resume("a", 500) == 0  # of an earlier process's work nothing is known
    reach.sent("a", 900)
    assert reach.resume("a", 800) == 100
    assert reach.resume("a", 800) == 0
    reach.sent("a", 850)
    assert reach.resume("a", 850) == 0
    assert reach.resume("b", 0) == 0
    reach.sent("a", 1000)
    reach.forget("a")
    assert reach.resume("a", 0) == 0
