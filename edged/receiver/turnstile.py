"""One request at a time on each upload, the newest first: it stops the ones before it.

A device whose connection died comes back while its old PATCH still waits for bytes that will never come. The
newcomer interrupts that one, which keeps what arrived, and only then looks where the upload stands.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from edged.wire import faults
from edged.wire.faults import FaultError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


class Turnstile:
    """The uploads that requests are working on."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self.stopping = False

    @asynccontextmanager
    async def enter(self, upload: str) -> AsyncIterator[Turn]:
        """Have `upload` to oneself; whoever works on it is interrupted first."""
        lane = self._lanes.setdefault(upload, _Lane())
        lane.newest += 1
        turn = Turn(self, lane)
        lane.visitors += 1
        lane.interrupt()
        try:
            async with lane.lock:
                if self.stopping:
                    raise FaultError(faults.STOPPING)
                yield turn
        finally:
            lane.visitors -= 1
            if not lane.visitors:
                del self._lanes[upload]

    def stop(self) -> None:
        """Interrupt everybody and let nobody in any more."""
        self.stopping = True
        for lane in self._lanes.values():
            lane.interrupt()


class Turn:
    """One visitor's time with an upload."""

    def __init__(self, turnstile: Turnstile, lane: _Lane) -> None:
        self._turnstile = turnstile
        self._lane = lane
        self._number = lane.newest

    async def run(self, work: Coroutine[None, None, None]) -> None:
        """Do `work` until it ends or is interrupted, perhaps before it begins.

        FaultError (offset) when a newcomer interrupted it, (stopping) when the receiver stops.
        """
        if self._number != self._lane.newest:
            work.close()
            raise self._interrupted()
        task = self._lane.task = asyncio.create_task(work)
        try:
            await self._until_done(task)
        finally:
            self._lane.task = None
        if task.cancelled():
            raise self._interrupted()
        task.result()

    def _interrupted(self) -> FaultError:
        if self._turnstile.stopping:
            return FaultError(faults.STOPPING)
        return FaultError(faults.OFFSET, "another request took this upload over")

    async def _until_done(self, task: asyncio.Task[None]) -> None:
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise


class _Lane:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.newest = 0
        self.visitors = 0
        self.task: asyncio.Task[None] | None = None

    def interrupt(self) -> None:
        if self.task is not None:
            self.task.cancel()
