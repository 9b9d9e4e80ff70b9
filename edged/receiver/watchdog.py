"""The receiver's watchdog: systemd is fed when the event loop turns and the database's thread answers.

Feeding from the loop proves that it turns. What a new start would not heal (a full or read-only disk, which the
database answers with an error) is told and does not keep systemd unfed: a receiver that can still show its pages goes
on.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import structlog

from edged.base.errors import EdgedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edged.base.systemd import Notifier

log = structlog.get_logger(__name__)

_ANSWER = 10.0  # seconds that the database may take to answer: a commit on a slow disk under load is no hang
_DEFAULT = 40.0  # seconds between feeds, twice over, where systemd wants none


class Watchdog:
    """Asks by `probe`, which takes the write lock, and feeds `notifier`, twice within `interval` seconds.

    `interval` is None where systemd asks for nothing.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]], notifier: Notifier, interval: float | None) -> None:
        self._probe = probe
        self._notifier = notifier
        self._pause = (interval or _DEFAULT) / 2
        self._trouble = ""

    async def run(self) -> None:
        """Judge until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(self._pause)

    async def step(self) -> None:
        """Ask the database once: feed if it answers; what is wrong is logged when it begins and when it ends."""
        try:
            async with asyncio.timeout(_ANSWER):
                await self._probe()
        except TimeoutError:
            self._tell(f"the database does not answer within {_ANSWER:g} s")
            return
        except (sqlite3.Error, EdgedError) as error:
            self._tell(f"the database does not take writes: {error}")
        else:
            self._tell("")
        self._notifier.alive()

    def _tell(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        self._notifier.status(trouble or "takes uploads")
        if trouble:
            log.error("receiver in trouble", reason=trouble)
        else:
            log.info("receiver well again")
