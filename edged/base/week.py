"""Recurring times of the week, as configuration files write them: "mo-fr 08:00-18:00", "sa,su 00:00-24:00".

Local wall time decides, so the day on which the clocks change needs no rule of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_DAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")
_SPAN = re.compile(r"(?:(\S+)\s+)?(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
_MIDNIGHT = 24 * 60  # minutes
_EXAMPLE = 'write it like "mo-fr 08:00-18:00", "sa,su 00:00-24:00" or "22:00-06:00" (every day)'


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A time of day on some weekdays (0 is Monday), `start` and `end` in minutes; past midnight if end <= start."""

    days: frozenset[int]
    start: int
    end: int

    def covers(self, weekday: int, minute: int) -> bool:
        """Return whether the span holds `minute` of `weekday`; it belongs to the day on which it starts."""
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        yesterday = (weekday - 1) % 7
        return (weekday in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)

    def holds(self, wall: float, zone: ZoneInfo) -> bool:
        """Return whether the span holds the Unix time `wall` as the clocks of `zone` show it."""
        local = datetime.fromtimestamp(wall, UTC).astimezone(zone)
        return self.covers(local.weekday(), local.hour * 60 + local.minute)


def parse_span(text: str) -> Span:
    """Parse a span; without days it holds on every day. ValueError says what is wrong."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is no time of the week; {_EXAMPLE}")
    days = frozenset(range(7)) if match[1] is None else _days(match[1], text)
    start, end = _minute(match[2], match[3], text), _minute(match[4], match[5], text)
    if start in {_MIDNIGHT, end}:
        raise ValueError(f"{text!r} is an empty time; {_EXAMPLE}")
    return Span(days=days, start=start, end=end)


def _days(names: str, text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in names.split(","):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ValueError(f"{text!r} names no weekdays ({', '.join(_DAYS)}); {_EXAMPLE}")
        begin, stop = _DAYS.index(first), _DAYS.index(last if dash else first)
        found |= {day % 7 for day in range(begin, stop + (1 if stop >= begin else 8))}
    return frozenset(found)


def _minute(hours: str, minutes: str, text: str) -> int:
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or minute > _MIDNIGHT:  # noqa: PLR2004 -- an hour's minutes
        raise ValueError(f"{text!r} has a time of day past 24:00; {_EXAMPLE}")
    return minute
