"""A line whose far end lies: what it answers arrives spoiled, but for the beginning that says yes or no.

A peer that refuses for good is believed, rightly, so statuses are left as they are: what must not happen is that
anything else it says breaks the device, or has it believe that something arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from scripts.soaks.fuzzing.mutate import mutated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from random import Random

_PIECE = 65536
_HTTP, _SMTP = 13, 4  # bytes of a status at the beginning of a piece
_SPOILED = 0.4  # of all pieces


class Warp:
    """Relays connections to `target` on loopback and spoils what comes back; `port` is where it listens."""

    def __init__(self, target: int, rng: Random, *, smtp: bool = False) -> None:
        self.port = 0
        self._target = target
        self._rng = rng
        self._smtp = smtp
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with contextlib.suppress(OSError):
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
            ways = (self._pass(reader, forth, spoil=False), self._pass(back, writer, spoil=True))
            tasks = {asyncio.create_task(way) for way in ways}
            self.tasks |= tasks
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            self.tasks -= tasks
            forth.transport.abort()
        writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, spoil: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(_PIECE):
                writer.write(self._spoiled(piece) if spoil and self._rng.random() < _SPOILED else piece)
                await writer.drain()

    def _spoiled(self, piece: bytes) -> bytes:
        if not self._smtp:
            return piece[:_HTTP] + mutated(self._rng, piece[_HTTP:], (piece,))
        lines = piece.split(b"\r\n")
        at = self._rng.randrange(len(lines))
        # no line of its own: a reply that answers a later command would be an honest-looking yes
        told = mutated(self._rng, lines[at][_SMTP:]).replace(b"\r", b" ").replace(b"\n", b" ")
        lines[at] = lines[at][:_SMTP] + (told if lines[at] else b"")
        return b"\r\n".join(lines)


@contextlib.asynccontextmanager
async def warp(target: int, rng: Random, *, smtp: bool = False) -> AsyncIterator[Warp]:
    """Run a spoiled line to the port `target` while the context lasts."""
    made = Warp(target, rng, smtp=smtp)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in set(made.tasks):
            task.cancel()
