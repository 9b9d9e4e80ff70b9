"""When a picture was taken: from a stream's own time to the monotonic clock, without the network's jitter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from edged.base.clock import Clock

_BEHIND = 10.0  # seconds: so late is no picture, its clock goes too slowly; a network that stalls that long is left
_DRIFT = 0.002  # how fast the offset may grow, in seconds a second: twenty times the worst of quartz


class Timeline(Protocol):
    """Maps seconds of the stream to seconds of the monotonic clock."""

    def arrive(self, shown: float, decoded: float) -> float:
        """Note that the packet to show and to decode at these times has arrived; return when it was taken.

        Where the source is paced this waits until the packet is due.
        """
        ...

    def at(self, seconds: float) -> float:
        """Return when the picture at `seconds` was taken, of a stream of which something has arrived."""
        ...


class LiveTimeline:
    """Of a live source: time of capture = stream time + the smallest offset seen, let up slowly.

    Delay on the way only ever adds to `arrival - stream time`, so its minimum is the truest offset (the
    idea of NTP's clock filter, RFC 5905 section 10). A picture is never dated after its arrival.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = 0.0
        self._last: float | None = None

    def arrive(self, shown: float, decoded: float) -> float:  # noqa: ARG002 -- only the picture's own time counts
        """Note an arrival and return when the picture was taken."""
        now = self._clock.mono()
        seen = now - shown
        if self._last is None or seen - self._offset > _BEHIND:
            self._offset = seen
        else:
            self._offset = min(seen, self._offset + (now - self._last) * _DRIFT)
        self._last = now
        return self.at(shown)

    def at(self, seconds: float) -> float:
        """Return when the picture at `seconds` was taken."""
        return seconds + self._offset


class FileTimeline:
    """Of a file: its first packet is due now, each other when it is to be decoded; at full speed none waits.

    A picture is dated to when it is to be shown. At full speed the times run ahead of the clock: they are the file's.
    """

    def __init__(self, clock: Clock, *, paced: bool, sleep: Callable[[float], None] = time.sleep) -> None:
        self._clock = clock
        self._paced = paced
        self._sleep = sleep
        self._offset: float | None = None

    def arrive(self, shown: float, decoded: float) -> float:
        """Wait until the packet is due and return when its picture is to be shown."""
        if self._offset is None:
            self._offset = self._clock.mono() - decoded
        if self._paced and (wait := self.at(decoded) - self._clock.mono()) > 0:
            self._sleep(wait)
        return self.at(shown)

    def at(self, seconds: float) -> float:
        """Return when the picture at `seconds` is to be shown."""
        return seconds + (self._offset or 0.0)
