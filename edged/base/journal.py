"""systemd's journal, spoken natively: each event with its fields, so that journalctl can ask for one incident's story.

Source: systemd.io, "Native Journal Protocol". The datagram socket never blocks: when the journal does not keep up or is
away, an event is dropped and counted, for a log must not stop a camera.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
# A kind of event is its phrase, and its id follows from that: it stays as long as the phrase does.
_KINDS = uuid.UUID("7d3c3a0e-5bb5-4f0f-9d58-6a6de2b6c1f4")
_LONGEST_NAME = 64  # characters that the journal accepts in a field's name
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Journal:
    """The journal's socket at `path`; OSError when nobody listens there."""

    def __init__(self, path: str = SOCKET) -> None:
        self.dropped = 0  # events that the journal did not take
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    def send(self, fields: Mapping[str, str]) -> bool:
        """Hand one event over; what can't be handed over now is counted. Return whether the journal took it."""
        data = encode(fields)
        try:
            self._hand_over(data)
        except OSError as error:
            if error.errno not in {errno.ECONNREFUSED, errno.ENOTCONN, errno.ENOENT} or not self._again(data):
                self.dropped += 1
                return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _hand_over(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
                raise
            self._hand_over_file(data)

    def _hand_over_file(self, data: bytes) -> None:
        """Send what no datagram holds as a sealed file in memory, as the protocol has it."""
        handle = os.memfd_create("edged-event", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            fcntl.fcntl(handle, fcntl.F_ADD_SEALS, _SEALS)
            self._socket.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [handle]))])
        finally:
            os.close(handle)

    def _again(self, data: bytes) -> bool:
        """Try once more with a journal that was started anew; True when it took the event."""
        try:
            self._socket.connect(self._path)
            self._hand_over(data)
        except OSError:
            return False
        return True


def from_environment(environment: Mapping[str, str] = os.environ, path: str = SOCKET) -> Journal | None:
    """Return the journal when stderr is connected to it, as JOURNAL_STREAM says (systemd.exec(5)), else None.

    With it stderr does not block any more.
    """
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        stderr = os.fstat(2)
        if (device, inode) != (str(stderr.st_dev), str(stderr.st_ino)):
            return None  # a person redirected it, or a shell within the service did
        found = Journal(path)
    except OSError:
        return None
    os.set_blocking(2, False)  # libraries write there, too: a journal that stands still must not hold them up
    return found


def encode(fields: Mapping[str, str]) -> bytes:
    """Return the datagram for one event; values of several lines are preceded by their length."""
    parts = []
    for name, value in fields.items():
        data = value.encode(errors="replace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


def field_name(key: str) -> str:
    """Return the journal's name for a log key: EDGED_ and capitals, digits and underscores."""
    return ("EDGED_" + re.sub(r"[^A-Z0-9]", "_", key.upper()))[:_LONGEST_NAME]


def message_id(event: str) -> str:
    """Return the MESSAGE_ID of a kind of event: 32 hex digits, the same for the same phrase for ever."""
    return uuid.uuid5(_KINDS, event).hex
