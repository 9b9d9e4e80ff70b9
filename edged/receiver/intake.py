"""From a request's body into a file: reads eagerly, writes and hashes large blocks on a thread, keeps what arrived.

However the body ends (whole, cut, idle, superseded, cancelled) every byte that reached this process is written
and synced before `receive` returns or raises: for a device on a bad line each is paid for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edged.wire import faults
from edged.wire.faults import FaultError

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.web import Request

    from edged.receiver.turnstile import Turn
    from edged.receiver.vault import Tail

_HIGH = 4 * 1024 * 1024  # bytes held in memory for the disk, then reading waits
_BLOCK = 256 * 1024  # bytes worth a trip to a thread while the last trip is over


async def read_small(request: Request, limit: float) -> bytes:
    """Return a body that is read whole; TimeoutError if it takes more than `limit` seconds to come.

    Raises HTTPRequestEntityTooLarge beyond the application's limit, RequestPayloadError for a malformed one.
    """
    async with asyncio.timeout(limit):
        return await request.read()


async def receive(content: StreamReader, tail: Tail, *, room: int, idle: float, turn: Turn) -> None:
    """Append the body to `tail`, at most `room` bytes, until it ends or `turn` is over. Closes `tail`.

    Raises FaultError (too large) when more came than there is room for, TimeoutError after `idle` seconds
    without a byte, OSError when the disk refuses, what `turn` raises when a newcomer interrupts it, and what
    aiohttp raises when the client is gone.
    """
    writer = _Writer(tail)
    try:
        await turn.run(_pump(content, writer, room, idle))
    finally:
        writer.take(_left_over(content)[: max(0, room - writer.taken)])
        await _unbroken(writer.finish())


async def _pump(content: StreamReader, writer: _Writer, room: int, idle: float) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(idle) as limit:
        while data := await content.readany():
            limit.reschedule(None)
            fitting = data[: room - writer.taken]
            writer.take(fitting)
            if len(fitting) < len(data):
                raise FaultError(faults.TOO_LARGE, "more bytes than the upload was announced with")
            await writer.pace()
            limit.reschedule(loop.time() + idle)


def _left_over(content: StreamReader) -> bytes:
    # Once the client is gone the public read calls raise, though bytes that arrived before still wait here.
    return content._read_nowait(-1)  # noqa: SLF001 -- tests/receiver/test_cut.py holds aiohttp to it


async def _unbroken(work: asyncio.Task[None]) -> None:
    """Wait for `work` to its end, even if this task is cancelled meanwhile; then pass the cancellation on."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as error:
            if work.cancelled():
                raise
            cancelled = error
        except OSError:
            break
    if cancelled is not None:
        raise cancelled
    work.result()


class _Writer:
    """Holds bytes for the disk while the last block is being written."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._held: list[bytes] = []
        self._size = 0
        self._trip: asyncio.Future[None] | None = None
        self.taken = 0

    def take(self, data: bytes) -> None:
        if data:
            self._held.append(data)
            self._size += len(data)
            self.taken += len(data)

    async def pace(self) -> None:
        """Send a block off when it is worth it; wait for the disk only when too much is held."""
        if self._trip is not None and (self._trip.done() or self._size >= _HIGH):
            await self._land()
        if self._trip is None and self._size >= _BLOCK:
            self._trip = asyncio.get_running_loop().run_in_executor(None, self._tail.append, self._load())

    def finish(self) -> asyncio.Task[None]:
        """Write what is held, sync and close, in a task of its own."""
        return asyncio.create_task(self._finish())

    async def _finish(self) -> None:
        try:
            await self._land()
            await asyncio.to_thread(self._write_and_sync, self._load())
        finally:
            await asyncio.to_thread(self._tail.close)

    def _write_and_sync(self, data: bytes) -> None:
        self._tail.append(data)
        self._tail.sync()

    async def _land(self) -> None:
        if self._trip is not None:
            await asyncio.wait([self._trip])  # unlike awaiting it, cancels nothing
            trip, self._trip = self._trip, None
            trip.result()

    def _load(self) -> bytes:
        data = b"".join(self._held)
        self._held.clear()
        self._size = 0
        return data
