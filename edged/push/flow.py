"""How many bytes may be under way on the connections to the receiver: as many as fill the line, and no queue before it.

Whatever waits in a router's buffer is what an alert and the neighbours wait behind, and what is lost and paid for when
the line is cut. So the sending window follows the delay, as LEDBAT does (RFC 6817): it grows while a round trip takes
little longer than the shortest known, and shrinks when it takes `_TARGET` longer. Beside it the kernel's own window
goes on to answer losses; the smaller of the two holds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edged.push.traffic import Traffic

_TARGET = 0.1  # seconds that our bytes may wait in queues: LEDBAT's own
_FIRST = 16 * 1024  # bytes
_SMALLEST = 4 * 1024
_LARGEST = 192 * 1024  # what a cut may cost at most
_SEGMENT = 1400
_GROWTH = 0.125  # of the window in a round trip without a queue: a segment at a time takes minutes over a satellite
_MEMORY = 300.0  # seconds after which the shortest round trip is measured anew: the route may have changed
_PAUSES = (0.0, 0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)  # seconds between looks while nothing moves


class Floor:
    """The shortest round trip to the receiver that any connection saw of late."""

    def __init__(self) -> None:
        self._now = self._before = float("inf")  # of this stretch of time and of the one before it
        self._since = 0.0

    def note(self, rtt: float, now: float) -> float:
        """Take in a round trip of `rtt` seconds seen at `now`; return the shortest."""
        if now - self._since > _MEMORY:
            self._before, self._now, self._since = self._now, rtt, now
        self._now = min(self._now, rtt)
        return min(self._now, self._before)


class Flow:
    """The window of one connection after another on one line; `floor` is shared by all that go the same way."""

    def __init__(self, traffic: Traffic, floor: Floor) -> None:
        self.window = float(_FIRST)
        self._traffic = traffic
        self._floor = floor
        self._probing = True  # doubling each round trip until there is a queue
        self._acked = 0
        self._made = 0

    def piece(self) -> int:
        """Return how many bytes to send at a time."""
        return max(_SEGMENT, int(self.window) // 4)

    async def room(self) -> None:
        """Wait until the window takes another piece."""
        looks = 0
        while self._traffic.unacknowledged() >= self._judge():
            await asyncio.sleep(_PAUSES[min(looks, len(_PAUSES) - 1)])
            looks += 1

    def _judge(self) -> float:
        """Return the window after what was acknowledged since the last look."""
        acked = self._traffic.total().acked
        if self._traffic.made != self._made:  # the way may be another one
            self._made, self._acked, self.window, self._probing = self._traffic.made, acked, float(_FIRST), True
        fresh, self._acked = acked - self._acked, acked
        rtt, shortest = self._traffic.round_trip()
        if fresh > 0 and rtt > 0.0:
            queued = rtt - self._floor.note(shortest, asyncio.get_running_loop().time())
            self._adjust(fresh, queued)
        return self.window

    def _adjust(self, fresh: int, queued: float) -> None:
        spare = max(-1.0, 1.0 - queued / _TARGET)  # 1: no queue; 0: as long as it may be; below: longer
        if self._probing:
            self._probing = spare > 0.5  # noqa: PLR2004 -- half of what may be
            self.window += fresh
        elif spare > 0:
            self.window += spare * fresh * max(_SEGMENT / self.window, _GROWTH)
        else:
            self.window += spare * fresh / 2
        self.window = min(float(_LARGEST), max(float(_SMALLEST), self.window))
