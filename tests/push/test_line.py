"""The connections that a line makes: what their kernel side is told."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from edged.base.clock import SystemClock
from edged.push.line import Credentials, Line
from edged.push.settings import ReceiverSettings
from edged.push.traffic import Traffic

_OFFERED = Path(f"/proc/sys/net/ipv4/tcp_{'allowed' if os.geteuid() else 'available'}_congestion_control")


async def test_a_connection_is_told_when_to_give_up_and_how_to_share() -> None:
    """Dead peers are found by the kernel, little waits unsent, and BBR sends where the kernel has it."""
    line = Line(
        ReceiverSettings(url="http://127.0.0.1:1"), Credentials(), clock=SystemClock(), link=None, traffic=Traffic()
    )
    with line._socket((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("192.0.2.1", 443))) as sock:
        told = {
            option: sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT, 25)
        }
        assert tuple(told.values()) == (40_000, 20, 3, 128 * 1024)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        used = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
        assert used == "bbr" or "bbr" not in _OFFERED.read_text().split()
    assert line.knocker.door == ("192.0.2.1", 443)
