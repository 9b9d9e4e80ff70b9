"""What `edged check` says of a receiver that can't be used: where, why, in words of its own."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from edged.base.clock import SystemClock
from edged.base.errors import NoAnswerError
from edged.push.settings import ReceiverSettings
from edged.push.trial import check_receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def plain() -> AsyncIterator[int]:
    """The port of a server that speaks no TLS."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_closed_port() -> None:
    """Nothing listens there."""
    with socket.socket() as bound:  # bound and not listening: nobody else gets it meanwhile
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(NoAnswerError) as caught:
            await check_receiver(ReceiverSettings(url=f"http://127.0.0.1:{port}"), SystemClock())
    assert str(caught.value) == f"can't use the receiver: 127.0.0.1:{port}: connection refused"


async def test_https_where_http_is_spoken(plain: int) -> None:
    """The address has the wrong beginning."""
    with pytest.raises(NoAnswerError, match=rf"127\.0\.0\.1:{plain}: no TLS could be agreed on; .* http and https"):
        await check_receiver(ReceiverSettings(url=f"https://127.0.0.1:{plain}"), SystemClock())


async def test_a_name_that_is_unknown() -> None:
    """The name look-up fails (RFC 6761 reserves .invalid)."""
    with pytest.raises(NoAnswerError, match=r"receiver\.invalid:443: the name can't be looked up \(.+\)"):
        await check_receiver(ReceiverSettings(url="https://receiver.invalid"), SystemClock())
