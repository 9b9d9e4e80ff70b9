"""The outbox's own upkeep: summaries when windows end, losses told, sidecars, room on the disk, sweep, check, copy."""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import stamp
from edged.base.disk import sync_directory
from edged.outbox.nouns import Notice, NoticeKind
from edged.outbox.retention import Level, floors, plan
from edged.outbox.sidecar import refresh
from edged.outbox.sweep import sweep

if TYPE_CHECKING:
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.base.pulse import Pulse
    from edged.outbox.policy import Destinations
    from edged.outbox.retention import Deletion
    from edged.outbox.settings import OutboxSettings
    from edged.outbox.spool import Space, Spool
    from edged.outbox.store import Outbox

log = structlog.get_logger(__name__)

TICK = 5.0  # seconds between two looks at what is due: how late a summary may be
_LOOK = 60.0  # seconds between two looks at the disk, and at what was lost
_DESCRIBE = 30.0  # seconds in which an incident's receipts and outcomes are gathered into one write of its sidecar
_FULL = "database or disk is full"  # SQLite's words for SQLITE_FULL
_SAID = {
    Level.WARN: "The disk is filling: {free} MB are free. Clips that are safe elsewhere are deleted to make room.",
    Level.CRITICAL: "The disk is full but for {free} MB: incidents are kept as snapshots only until there is room.",
}


class OutboxLoop:
    """Keeps one outbox in order. `level` says how much room there is; at CRITICAL only snapshots should be recorded."""

    def __init__(
        self, outbox: Outbox, spool: Spool, *, settings: OutboxSettings, destinations: Destinations, clock: Clock
    ) -> None:
        self._outbox = outbox
        self._spool = spool
        self._settings = settings
        self._destinations = destinations
        self._clock = clock
        self._copied = 0  # the outbox's commits at the last copy
        self._corrected = False
        now = clock.mono()
        self._due = {
            "look": now,
            "sweep": now,
            "losses": now,
            "sidecars": now + _DESCRIBE,
            "copy": now + settings.backup_interval,
        }
        self.level = Level.OK
        self.space: Space | None = None  # of the disk, as last seen
        self.kept = 0  # bytes of files, as last seen

    async def run(self, pulse: Pulse) -> None:
        """Keep the outbox in order until cancelled."""
        while True:
            await self.step()
            pulse.beat()
            await asyncio.sleep(TICK)

    async def stop(self) -> None:
        """Write the sidecars that are behind their rows: the last deliveries have ended."""
        await self._describe()

    async def step(self) -> None:
        """Do what is due now; raises sqlite3.OperationalError or OSError where the disk does not let it."""
        try:
            await self._work()
        except sqlite3.OperationalError as error:
            # a full disk takes no row, not even one that deletes: the ballast makes the room for making room
            if str(error) != _FULL or not await asyncio.to_thread(self._spool.drop_ballast):
                raise
            log.warning("disk full, ballast given up", path=str(self._spool.root))
            await self._make_room(await self._look())

    async def _work(self) -> None:
        await self._correct_clock()
        end = await self._outbox.next_window_end()
        if end is not None and end <= self._clock.mono():
            await self._outbox.tell_ended_windows(self._destinations.people)
        if self._is_due("sweep", self._settings.sweep_interval):
            await self._sweep()
        elif self._is_due("look", _LOOK) and await self._is_tight(space := await self._look()):
            await self._make_room(space)
        if self._is_due("losses", _LOOK) and await self._outbox.tell_losses(self._destinations.people):
            # the first at once, those that follow together: a disk in trouble must not send a mail a minute
            self._due["losses"] = self._clock.mono() + self._settings.sweep_interval
        if self._is_due("sidecars", _DESCRIBE):
            await self._describe()
        if self._is_due("copy", self._settings.backup_interval):
            await self._check_and_copy()

    def _is_due(self, job: str, interval: float) -> bool:
        if self._clock.mono() < self._due[job]:
            return False
        # the next turn counts from this one, done or failed: a disk in trouble is not asked all the time
        self._due[job] = self._clock.mono() + interval
        return True

    async def _correct_clock(self) -> None:
        """Correct what was stamped before the clock was set, once it is trusted."""
        if self._corrected or not self._clock.synced():
            return
        await self._outbox.correct_clock(stamp(self._clock))
        self._corrected = True

    async def _sweep(self) -> None:
        await sweep(self._outbox, self._spool, self._destinations, self._clock)
        await self._make_room(await self._look())
        await self._outbox.prune(self._settings.keep_rows)

    async def _describe(self) -> None:
        while self._outbox.undescribed:
            await refresh(self._outbox, self._outbox.undescribed.pop())

    async def _look(self) -> Space:
        self.space = space = await asyncio.to_thread(self._spool.space)
        self.kept = await self._outbox.kept_bytes()
        return space

    async def _is_tight(self, space: Space) -> bool:
        """Return whether there is room to make before the next sweep."""
        settings = self._settings
        if settings.delete_after_proof or self.level > Level.OK or space.free < floors(settings, space.total).warn:
            return True
        return bool(settings.quota) and self.kept > settings.quota

    async def _make_room(self, space: Space) -> None:
        decided = plan(await self._outbox.kept_files(), self._settings, stamp(self._clock), space)
        for deletion in decided.deletions:
            await self._delete(deletion)
        if decided.level < Level.CRITICAL:
            await asyncio.to_thread(self._spool.lay_ballast)
        await self._say(decided.level, space)

    async def _delete(self, deletion: Deletion) -> None:
        file = deletion.file
        lost = await self._outbox.delete_file(file.id, deletion.reason)
        await asyncio.to_thread(self._spool.delete, file.path)
        tell = log.warning if lost else log.info
        tell(
            "file deleted", what=file.what, incident=file.incident, path=str(file.path), why=deletion.reason, loss=lost
        )

    async def _say(self, level: Level, space: Space) -> None:
        """Tell people when there is less room than before; that there is more again, the status page shows."""
        worse, self.level = level > self.level, level
        if not worse:
            return
        log.warning("disk space", level=level.name.lower(), free=space.free, total=space.total)
        text = _SAID[level].format(free=space.free // 10**6)
        notice = Notice(id=secrets.token_hex(16), kind=NoticeKind.SYSTEM, since=stamp(self._clock), text=text)
        await self._outbox.add_notice(notice, self._destinations.people)

    async def _check_and_copy(self) -> None:
        """Have SQLite check the file, and keep a copy of it if anything was committed since the last one."""
        await self._outbox.database.quick_check()
        commits = self._outbox.commits
        if commits == self._copied:
            return
        new = self._spool.backup.with_name(self._spool.backup.name + ".new")
        await self._outbox.database.backup(new)
        await asyncio.to_thread(_put_in_place, new, self._spool.backup)
        self._copied = commits


def _put_in_place(new: Path, target: Path) -> None:
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.replace(target)
    sync_directory(target.parent)
