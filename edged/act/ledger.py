"""What the helper has done, and the budget of a day that follows from it, also where nobody knows what day it is.

A small computer may wake in 1970 each time, and a reboot is what the budget is for. So an entry's age is what has
surely passed since, added up: within a boot the monotonic clock tells; across boots the wall clock, if it was set then,
or else the time since this boot. A wrong clock thus makes a day longer, but no day is endless.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edged.base.clock import Stamp  # noqa: TC001 -- msgspec reads the fields' types
from edged.base.disk import replace_synced

if TYPE_CHECKING:
    from collections.abc import Sequence

LEDGER = Path("/var/lib/edged-act/ledger.json")

_DAY = 86_400.0
_KEPT = 10  # entries older than a day, for those who look

EVERYTHING = "*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing done, named as its request: `age` seconds had surely passed at `seen`."""

    what: str
    reason: str
    at: Stamp
    age: float
    seen: Stamp


def elapsed(then: Stamp, now: Stamp) -> float:
    """Return how many seconds have surely passed."""
    if then.boot == now.boot:
        return max(0.0, now.mono - then.mono)
    # a clock that was not set then can have been set by any number of years since
    return max(now.mono, now.wall - then.wall if then.synced else 0.0)


def grown(entries: Sequence[Entry], now: Stamp) -> list[Entry]:
    """Return the entries as old as they are at `now`, without those that nobody asks for any more."""
    older = [replace(entry, age=entry.age + elapsed(entry.seen, now), seen=now) for entry in entries]
    past = [entry for entry in older if entry.age >= _DAY and entry.what != EVERYTHING]
    return past[-_KEPT:] + [entry for entry in older if entry.age < _DAY]


def is_spent(entries: Sequence[Entry], what: str, a_day: int) -> bool:
    """Return whether `what` was done `a_day` times within the last day."""
    lately = [entry.what for entry in entries if entry.age < _DAY]
    return EVERYTHING in lately or lately.count(what) >= a_day


def read_ledger(path: Path) -> list[Entry]:
    """Return the entries of the file at `path`, none without it; OSError, or ValueError if it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Entry])
    except FileNotFoundError:
        return []


def open_ledger(path: Path, now: Stamp) -> list[Entry]:
    """Return the entries for the one who writes them; OSError if the disk refuses.

    Of a damaged file nobody knows what it held: for a day everything counts as spent.
    """
    try:
        return read_ledger(path)
    except ValueError:
        entries = [Entry(what=EVERYTHING, reason="the ledger was damaged", at=now, age=0.0, seen=now)]
        write_ledger(path, entries)
        return entries


def write_ledger(path: Path, entries: Sequence[Entry]) -> None:
    """Keep the entries, readable for all, so that they survive a reboot at once; OSError if the disk refuses."""
    replace_synced(path, msgspec.json.encode(entries))
    path.chmod(0o644)
