"""The outbox's own upkeep: summaries when windows end, losses told, sidecars, room on the disk, sweep, check, copy."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import stamp
from edged.base.copies import take_copy
from edged.outbox.nouns import Notice, NoticeKind
from edged.outbox.retention import Level, floors, plan
from edged.outbox.sidecar import refresh
from edged.outbox.sweep import sweep

if TYPE_CHECKING:
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
_CALM = 600.0  # seconds that there has to be room again until that is told: one mail, not one for each clip deleted
_SAID = {
    Level.OK: "There is room on the disk again: {free} MB are free, and incidents are kept with their clips.",
    Level.WARN: "The disk is filling: {free} MB are free. Clips that are safe elsewhere are deleted to make room.",
    Level.CRITICAL: "The disk is full but for {free} MB: incidents are kept as snapshots only until there is room.",
}


class OutboxLoop:
    """Keeps one outbox in order. `level` says how much room there is, `trouble` what else is wrong with the disk."""

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
        self._deleting: asyncio.Task[None] | None = None  # the newest
        self._pressed = False  # the ballast was given up, and room was made at once
        self._told = Level.OK  # what people know of `level`
        self._better_since: float | None = None  # mono: since when there is more room than they know
        self.level = Level.OK
        self.trouble = ""  # read-only, not mounted any more
        self.space: Space | None = None  # of the disk, as last seen
        self.kept = 0  # bytes of files, as last seen

    def adopt(self, settings: OutboxSettings, destinations: Destinations) -> None:
        """Go by other settings from the next step on, which looks at once whether they ask for room."""
        if settings != self._settings:
            now = self._clock.mono()
            self._due |= {"sweep": now, "copy": min(self._due["copy"], now + settings.backup_interval)}
        self._settings = settings
        self._destinations = destinations

    async def run(self, pulse: Pulse) -> None:
        """Keep the outbox in order until cancelled."""
        while True:
            await self.step()
            pulse.beat()
            await asyncio.sleep(TICK)

    async def stop(self) -> None:
        """End a deletion under way, and write the sidecars that are behind: the last deliveries have ended."""
        if self._deleting is not None:
            await asyncio.wait((self._deleting,))
        await self._describe()

    def has_room(self) -> bool:
        """Return whether clips may be recorded, and not only snapshots."""
        return self.level < Level.CRITICAL and not self._outbox.ballast.given_up

    async def step(self) -> None:
        """Do what is due now; raises sqlite3.OperationalError or OSError where the disk does not let it."""
        await self._work()
        if self._outbox.ballast.given_up and not self._pressed:
            await self._make_room(await self._look())
        self._pressed = self._outbox.ballast.given_up

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
        await self._examine()
        if self.trouble:  # every file would seem to be missing
            return
        await sweep(self._outbox, self._spool, self._destinations, self._clock)
        await self._make_room(await self._look())
        await self._outbox.prune(self._settings.keep_rows)

    async def _describe(self) -> None:
        for incident in tuple(self._outbox.undescribed):
            self._outbox.undescribed.discard(incident)
            await refresh(self._outbox, incident)  # notes it again where the disk refuses

    async def _look(self) -> Space:
        await self._examine()
        self.space = space = await asyncio.to_thread(self._spool.space)
        self.kept = await self._outbox.kept_bytes()
        return space

    async def _examine(self) -> None:
        trouble = await asyncio.to_thread(self._spool.trouble)
        if trouble == self.trouble:
            return
        self.trouble = trouble
        where = self._spool.root
        if trouble:
            log.error("disk out of use", path=str(where), why=trouble)
            await self._tell(f"The disk with {where} can't be used: {trouble}. No clips are recorded until it can.")
        else:
            log.info("disk in use again", path=str(where))
            await self._tell(f"The disk with {where} can be used again; clips are recorded.", NoticeKind.CLEAR)

    async def _is_tight(self, space: Space) -> bool:
        """Return whether there is room to make before the next sweep."""
        settings = self._settings
        if settings.delete_after_proof or max(self.level, self._told) > Level.OK:
            return True
        if space.free < floors(settings, space.total).warn:
            return True
        return bool(settings.quota) and self.kept > settings.quota

    async def _make_room(self, space: Space) -> None:
        if self.trouble:
            return
        decided = plan(await self._outbox.kept_files(), self._settings, stamp(self._clock), space)
        for deletion in decided.deletions:
            # a stop must not come between the row and the file: it would leave what the row calls deleted
            self._deleting = asyncio.create_task(self._delete(deletion))
            await asyncio.shield(self._deleting)
        if decided.level < Level.CRITICAL:
            await asyncio.to_thread(self._outbox.ballast.lay)
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
        """Note how much room there is, and tell people when it has become less, or has been more for a while."""
        if level != self.level:
            tell = log.warning if level > self.level else log.info
            tell("disk space", level=level.name.lower(), free=space.free, total=space.total)
        self.level, known = level, self._told
        free, now = space.free // 10**6, self._clock.mono()
        if level > known:
            await self._tell(_SAID[level].format(free=free))
            self._told, self._better_since = level, None
        elif level == known:
            self._better_since = None
        elif self._better_since is None:
            self._better_since = now
        elif now - self._better_since >= _CALM:
            if known is Level.CRITICAL:
                await self._tell(_SAID[Level.OK].format(free=free), NoticeKind.CLEAR)
            self._told, self._better_since = level, None

    async def _tell(self, text: str, kind: NoticeKind = NoticeKind.SYSTEM) -> None:
        notice = Notice(id=secrets.token_hex(16), kind=kind, since=stamp(self._clock), text=text)
        await self._outbox.add_notice(notice, self._destinations.people)

    async def _check_and_copy(self) -> None:
        """Have SQLite check the file, and keep a copy of it if anything was committed since the last one."""
        await self._outbox.database.quick_check()
        commits = self._outbox.commits
        if commits == self._copied:
            return
        await take_copy(self._outbox.database, self._spool.backup)
        self._copied = commits
