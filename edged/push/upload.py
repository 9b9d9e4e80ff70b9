"""Decisions of a resumable upload, without I/O: how much to send at a time, and what a server's offset is worth.

The server's offset is the truth about what it holds; nothing of an upload's progress is kept on the device but the
upload's address.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edged.base.errors import RefusedError

if TYPE_CHECKING:
    from edged.push.settings import ReceiverSettings


def slice_length(settings: ReceiverSettings, *, rtt: float, life: float, rate: float, left: int) -> int:
    """Return how many of the `left` bytes the next request carries.

    With a round trip of `rtt` s lost per request, and half a slice on average lost to a cut when a server or a proxy
    before it keeps nothing of a broken request, sqrt(2 * rtt * life) seconds of sending cost least (the optimum
    checkpoint interval: J. W. Young, CACM 17(9), 1974). A remainder of less than half a slice goes along.
    """
    best = int(math.sqrt(2.0 * rtt * life) * rate)
    length = max(settings.slice_min, min(settings.slice_max, best))
    return left if left < length * 3 // 2 else length


def resume_at(answered: int, size: int) -> int:
    """Return where to go on after the server `answered` HEAD; RefusedError if it claims more than there is."""
    if answered > size:
        raise RefusedError(f"the receiver claims to hold {answered} bytes of a file of {size}")
    return answered


def advance(offset: int, length: int, answered: int) -> int:
    """Return the new offset after sending `length` bytes at `offset`; RefusedError if the answer can't be true."""
    if not offset < answered <= offset + length:
        raise RefusedError(f"the receiver answered offset {answered} to {length} bytes sent at {offset}")
    return answered


class Reach:
    """How far each upload's bytes have been put on the wire, so that those sent again are known.

    Of this process's life only: after a restart the first answer of the server is taken as it is.
    """

    def __init__(self) -> None:
        self._end: dict[str, int] = {}

    def sent(self, key: str, end: int) -> None:
        """Note that the bytes of upload `key` up to `end` have left."""
        self._end[key] = max(end, self._end.get(key, 0))

    def resume(self, key: str, offset: int) -> int:
        """Return how many bytes have to be sent again because the server stands at `offset`."""
        again = max(0, self._end.get(key, 0) - offset)
        self._end[key] = offset
        return again

    def forget(self, key: str) -> None:
        """The upload is done or given up."""
        self._end.pop(key, None)
