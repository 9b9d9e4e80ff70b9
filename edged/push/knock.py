"""Knocking: a new connection is tried every second while the line is silent, so that its return is known within one.

TCP itself waits longer and longer between its own tries, and may sleep for half a minute after the line is back. A
knock costs one segment, and nothing where no segment goes out. It proves that a way is there and no more: who it is
that answers, if only to refuse, the probe finds out.
"""

from __future__ import annotations

import asyncio

EVERY = 1.0  # seconds between two knocks
_WAIT = 3.0  # seconds in which a knock must be answered; over half a turn of a satellite's line, twice over


class Knocker:
    """Knocks at the numeric address and port that a connection was last tried at: `door`, None before the first."""

    def __init__(self) -> None:
        self.door: tuple[str, int] | None = None
        self._under_way: set[asyncio.Task[bool]] = set()

    async def answered(self, seconds: float) -> bool:
        """Knock for so long; True as soon as somebody opens, False if nobody does."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        try:
            while (left := end - loop.time()) > 0.0:
                if self.door is not None:
                    self._under_way.add(asyncio.create_task(_opens(*self.door)))
                if await self._any(min(EVERY, left)):
                    return True
            return False
        finally:
            await self._leave()

    async def _any(self, seconds: float) -> bool:
        """Wait for so long, or until a knock is answered."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._under_way and (left := end - loop.time()) > 0.0:
            done, self._under_way = await asyncio.wait(
                self._under_way, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if any(task.result() for task in done):
                return True
        await asyncio.sleep(max(0.0, end - loop.time()))
        return False

    async def _leave(self) -> None:
        under_way, self._under_way = self._under_way, set()
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)


async def _opens(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_WAIT):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    except OSError:  # a TimeoutError is one
        return False
    writer.transport.abort()
    return True
