"""Times as people read them: in the site's zone, with its name, and honest about a clock that was not set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from edged.base.clock import Stamp

# Before this no edged was ever written: a clock that shows less starts at 1970 or at an old image's date.
_EARLIEST = datetime(2025, 1, 1, tzinfo=UTC).timestamp()

UNKNOWN = "time unknown"
NOTE_UNSYNCED = "The clock that gave these times was not synchronised, so they may be wrong."


def is_set(stamp: Stamp) -> bool:
    """Return whether the wall time can be meant: synchronised, or at least of this age."""
    return stamp.synced or stamp.wall >= _EARLIEST


def at(stamp: Stamp, timezone: str) -> datetime:
    """Return the wall time in `timezone` (an IANA name)."""
    return datetime.fromtimestamp(stamp.wall, ZoneInfo(timezone))


def short(stamp: Stamp, timezone: str, *, beside: Stamp | None = None) -> str:
    """Return "14:02", or "21 Nov 14:02" when `beside` fell on another day, for a subject line."""
    if not is_set(stamp):
        return UNKNOWN
    here = at(stamp, timezone)
    same_day = beside is None or not is_set(beside) or at(beside, timezone).date() == here.date()
    return f"{here:%H:%M}" if same_day else f"{here.day} {here:%b %H:%M}"


def full(stamp: Stamp, timezone: str) -> str:
    """Return "Sun 22 Nov 2026, 14:02:31 CET"."""
    if not is_set(stamp):
        return "unknown (the device's clock was not set)"
    here = at(stamp, timezone)
    return f"{here:%a} {here.day} {here:%b %Y, %H:%M:%S} {here:%Z}"


def row(stamp: Stamp, timezone: str) -> str:
    """Return "Sun 22 Nov, 14:02:31", for a list."""
    if not is_set(stamp):
        return UNKNOWN
    here = at(stamp, timezone)
    return f"{here:%a} {here.day} {here:%b, %H:%M:%S}"
