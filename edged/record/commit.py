"""The rows that recording gives rise to, entered into the outbox in their order, none lost and none twice.

Files come first, rows after; when the database does not take a row (the disk is full, another program holds it), this
and all that follow wait, while the packets go on to the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from typing import TYPE_CHECKING

import structlog

from edged.base.errors import CorruptDatabaseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = structlog.get_logger(__name__)

_PAUSE = 5.0  # seconds until a row that was not taken is tried again


class Commits:
    """Rows that wait for their commit, in order."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._rows: deque[Callable[[], Awaitable[object]]] = deque()
        self._busy = asyncio.Lock()
        self._not_before = float("-inf")  # loop time

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: Callable[[], Awaitable[object]]) -> None:
        """Put a commit at the end of the queue."""
        self._rows.append(row)

    async def work(self, *, urgent: bool = False) -> None:
        """Commit what waits, after a refusal only when its pause is over or it is `urgent`.

        Cancelling the caller lets the commit under way finish, so that it is not done twice.
        """
        if self._rows and (urgent or asyncio.get_running_loop().time() >= self._not_before):
            await asyncio.shield(asyncio.ensure_future(self._work()))

    async def _work(self) -> None:
        async with self._busy:
            while self._rows:
                try:
                    await self._rows[0]()
                except (sqlite3.OperationalError, CorruptDatabaseError) as error:
                    self._not_before = asyncio.get_running_loop().time() + _PAUSE
                    log.error("rows wait, the outbox takes none", camera=self._camera, rows=len(self), error=str(error))
                    return
                self._rows.popleft()
