"""The scoring of the detection bench: the rules by which its figures are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benches._footage import Labels, Span
from scripts.benches._score import Incident, score


def labels(*, lead: float = 60.0) -> Labels:
    """A clip of two minutes with one event from 60 to 70 s and an ambiguous time after it."""
    return Labels(
        name="yard",
        path=Path("yard.mp4"),
        seconds=120.0,
        quiet_lead=lead,
        events=(Span(start=60.0, end=70.0),),
        ambiguous=(Span(start=74.0, end=76.0),),
        negatives=(Span(start=0.0, end=59.0), Span(start=80.0, end=120.0)),
    )


def incident(start: float, end: float) -> Incident:
    """An incident that is told half a second after its first motion."""
    return Incident(start=start, end=end, told=start + 0.5)


@pytest.mark.parametrize(
    ("start", "end", "found", "false"),
    [
        (60.5, 69.0, 1, 0),
        (50.0, 59.5, 1, 0),  # half a second early still overlaps, though it begins in a negative
        (50.0, 59.4, 0, 1),
        (72.0, 73.0, 1, 0),
        (72.1, 73.0, 0, 0),  # neither an event nor a negative
        (75.0, 90.0, 0, 0),  # begins where it counts neither way
        (85.0, 86.0, 0, 1),
    ],
)
def test_an_incident_finds_is_false_or_counts_neither_way(start: float, end: float, found: int, false: int) -> None:
    """Overlap finds; a beginning in a negative without overlap is false."""
    result = score(labels(), [incident(start, end)])
    assert (len(result.found), len(result.false)) == (found, false)
    assert len(result.missed) == 1 - found


def test_quiet_time_under_alarm_leaves_out_ten_seconds_around_events() -> None:
    """Negatives are quiet from ten seconds away of any event on."""
    result = score(labels(), [incident(40.0, 58.0), incident(100.0, 104.0)])
    assert result.quiet_s == pytest.approx(50.0 + 40.0, abs=0.3)
    assert result.alarm_s == pytest.approx(10.0 + 4.0, abs=0.3)
    assert result.negative_s == 99.0


def test_a_delay_is_from_the_start_to_the_telling() -> None:
    """What an older incident covers has no delay of its own, nor has a clip without a quiet lead."""
    assert score(labels(), [incident(61.0, 69.0)]).delays == (1.5,)
    assert score(labels(), [incident(59.6, 69.0)]).delays == pytest.approx((0.1,))
    assert score(labels(), [incident(40.0, 69.0)]).delays == ()
    assert score(labels(lead=1.0), [incident(61.0, 69.0)]).delays == ()
