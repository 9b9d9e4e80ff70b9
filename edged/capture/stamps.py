"""Makes one unbroken run of time stamps of what cameras and files really send."""

from __future__ import annotations

from dataclasses import dataclass

_BACK = 1.0  # seconds that a stamp may step back before it counts as a jump of the source's clock
_AHEAD = 10.0  # seconds that it may run ahead of its arrival
_STANDS = 1.0  # seconds of arrivals for which stamps may fail to rise before they count as a clock that stands
_LONGEST = 10.0  # seconds that one picture may last; files write a hole between pictures that way


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamps:
    """Presentation and decoding time and duration of one packet, in the source's time base."""

    pts: int
    dts: int
    duration: int


class Stamper:
    """Fills in missing stamps, joins jumps and loops, and keeps decoding times rising.

    `second` is one second in the source's time base, `usual` the duration of a packet that names none and
    `reorder` how many packets may be decoded before one that is shown before them (B-frames).
    """

    def __init__(self, *, second: float, usual: int, reorder: int) -> None:
        self._second = second
        self._usual = max(1, usual)
        self._reorder = reorder
        self._shift = 0  # from the source's stamps to ours
        self._last: Stamps | None = None
        self._end = 0  # of the picture shown last
        self._arrived = 0.0
        self._rose = 0.0  # arrival of the newest packet whose decoding time was after all before it

    def stamp(self, pts: int | None, dts: int | None, duration: int | None, arrived: float) -> Stamps:
        """Return the stamps of the packet that arrived at `arrived` (seconds on any steady clock)."""
        length = duration if duration is not None and 0 < duration <= _LONGEST * self._second else self._usual
        if self._last is None:
            self._rose = arrived
            shown, decoded = self._first(pts, dts)
        else:
            shown, decoded = self._next(pts, dts, self._last, arrived)
        self._last = Stamps(pts=max(shown, decoded), dts=decoded, duration=length)
        self._arrived = arrived
        self._end = max(self._end, self._last.pts + length)
        return self._last

    def rewind(self, first_pts: int) -> None:
        """Go on where the last picture ended: the source begins again, its first picture at `first_pts`."""
        self._shift = self._end - first_pts

    def _first(self, pts: int | None, dts: int | None) -> tuple[int, int]:
        shown = pts if pts is not None else dts if dts is not None else 0
        return shown, dts if dts is not None else shown - self._reorder * self._usual

    def _next(self, pts: int | None, dts: int | None, last: Stamps, arrived: float) -> tuple[int, int]:
        known = dts if dts is not None else pts
        if known is not None:
            self._join(known, last, arrived)
        usual = last.dts + last.duration
        decoded = dts + self._shift if dts is not None else usual
        if decoded <= last.dts:
            decoded = self._standing(decoded, last, arrived)
        else:
            self._rose = arrived
        shown = pts + self._shift if pts is not None else decoded
        if dts is None:
            decoded = max(min(decoded, shown), last.dts + 1)
        return shown, decoded

    def _standing(self, decoded: int, last: Stamps, arrived: float) -> int:
        """Return the decoding time of a packet whose stamp did not rise: the time that has passed counts instead.

        Soon the stamps may go on from where they were; a clock that stands for longer is taken up where it stands.
        """
        passed = last.dts + max(1, round((arrived - self._arrived) * self._second))
        if arrived - self._rose > _STANDS:
            self._shift += passed - decoded
            self._rose = arrived
        return passed

    def _join(self, known: int, last: Stamps, arrived: float) -> None:
        """Shift the source's stamps so that a jump of its clock leaves only the time that has really passed."""
        expected = last.dts + max(last.duration, round((arrived - self._arrived) * self._second))
        stamp = known + self._shift
        if stamp > expected + _AHEAD * self._second or stamp < last.dts - _BACK * self._second:
            self._shift += expected - stamp
