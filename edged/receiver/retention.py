"""What the receiver deletes by itself: files beyond their age, the oldest beyond the quota, uploads given up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import Steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edged.base.clock import Clock
    from edged.receiver.settings import RetentionSettings
    from edged.receiver.store import Store, StoredFile
    from edged.receiver.uploads import Uploads

log = structlog.get_logger(__name__)

_STEP = 3600.0  # seconds by which a clock may be set forward without its being doubted
_DOUBT = 86400.0  # seconds that a person has to set it right
_AT_ONCE = 200  # files looked at in one go


def doomed(oldest: Sequence[StoredFile], settings: RetentionSettings, *, now: float, stored: int) -> list[StoredFile]:
    """Return which of the `oldest` files (oldest first) must go at `now` (Unix seconds) when `stored` bytes are kept.

    Content that several files share is counted once in `stored`; taking one of them may free nothing, so the
    caller looks again until nothing is doomed.
    """
    gone = []
    for file in oldest:
        too_old = settings.age is not None and now - file.stored > settings.age
        too_much = settings.quota is not None and stored > settings.quota
        if not (too_old or too_much):
            break
        gone.append(file)
        stored -= file.size
    return gone


class RetentionLoop:
    """Sweeps every `sweep` seconds."""

    def __init__(self, store: Store, uploads: Uploads, settings: RetentionSettings, clock: Clock) -> None:
        self._store = store
        self._uploads = uploads
        self._settings = settings
        self._clock = clock
        self._steps = Steps(clock)
        self._ages_from = clock.mono()

    async def run(self) -> None:
        """Sweep, again and again."""
        while True:
            while await self.step():
                pass
            await asyncio.sleep(self._settings.sweep)

    async def step(self) -> bool:
        """Delete one batch of what must go; False if nothing had to."""
        ages = self._ages_hold()
        expired = await self._uploads.expire() if ages else 0
        settings = self._settings if ages else replace(self._settings, age=None)
        if settings.age is None and settings.quota is None:
            return False
        now = self._clock.wall()
        oldest = await self._store.oldest(now, _AT_ONCE)
        gone = doomed(oldest, settings, now=now, stored=await self._store.stored_bytes())
        for file in gone:
            await self._uploads.drop(file)
        if gone or expired:
            log.info("storage swept", files=len(gone), bytes=sum(file.size for file in gone), uploads=expired)
        return bool(gone)

    def _ages_hold(self) -> bool:
        """Return whether ages can be relied on: not for a day after the clock was set forward by much."""
        step = self._steps.since_last()
        if step > _STEP:
            self._ages_from = self._clock.mono() + _DOUBT
            advice = "nothing is deleted for its age within a day: see that the clock is right"
            log.error("clock was set forward", by=round(step), advice=advice)
        return self._clock.mono() >= self._ages_from
