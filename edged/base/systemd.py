"""sd_notify(3): how the service tells systemd that it is ready, alive, or stopping.

The datagram socket never blocks: a systemd that does not read must not stop a healthy daemon.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

log = structlog.get_logger(__name__)


class Notifier:
    """The notify socket; without NOTIFY_SOCKET every call does nothing."""

    def __init__(self, address: str | None) -> None:
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)
        self._status = ""

    @classmethod
    def from_environment(cls) -> Notifier:
        """Use the socket that systemd named in NOTIFY_SOCKET, if it did."""
        return cls(os.environ.get("NOTIFY_SOCKET"))

    def ready(self) -> None:
        """Tell that the start, or a reload, is complete."""
        self._send("READY=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`; an unchanged line is not sent again."""
        line = text.replace("\n", " ")
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def reloading(self, mono: float) -> None:
        """Tell that a changed configuration is being read, at `mono` seconds; `ready` tells that it is done."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={round(mono * 1e6)}")

    def stopping(self) -> None:
        """Tell that the ordered stop has begun."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if self._socket is None or self._address is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("systemd not notified", message=message, reason=error.strerror)


def watchdog_interval(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the seconds within which systemd wants WATCHDOG=1, or None when it wants none (WATCHDOG_USEC)."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    owner = environment.get("WATCHDOG_PID")
    if not microseconds.isdigit() or (owner is not None and owner != str(os.getpid())):
        return None
    return int(microseconds) / 1e6
