"""A TCP proxy that plays a bad line: slow, delayed, stalled, cut after so many bytes, or refusing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PIECE = 16 * 1024
_QUEUE = 64 * 1024  # bytes that the line itself holds


class Proxy:
    """Between a client and `target` on loopback; its faults may be changed at any time.

    `rate` in bytes a second and `delay` in seconds hold upstream; `reset_after` cuts a connection by RST once so many
    bytes have gone upstream in all; `stall` lets nothing more through in either direction; `refuse` takes none.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.rate: float | None = None
        self.delay = 0.0
        self.reset_after: int | None = None
        self.lose_answer_at: int | None = None  # cut instead of passing on the first answer after so many bytes
        self.stall = False
        self.refuse = False
        self.connections = 0
        self.upstream = 0  # bytes passed on to the target
        self._resumed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE)
        listener.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=2 * _PIECE)
        self.port = listener.getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection towards the client; what the target has been sent reaches it."""
        for writer in tuple(self._writers):
            reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            if self.refuse:
                reset(writer)
                return
            async with self._target() as (back, forth):
                self._writers.add(writer)
                await self._both(reader, forth, back, writer)
        except (OSError, asyncio.CancelledError):  # the latter at the proxy's end only
            reset(writer)
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

    @contextlib.asynccontextmanager
    async def _target(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target, limit=2 * _PIECE)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _both(
        self,
        reader: asyncio.StreamReader,
        forth: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        up = asyncio.create_task(self._up(reader, forth))
        down = asyncio.create_task(self._down(back, writer))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.rate:
                await asyncio.sleep(len(piece) / self.rate)
            await self._pass_stall()
            if self.reset_after is not None and self.upstream + len(piece) >= self.reset_after:
                piece = piece[: self.reset_after - self.upstream]
                self.reset_after = None
                await self._forward(writer, piece)
                self.cut()
                return
            await self._forward(writer, piece)

    async def _forward(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        writer.write(piece)
        self.upstream += len(piece)
        await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            await self._pass_stall()
            if self.lose_answer_at is not None and self.upstream >= self.lose_answer_at:
                self.lose_answer_at = None
                self.cut()
                return
            writer.write(piece)
            await writer.drain()

    async def _pass_stall(self) -> None:
        while self.stall:
            await asyncio.sleep(0.01)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection by RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
