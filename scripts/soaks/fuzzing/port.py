"""One port of edged under attack: bytes in, an answer within a limit out, never a 5xx."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ANSWER = 20.0  # seconds in which a request must be answered or hung up on, once the client has said all it will say
_MOST = 4 * 1024 * 1024  # bytes read of an answer
_SERVER = re.compile(rb"HTTP/1\.[01] (5\d\d)")
_FULL = b"507"  # the disk's, no answer to the request


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back; `trouble` says what is wrong with it, "" when nothing is."""

    data: bytes
    trouble: str = ""


async def throw(
    connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
    data: bytes,
    *,
    finish: bool = True,
) -> Answer:
    """Send `data` over a new connection and read until the other side ends it; with `finish`, say that nothing follows.

    Without `finish` the client merely goes away: what it left half done is the other side's to clear up.
    """
    try:
        reader, writer = await connect()
    except OSError as error:
        return Answer(data=b"", trouble=f"it takes no connection: {error}")
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            if not finish:
                return Answer(data=b"")
            if writer.can_write_eof():
                writer.write_eof()
        return await _read(reader)
    finally:
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Answer:
    got = bytearray()
    try:
        async with asyncio.timeout(ANSWER):
            while len(got) < _MOST and (piece := await reader.read(65536)):
                got += piece
    except TimeoutError:
        return Answer(data=bytes(got), trouble=f"no end of the answer within {ANSWER:g} s")
    except ConnectionError:
        pass
    return Answer(data=bytes(got), trouble=_trouble(bytes(got)))


def _trouble(data: bytes) -> str:
    failed = [found for found in _SERVER.findall(data) if found != _FULL]
    return f"answered by {failed[0].decode()}" if failed else ""
