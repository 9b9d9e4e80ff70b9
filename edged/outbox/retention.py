"""What may be deleted, in which order and why: a plain decision over the files, the disk and the settings.

First what is proven to be elsewhere, oldest first. What is not proven goes only by the legal limit, or where the
settings allow it, or when the disk is all but full and that helps: lowest value first, and each is a loss. Nothing is
decided about a file without a row, so an empty database deletes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from edged.outbox.windows import elapsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edged.base.clock import Stamp
    from edged.outbox.nouns import StoredFile
    from edged.outbox.settings import OutboxSettings
    from edged.outbox.spool import Space

_DAY = 86400.0
_WORTH = 10  # unproven files are given up for at most so many times the room that they take


class Level(IntEnum):
    """How much room there is: at CRITICAL incidents go on with a snapshot only."""

    OK = 0
    WARN = 1
    CRITICAL = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Deletion:
    """A file that is to go, and why."""

    file: StoredFile
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is to be deleted, in this order, and the room that there will be then."""

    deletions: tuple[Deletion, ...]
    level: Level


@dataclass(frozen=True, kw_only=True, slots=True)
class Floors:
    """Bytes of free space under which it is said, under which it is critical, and under which the disk is full."""

    warn: int
    critical: int
    full: int


def floors(settings: OutboxSettings, total: int) -> Floors:
    """Return the floors for a disk of `total` bytes."""
    critical = min(int(settings.critical_share * total), settings.critical_free)
    # half of the critical floor is kept for what must still be written: snapshots, rows, the log
    return Floors(warn=min(int(settings.warn_share * total), settings.warn_free), critical=critical, full=critical // 2)


def plan(files: Sequence[StoredFile], settings: OutboxSettings, now: Stamp, space: Space) -> Plan:
    """Decide what goes now."""
    floor = floors(settings, space.total)
    chosen = {file.id: Deletion(file=file, reason=reason) for file, reason in _by_age(files, settings, now)}
    used = sum(file.size for file in files)
    gone = sum(deletion.file.size for deletion in chosen.values())

    def missing(limit: int) -> int:
        over_quota = used - gone - settings.quota if settings.quota else 0
        return max(limit - (space.free + gone), over_quota)

    def take(candidates: Iterable[StoredFile], limit: int, reason: str) -> None:
        nonlocal gone
        for file in candidates:
            if missing(limit) <= 0:
                return
            chosen[file.id] = Deletion(file=file, reason=reason)
            gone += file.size

    rest = [file for file in files if file.id not in chosen]
    take(_proven(rest), floor.warn, "made room: proven to be elsewhere")
    if settings.delete_undelivered:
        take(_unproven(rest), floor.critical, "made room: not proven to be elsewhere")
    elif _helps(unproven := _unproven(rest), floor.full - (space.free + gone)):
        take(unproven, floor.full, "the disk was all but full: not proven to be elsewhere")
    return Plan(deletions=tuple(chosen.values()), level=_level(space.free + gone, used - gone, floor, settings))


def _helps(unproven: Sequence[StoredFile], missing: int) -> bool:
    """Return whether giving up what is unproven is worth it: where others fill the disk it may win next to nothing."""
    return 0 < missing <= _WORTH * sum(file.size for file in unproven)


def _level(free: int, used: int, floor: Floors, settings: OutboxSettings) -> Level:
    if free < floor.critical or (settings.quota and used > settings.quota):
        return Level.CRITICAL
    return Level.WARN if free < floor.warn else Level.OK


def _by_age(files: Sequence[StoredFile], settings: OutboxSettings, now: Stamp) -> Iterable[tuple[StoredFile, str]]:
    for file in files:
        reason = _over_age(file, settings, now)
        if reason:
            yield file, reason


def _over_age(file: StoredFile, settings: OutboxSettings, now: Stamp) -> str:
    """Return why a file's time is over, "" while it is not. An age that can't be known is no reason."""
    age = elapsed(file.taken, now)
    if settings.legal_limit and age is not None and age > settings.legal_limit:
        return f"older than the legal limit of {settings.legal_limit / _DAY:g} days"
    if file.proven is None or file.unsettled or file.open:
        return ""
    if settings.delete_after_proof and file.what != "snapshot":
        return "proven to be elsewhere"
    since = age if file.what == "snapshot" else elapsed(file.proven, now)
    keep = settings.keep_snapshots if file.what == "snapshot" else settings.keep_clips
    return f"kept for {keep / _DAY:g} days" if since is not None and since > keep else ""


def _proven(files: Iterable[StoredFile]) -> list[StoredFile]:
    """Proven clips and documents before snapshots, which are small and fill the pages; then those with open copies."""
    return sorted(
        (file for file in files if file.proven is not None),
        key=lambda file: (file.open, file.unsettled, file.what == "snapshot", file.taken.wall),
    )


def _unproven(files: Iterable[StoredFile]) -> list[StoredFile]:
    """Lowest value first: clips nobody was alerted of, other clips, what a person asked for, last the snapshots."""
    return sorted((file for file in files if file.proven is None), key=lambda file: (_value(file), file.taken.wall))


def _value(file: StoredFile) -> int:
    if file.what == "snapshot":
        return 4
    if file.what == "document" or file.manual:
        return 3
    if file.open:
        return 2
    return 1 if file.alerted else 0
