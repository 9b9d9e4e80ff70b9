"""The kernel's account of what went over the wire, kept beyond the sockets' lives."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from edged.push.traffic import Account, Counters, account


async def _pair(counters: Counters) -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = counters.line().socket(socket.AF_INET, socket.SOCK_STREAM, 0)
        sock.connect(listener.getsockname())
        peer, _ = listener.accept()
    return sock, peer


async def test_bytes_are_counted_by_direction_and_kept_after_closing() -> None:
    """What was sent and received stays counted once, while the socket is open and after."""
    counters = Counters()
    sock, peer = await _pair(counters)
    sock.sendall(b"x" * 1000)
    assert len(await asyncio.to_thread(peer.recv, 2000)) == 1000
    peer.sendall(b"y" * 77)
    assert len(await asyncio.to_thread(sock.recv, 100)) == 77
    while account(sock).acked < 1000:
        await asyncio.sleep(0.001)
    assert account(sock).received == 77
    assert counters.sent == 1000
    sock.close()
    sock.close()
    assert counters.sent == 1000
    peer.close()


async def test_what_only_waits_in_the_kernel_is_not_sent() -> None:
    """Bytes that a full peer can't take were handed to the socket and have not left."""
    counters = Counters()
    sock, peer = await _pair(counters)
    handed = _fill(sock)
    assert 0 < counters.sent < handed
    sock.close()
    peer.close()


async def test_aborting_leaves_nothing_to_arrive_later() -> None:
    """A dead line is left at once: what waited in the kernel is thrown away, and the peer sees a reset."""
    traffic = Counters().line()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = traffic.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
        sock.connect(listener.getsockname())
        peer, _ = listener.accept()
    handed = _fill(sock)
    traffic.abort()
    sock.close()
    arrived = 0
    with pytest.raises(ConnectionResetError):  # noqa: PT012 -- how much comes before it is to be counted
        while piece := await asyncio.to_thread(peer.recv, 65536):
            arrived += len(piece)
    assert arrived < handed
    peer.close()


def _fill(sock: socket.socket) -> int:
    sock.setblocking(False)
    handed = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            handed += sock.send(b"x" * 65536)
    return handed


def test_accounts_add_up() -> None:
    """The kernel's retransmissions count as sent, and not twice as payload."""
    both = Account(sent=10, again=3, acked=7, received=1) + Account(sent=5, again=0, acked=5, received=2)
    assert both == Account(sent=15, again=3, acked=12, received=3)
    assert both.once == 12
