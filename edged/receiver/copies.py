"""The copy of the database beside it: devices' keys and logins are nowhere else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from edged.base.copies import take_copy
from edged.base.errors import CorruptDatabaseError

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.base.db import Database

log = structlog.get_logger(__name__)

_LOOK = 60.0  # seconds between two looks; the longest that a new device's key is in one place only
_EVERY = 3600.0  # seconds between two copies while only files come and go: those have records of their own


class CopyLoop:
    """Takes a copy to `target` soon after a device or a login was changed, and every hour in which anything was."""

    def __init__(self, database: Database, target: Path, clock: Clock) -> None:
        self._database = database
        self._target = target
        self._clock = clock
        self._people: object = None  # devices and logins as last copied
        self._version: object = None
        self._taken = float("-inf")  # mono

    async def run(self) -> None:
        """Copy, again and again."""
        while True:
            await self.step()
            await asyncio.sleep(_LOOK)

    async def step(self) -> bool:
        """Look once; return whether a copy was due and taken. A damaged database does not replace a sound copy."""
        people, version = await self._database.read(_state)
        quiet = version == self._version or self._clock.mono() - self._taken < _EVERY
        if people == self._people and quiet:
            return False
        try:
            await self._database.quick_check()
        except CorruptDatabaseError as error:
            log.critical("database damaged, start the receiver anew: its copy is used then", error=str(error))
            return False
        await take_copy(self._database, self._target)
        self._people, self._version, self._taken = people, version, self._clock.mono()
        return True


def _state(connection: sqlite3.Connection) -> tuple[object, object]:
    people = connection.execute("SELECT name, key FROM device UNION ALL SELECT name, hash FROM account").fetchall()
    (version,) = connection.execute("PRAGMA data_version").fetchone()  # changes with every commit but one's own
    return [tuple(row) for row in people], version
