"""What really went over the wire, as the kernel counts it: headers, TLS and retransmissions included.

A socket's own account (TCP_INFO, tcp(7)) tells it apart from what merely waits in a buffer, which a program that
counts its own writes can't; it is also the only honest sign that a peer still takes bytes.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_INFO_SIZE = 256  # more than any kernel's struct tcp_info, which only grows
_ACKED_RECEIVED = struct.Struct("=QQ")  # tcpi_bytes_acked, tcpi_bytes_received (Linux 4.1)
_ACKED_AT = 120
_RETRANSMITS_AT = 2  # tcpi_retransmits: in a row, a byte
_UNACKED = slice(24, 28)  # tcpi_unacked, segments
_RTT = struct.Struct("=II")  # tcpi_rtt and tcpi_rttvar, microseconds
_MIN_RTT = struct.Struct("=I")  # tcpi_min_rtt (Linux 4.6)
_RTT_AT, _MIN_RTT_AT = 68, 148
_NEVER = 0xFFFFFFFF  # tcpi_min_rtt while none was measured
_COUNT = struct.Struct("=i")
_SENT_RETRANS = struct.Struct("=QQ")  # tcpi_bytes_sent, tcpi_bytes_retrans (Linux 4.19)
_SENT_AT = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Bytes of one or more connections: `sent` with retransmissions, `acked` and `received` each once."""

    sent: int = 0
    again: int = 0  # of `sent`, retransmitted by the kernel
    acked: int = 0
    received: int = 0

    @property
    def once(self) -> int:
        """Bytes that left, without what the kernel sent again."""
        return self.sent - self.again

    def __add__(self, other: Account) -> Account:
        """Return both accounts in one."""
        return Account(
            sent=self.sent + other.sent,
            again=self.again + other.again,
            acked=self.acked + other.acked,
            received=self.received + other.received,
        )


def account(sock: socket.socket) -> Account:
    """Return the kernel's account of a TCP socket; an empty one if it has none."""
    info = _info(sock)
    acked, received = _ACKED_RECEIVED.unpack_from(info, _ACKED_AT)
    sent, again = _SENT_RETRANS.unpack_from(info, _SENT_AT)
    return Account(sent=sent or acked, again=again, acked=acked, received=received)


def _info(sock: socket.socket) -> bytes:
    """Return struct tcp_info as far as this kernel knows it, the rest zero."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE).ljust(_INFO_SIZE, b"\0")
    except OSError:
        return bytes(_INFO_SIZE)


def _held(sock: socket.socket) -> int:
    try:
        (count,) = _COUNT.unpack(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(_COUNT.size)))
    except (OSError, ValueError):  # it is closed
        return 0
    return int(count)


class Traffic:
    """The sockets of one line to a peer, those that are open and what those that are closed have carried."""

    def __init__(self) -> None:
        self.made = 0  # connections
        self._open: set[CountedSocket] = set()
        self._closed = Account()

    def total(self) -> Account:
        """Return the account of all connections so far."""
        return sum((account(sock) for sock in self._open), self._closed)

    def unacknowledged(self) -> int:
        """Return how many bytes wait for the peer's acknowledgement, sent or not yet (SIOCOUTQ, tcp(7))."""
        return sum(_held(sock) for sock in self._open)

    def repeating(self) -> bool:
        """Return whether a connection waits for an acknowledgement and the kernel has begun to send again."""
        return any(info[_RETRANSMITS_AT] and any(info[_UNACKED]) for info in map(_info, self._open))

    def round_trip(self) -> tuple[float, float]:
        """Return the usual and the shortest round trip of the open connection in seconds; 0.0 while unknown.

        The usual one is the smoothed one less its mean deviation: what comes and goes is the line's own unrest.
        """
        for sock in self._open:
            info = _info(sock)
            (now, unrest), (shortest,) = _RTT.unpack_from(info, _RTT_AT), _MIN_RTT.unpack_from(info, _MIN_RTT_AT)
            if now and shortest != _NEVER:
                return max(now - unrest, shortest) / 1e6, shortest / 1e6
        return 0.0, 0.0

    def socket(self, family: int, kind: int, protocol: int) -> CountedSocket:
        """Make a socket that is counted here."""
        self.made += 1
        sock = CountedSocket(family, kind, protocol, closing=self._settle)
        self._open.add(sock)
        return sock

    def abort(self) -> None:
        """Throw away what waits in the kernel and reset the connections: a dead line is left, not drained."""
        for sock in tuple(self._open):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RDWR)  # wakes the transport, whose close then resets

    def _settle(self, sock: CountedSocket) -> None:
        if sock in self._open:
            self._open.discard(sock)
            self._closed += account(sock)


class CountedSocket(socket.socket):
    """A socket that hands in its account before it is closed."""

    def __init__(self, family: int, kind: int, protocol: int, *, closing: Callable[[CountedSocket], None]) -> None:
        super().__init__(family, kind, protocol)
        self._closing = closing

    def close(self) -> None:
        """Hand in the account, then close."""
        self._closing(self)
        super().close()


class Counters:
    """All lines together, for the metrics."""

    def __init__(self) -> None:
        self._lines: list[Traffic] = []
        self.wasted = 0  # payload bytes sent again

    def line(self) -> Traffic:
        """Return the account of a new line."""
        traffic = Traffic()
        self._lines.append(traffic)
        return traffic

    @property
    def sent(self) -> int:
        """Bytes on the sockets since the start."""
        return sum(traffic.total().sent for traffic in self._lines)
