"""The hand-over between capture and detect: it holds one value, the newest, and counts what it replaced."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """A place for one value: `put` replaces what was not taken yet, `get` waits for a value and takes it.

    A source that can wait, such as a file, uses `place`, and nothing is dropped. All belong to the event loop; a
    thread hands over with `loop.call_soon_threadsafe(latest.put, value)`.
    """

    def __init__(self) -> None:
        self._value: T | None = None
        self._filled = asyncio.Event()
        self._free = asyncio.Event()
        self.dropped = 0

    def put(self, value: T) -> None:
        """Leave `value` for the taker; a value still waiting is dropped and counted."""
        if self._value is not None:
            self.dropped += 1
        self._value = value
        self._filled.set()

    async def place(self, value: T) -> None:
        """Wait until the place is free and leave `value` there."""
        while self._value is not None:
            self._free.clear()
            await self._free.wait()
        self.put(value)

    async def get(self) -> T:
        """Wait for a value and take it."""
        while self._value is None:
            self._filled.clear()
            await self._filled.wait()
        value, self._value = self._value, None
        self._free.set()
        return value
