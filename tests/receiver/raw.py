"""Requests by hand over a plain socket: to cut them, stall them and malform them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from edged.wire import tus

if TYPE_CHECKING:
    from tests.receiver.client import Device


class Wire:
    """One connection to a receiver."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Wire:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        """Send `data` and wait until the kernel has it."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> bytes:
        """Read until the other side closes."""
        return await self._reader.read()

    async def head(self) -> bytes:
        """Read the head of one answer."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def close(self) -> None:
        """End the connection in order (FIN), if it is not over yet."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def reset(self) -> None:
        """End the connection at once (RST)."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


def patch_head(device: Device, location: str, offset: int, length: int | None) -> bytes:
    """Return the head of a signed PATCH that announces `length` bytes (None: chunked)."""
    body = {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
    fields = {
        "Host": "hq",
        tus.RESUMABLE: tus.VERSION,
        tus.OFFSET: str(offset),
        "Content-Type": tus.CONTENT_TYPE,
        **body,
    }
    lines = [f"{name}: {value}" for name, value in device.signed("PATCH", location, fields, None).items()]
    return "\r\n".join([f"PATCH {location} HTTP/1.1", *lines, "", ""]).encode()
