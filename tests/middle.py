"""A man in the middle who reads HTTP: cuts a line at a named byte of a request or its reply, or answers himself."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from tests.proxy import reset

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_HEAD = 16 * 1024
_PIECE = 16 * 1024
_QUEUE = 32 * 1024  # bytes that the line itself holds
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_BARE = frozenset({b"204", b"304"})  # replies without a body


class At(StrEnum):
    """Where in an exchange something happens."""

    REQUEST_LINE = "in the request line"
    HEADERS = "in the headers"
    BODY = "in the body"
    BEFORE_REPLY = "before the reply"
    STATUS_LINE = "in the reply's first line"
    REPLY = "in the reply"


class How(StrEnum):
    """What the two ends see of it."""

    RESET = "reset"
    CLOSE = "closed"
    HOLE = "black hole"  # nothing: neither end is told


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoil:
    """A fault of one exchange: the line ends `at` a byte, or `answer` comes in place of the target's reply.

    A share of `depth` of the part where it ends (a line, the headers, the body) still passes. A line that does not end
    may lose the reply's header `without`.
    """

    at: At | None = At.BEFORE_REPLY
    how: How = How.RESET
    depth: float = 0.5
    answer: bytes | None = None
    without: str = ""


class _End(Exception):  # noqa: N818 -- no error: the line ends as it was told to
    def __init__(self, how: How) -> None:
        super().__init__(how)
        self.how = how


class Middle:
    """Between clients and `target` on loopback. `choose(method, path)` names the fault of each exchange, or None.

    With a TLS context it is the server that clients see.
    """

    def __init__(
        self, target: int, choose: Callable[[str, str], Spoil | None], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.target = target
        self.port = 0
        self.choose = choose
        self.seen: list[tuple[str, str]] = []  # method and path of each exchange
        self.upstream = 0  # bytes that clients sent
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        listener = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio switches Nagle off only where it is named
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE)
        listener.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=_HEAD, ssl=self._tls)
        self.port = listener.getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        forth: asyncio.StreamWriter | None = None
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self.target, limit=_HEAD)
            while not back.at_eof():
                await self._exchange(_Side(reader, writer), _Side(back, forth))
        except _End as end:
            if end.how is How.HOLE:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            if end.how is not How.CLOSE:
                reset(writer)
                if forth is not None:
                    reset(forth)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            reset(writer)
        finally:
            for each in (writer, forth):
                if each is not None:
                    each.close()

    async def _exchange(self, client: _Side, target: _Side) -> None:
        head = await client.reader.readuntil(b"\r\n\r\n")
        self.upstream += len(head)
        method, path = head.split(b" ", 2)[:2]
        self.seen.append((method.decode(), path.decode()))
        spoil = self.choose(method.decode(), path.decode())
        if spoil is not None and spoil.answer is not None:
            await self._answered(head, client, spoil.answer)
            return
        up = asyncio.create_task(self._up(head, client, target, spoil))
        down = asyncio.create_task(_down(client, target, spoil, bare=method == b"HEAD"))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_EXCEPTION if spoil else asyncio.ALL_COMPLETED)
            for task in (up, down):
                if task.done():
                    task.result()
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _answered(self, head: bytes, client: _Side, answer: bytes) -> None:
        left = _length(head)
        while left and (piece := await client.reader.read(min(_PIECE, left))):
            self.upstream += len(piece)
            left -= len(piece)
        client.writer.write(answer)
        await client.writer.drain()
        raise _End(How.CLOSE)

    async def _up(self, head: bytes, client: _Side, target: _Side, spoil: Spoil | None) -> None:
        line = head.index(b"\r\n")
        if spoil is not None and spoil.at is At.REQUEST_LINE:
            await target.end(head[: int(line * spoil.depth)], spoil.how)
        if spoil is not None and spoil.at is At.HEADERS:
            await target.end(head[: line + 2 + int((len(head) - line - 4) * spoil.depth)], spoil.how)
        await target.write(head)
        left, ends = _length(head), spoil is not None and spoil.at is At.BODY
        keep = int(left * (1 - spoil.depth)) if spoil is not None and ends else 0
        while left > keep:
            piece = await client.reader.read(min(_PIECE, left - keep))
            if not piece:
                raise ConnectionResetError
            self.upstream += len(piece)
            left -= len(piece)
            await target.write(piece)
        if spoil is not None and ends:
            raise _End(spoil.how)


async def _down(client: _Side, target: _Side, spoil: Spoil | None, *, bare: bool) -> None:
    head = await target.reader.readuntil(b"\r\n\r\n")
    if spoil is not None and spoil.at is At.BEFORE_REPLY:
        raise _End(spoil.how)
    if spoil is not None and spoil.at is At.STATUS_LINE:
        await client.end(head[: int(head.index(b"\r\n") * spoil.depth)], spoil.how)
    left = 0 if bare or head[9:12] in _BARE else _length(head)
    if spoil is not None and spoil.at is At.REPLY:
        whole = head + await target.reader.readexactly(left)
        line = head.index(b"\r\n") + 2
        await client.end(whole[: line + int((len(whole) - line) * spoil.depth)], spoil.how)
    if spoil is not None and spoil.without:
        head = re.sub(rb"\r\n" + spoil.without.encode() + rb":[^\r]*", b"", head, flags=re.IGNORECASE)
    await client.write(head)
    while left:
        piece = await target.reader.read(min(_PIECE, left))
        if not piece:
            raise ConnectionResetError
        left -= len(piece)
        await client.write(piece)


@dataclass(frozen=True, slots=True)
class _Side:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def end(self, data: bytes, how: How) -> None:
        """Pass `data` on as the last that passes."""
        await self.write(data)
        raise _End(how)


def _length(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0
