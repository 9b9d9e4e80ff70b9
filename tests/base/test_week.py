"""Times of the week: what can be written, what they hold, and what is refused."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from edged.base.week import parse_span

_MO, _FR, _SA, _SU = 0, 4, 5, 6


@pytest.mark.parametrize(
    ("text", "weekday", "time", "held"),
    [
        ("mo-fr 08:00-18:00", _MO, "08:00", True),
        ("mo-fr 08:00-18:00", _MO, "07:59", False),
        ("mo-fr 08:00-18:00", _FR, "17:59", True),
        ("mo-fr 08:00-18:00", _FR, "18:00", False),
        ("mo-fr 08:00-18:00", _SA, "12:00", False),
        ("sa,su 00:00-24:00", _SU, "23:59", True),
        ("sa,su 00:00-24:00", _MO, "00:00", False),
        ("mo-fr 20:00-06:00", _FR, "23:00", True),
        ("mo-fr 20:00-06:00", _SA, "05:59", True),  # Friday's night
        ("mo-fr 20:00-06:00", _SA, "20:00", False),
        ("mo-fr 20:00-06:00", _MO, "05:00", False),  # Sunday's night
        ("22:00-06:00", _MO, "05:00", True),
        ("sa-mo 10:00-11:00", _SU, "10:30", True),  # the week goes round
        ("sa-mo 10:00-11:00", _FR, "10:30", False),
        ("MO 8:00 - 9:00", _MO, "08:30", True),
    ],
)
def test_a_span_holds_its_times(text: str, weekday: int, time: str, *, held: bool) -> None:
    """Days, times, midnight and the week's turn are as a person reads them."""
    hours, minutes = time.split(":")
    assert parse_span(text).covers(weekday, int(hours) * 60 + int(minutes)) is held


@pytest.mark.parametrize(
    "text",
    [
        *("", "mo-fr", "08:00", "mo 8-18", "xx 08:00-18:00", "mo-xx 08:00-18:00", "mo 08:00-08:00", "mo 24:00-06:00"),
        *("mo 08:60-09:00", "mo 08:00-24:01", "mo, 08:00-09:00", "mo 08:00-18:00 x"),
    ],
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    """A mistake is answered with how it is written right."""
    with pytest.raises(ValueError, match='write it like "mo-fr 08:00-18:00"'):
        parse_span(text)


def test_local_time_decides_through_the_change_of_the_clocks() -> None:
    """In Berlin 2026-03-29 jumps from 02:00 to 03:00: the span 02:00-03:00 holds no second of that night."""
    span, zone = parse_span("su 02:00-03:00"), ZoneInfo("Europe/Berlin")
    before = 1_774_745_999.0  # 01:59:59 +01:00
    assert not any(span.holds(before + seconds, zone) for seconds in (0.0, 1.0, 3600.0))
    week_later = before + 7 * 86400 + 1 - 3600 + 3600
    assert span.holds(week_later - 3600 + 60, zone)
