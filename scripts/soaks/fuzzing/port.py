"""One port of edged under attack: bytes in, whatever comes back out; a 5xx is a breach, silence is not.

Spoiled bytes are often only the beginning of a request, and then the other side rightly waits for the rest. That it
still answers what is whole is shown by good requests in between (`asked`), which must be answered within a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

ANSWER = 30.0  # seconds for the answer to a good request; generous, for the machine may be busy
_FIRST = 1.0  # seconds for the first byte of an answer to spoiled bytes
_QUIET = 0.05  # seconds without another byte: that was all
_MOST = 1024 * 1024  # bytes read of an answer
_FAILED = re.compile(rb"HTTP/1\.[01] (50[0-6]|50[89]|5[1-9]\d)")  # 507 is the disk's, no fault of the program


async def thrown(connect: Connect, data: bytes, *, listen: bool = True) -> bytes:
    """Send `data` over a new connection and return what came back at once; without `listen` hang up at once."""
    reader, writer = await connect()
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
        return await _heard(reader) if listen else b""
    finally:
        writer.transport.abort()


async def asked(connect: Connect, data: bytes, end: bytes = b"\r\n\r\n") -> bytes:
    """Send a good request and return its answer up to `end`; TimeoutError when none comes in time."""
    async with asyncio.timeout(ANSWER):
        reader, writer = await connect()
        try:
            writer.write(data)
            await writer.drain()
            return await reader.readuntil(end)
        finally:
            writer.transport.abort()


def failures(answer: bytes) -> list[str]:
    """Return the statuses in an answer that blame edged itself."""
    return [status.decode() for status in _FAILED.findall(answer)]


async def _heard(reader: asyncio.StreamReader) -> bytes:
    got = bytearray()
    with contextlib.suppress(TimeoutError, ConnectionError):
        while len(got) < _MOST:
            async with asyncio.timeout(_QUIET if got else _FIRST):
                piece = await reader.read(65536)
            if not piece:
                break
            got += piece
    return bytes(got)
