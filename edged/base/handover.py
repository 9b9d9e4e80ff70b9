"""The hand-over between capture and detect: it holds one value, the newest, and counts what it replaced."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """A place for one value: `put` replaces what was not taken yet, `get` waits for a value and takes it.

    Both belong to the event loop; a thread hands over with `loop.call_soon_threadsafe(latest.put, value)`.
    """

    def __init__(self) -> None:
        self._value: T | None = None
        self._filled = asyncio.Event()
        self.dropped = 0

    def put(self, value: T) -> None:
        """Leave `value` for the taker; a value still waiting is dropped and counted."""
        if self._value is not None:
            self.dropped += 1
        self._value = value
        self._filled.set()

    async def get(self) -> T:
        """Wait for a value and take it."""
        while self._value is None:
            self._filled.clear()
            await self._filled.wait()
        value, self._value = self._value, None
        return value
