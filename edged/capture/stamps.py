"""Makes one unbroken run of time stamps of what cameras and files really send."""

from __future__ import annotations

from dataclasses import dataclass

_BACK = 1.0  # seconds that a decoding time may step back before it counts as a jump of the source's clock
_AHEAD = 10.0  # seconds that it may run ahead of its arrival


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamps:
    """Presentation and decoding time and duration of one packet, in the source's time base."""

    pts: int
    dts: int
    duration: int


class Stamper:
    """Fills in missing stamps, joins jumps and loops, and keeps decoding times rising.

    `second` is one second in the source's time base, `usual` the duration of a packet that names none.
    """

    def __init__(self, *, second: float, usual: int) -> None:
        self._second = second
        self._usual = max(1, usual)
        self._shift = 0
        self._last: Stamps | None = None
        self._end = 0  # of the picture shown last
        self._arrived = 0.0

    def stamp(self, pts: int | None, dts: int | None, duration: int | None, arrived: float) -> Stamps:
        """Return the stamps of the packet that arrived at `arrived` (seconds on any steady clock)."""
        length = duration if duration is not None and duration > 0 else self._usual
        start = dts if dts is not None else pts
        if self._last is None:
            start = start if start is not None else 0
        elif start is None:
            start = self._last.dts + self._last.duration - self._shift
        else:
            self._join(start, self._last, arrived)
        shown = (pts if pts is not None else start) + self._shift
        decoded = start + self._shift
        if self._last is not None:
            decoded = max(decoded, self._last.dts + 1)
        stamps = Stamps(pts=max(shown, decoded), dts=decoded, duration=length)
        self._last, self._arrived = stamps, arrived
        self._end = max(self._end, stamps.pts + length)
        return stamps

    def rewind(self, first_pts: int | None) -> None:
        """Go on where the last picture ended: the source begins again, its first picture at `first_pts`."""
        self._shift = self._end - (first_pts or 0)

    def _join(self, start: int, last: Stamps, arrived: float) -> None:
        expected = last.dts + max(last.duration, round((arrived - self._arrived) * self._second))
        ahead = start + self._shift - expected
        if ahead > _AHEAD * self._second or start + self._shift < last.dts - _BACK * self._second:
            self._shift += expected - (start + self._shift)
