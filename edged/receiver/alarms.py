"""Alarms on their way: a small durable queue of mails, and the loop that sends them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from edged.base import retry
from edged.base.errors import CredentialsError, DeliveryError, NoAnswerError, RejectedError
from edged.base.retry import Backoff

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from random import Random

    from edged.base.clock import Clock
    from edged.base.db import Database
    from edged.channels.smtp import Mailer

log = structlog.get_logger(__name__)

_BACKOFF = Backoff(first=30.0, cap=1800.0)
_IDLE = 30.0  # seconds between two looks; a new letter wakes the loop at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """A finished mail to one recipient about one device; `attempts` were refused so far."""

    key: str
    recipient: str
    device: str
    message: bytes
    attempts: int = 0


class Alarms:
    """The queue in the database. A letter is sent with the same bytes every time, so repeats can be told."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changed = asyncio.Event()

    async def enter(self, device: str, silent: float | None, letters: Sequence[Letter]) -> bool:
        """Mark `device` silent since then, or heard (None), with its letters; False if it is marked so already."""

        def transaction(db: sqlite3.Connection) -> bool:
            change = "UPDATE device SET silent = ? WHERE name = ? AND (silent IS NULL) = ?"
            if not db.execute(change, (silent, device, int(silent is not None))).rowcount:
                return False
            insert = (
                "INSERT INTO mail (key, recipient, device, message, due) VALUES (?, ?, ?, ?, 0) ON CONFLICT DO NOTHING"
            )
            db.executemany(insert, [(one.key, one.recipient, one.device, one.message) for one in letters])
            return True

        entered = await self._database.run(transaction)
        self.changed.set()
        return entered

    async def next(self, now: float) -> Letter | None:
        """Return the letter that has been due the longest, None if none is due at `now` (Unix seconds)."""
        query = "SELECT key, recipient, device, message, attempts FROM mail WHERE due <= ? ORDER BY due LIMIT 1"
        row = await self._database.read(lambda db: db.execute(query, (now,)).fetchone())
        return None if row is None else Letter(**dict(row))

    async def remove(self, key: str) -> None:
        """Remove a letter that was taken, or refused for good."""
        await self._database.run(lambda db: db.execute("DELETE FROM mail WHERE key = ?", (key,)))

    async def postpone(self, key: str, due: float, error: str, *, refused: bool) -> None:
        """Try a letter again at `due` (Unix seconds); only a refusal counts as an attempt."""
        change = "UPDATE mail SET due = ?, error = ?, attempts = attempts + ? WHERE key = ?"
        await self._database.run(lambda db: db.execute(change, (due, error, int(refused), key)))


class AlarmLoop:
    """Sends the letters."""

    def __init__(self, alarms: Alarms, mailer: Mailer, clock: Clock, rng: Random) -> None:
        self._alarms = alarms
        self._mailer = mailer
        self._clock = clock
        self._rng = rng

    async def run(self) -> None:
        """Send, again and again; sleep while nothing is due."""
        while True:
            self._alarms.changed.clear()
            if not await self.step():
                await _first(self._alarms.changed, _IDLE)

    async def step(self) -> bool:
        """Try one letter; False if none is due."""
        letter = await self._alarms.next(self._clock.wall())
        if letter is None:
            return False
        try:
            await self._mailer.send(letter.message, recipient=letter.recipient)
        except RejectedError as error:
            log.error("alarm mail refused for good", device=letter.device, recipient=letter.recipient, error=str(error))
            await self._alarms.remove(letter.key)
        except DeliveryError as error:
            await self._again(letter, error)
        else:
            log.info("alarm mail sent", device=letter.device, recipient=letter.recipient)
            await self._alarms.remove(letter.key)
        return True

    async def _again(self, letter: Letter, error: DeliveryError) -> None:
        refused = not isinstance(error, NoAnswerError | CredentialsError)
        wait = max(self._mailer.wait(), retry.delay(_BACKOFF, letter.attempts + 1, self._rng))
        log.warning("alarm mail waits", device=letter.device, recipient=letter.recipient, error=str(error))
        await self._alarms.postpone(letter.key, self._clock.wall() + wait, str(error), refused=refused)


async def _first(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
