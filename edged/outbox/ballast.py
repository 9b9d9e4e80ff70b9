"""The ballast: room on the disk that is given up when nothing else is left, so that rows can still be committed.

On a full disk SQLite takes no row, not even one that deletes: its log can't grow. An incident must be entered and its
alert go out all the same, and retention must be able to make room.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from typing import TYPE_CHECKING, TypeVar

import structlog

from edged.base.db import lacks_room
from edged.base.disk import sync_directory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

T = TypeVar("T")

log = structlog.get_logger(__name__)

SIZE = 4 * 1024 * 1024  # bytes; several hundred incidents with their alerts, and some pictures


class Ballast:
    """The ballast file in the state directory `root`. `given_up`: nothing is between the database and a full disk."""

    def __init__(self, root: Path) -> None:
        self._path = root / "ballast"
        self.given_up = False

    def lay(self) -> bool:
        """Lay the ballast if it is not there, whole; False when the disk has no room for it. Blocks."""
        self.given_up = not self._lay()
        return not self.given_up

    def drop(self) -> bool:
        """Give the ballast up; False if it was not there. Blocks."""
        self.given_up = True
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        sync_directory(self._path.parent)
        return True

    async def ease(self, commit: Callable[[], Awaitable[T]]) -> T:
        """Return what `commit` returns; when the disk is full it is done once more without the ballast."""
        try:
            return await commit()
        except sqlite3.OperationalError as error:
            if not lacks_room(error) or not await asyncio.to_thread(self.drop):
                raise
            log.warning("disk full, ballast given up", path=str(self._path))
            return await commit()

    def _lay(self) -> bool:
        try:
            if self._path.stat().st_blocks * 512 >= SIZE:  # a crash may have left a shorter one
                return True
        except FileNotFoundError:
            pass
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            os.posix_fallocate(handle, 0, SIZE)
        except OSError:
            self._path.unlink()
            return False
        finally:
            os.close(handle)
        return True
