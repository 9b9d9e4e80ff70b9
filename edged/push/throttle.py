"""The pacer: one virtual clock shared by all transfers, the most urgent piece first.

Each piece of n bytes moves the virtual clock on by n / rate seconds; a piece may go as soon as that clock is
not ahead of the real one. This is the "virtual scheduling" form of the generic cell rate algorithm (ITU-T
I.371, annex A). What was not used is forgotten but for `_CREDIT` seconds, which make up for late wake-ups; so no
second carries more than `_CREDIT + _PIECE` over the rate, whatever the pause before it. A token bucket that
saves up megabytes would flood a thin line and let alerts wait behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from typing import TYPE_CHECKING

from edged.base.clock import stamp
from edged.base.week import parse_span
from edged.channels import times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from zoneinfo import ZoneInfo

    from edged.base.clock import Clock
    from edged.push.settings import PushSettings

_PIECE = 0.04  # seconds of sending in one piece
_CREDIT = 0.04  # seconds of sending that may be made up after a late wake-up
_SMALLEST = 1400  # bytes: about one segment; smaller ones cost more in headers than they smooth
_LARGEST = 16 * 1024  # bytes
_UNLIMITED = 256 * 1024  # bytes in a piece without a limit: few wake-ups, still soon stopped
_HUSH = 10.0  # seconds: a mail with its picture over 64 kbit/s
_STOPPED = 15.0  # seconds between looks at the time-table while it allows nothing


class Pacer:
    """Gives out the right to send. `rate` tells the bytes a second allowed now: None for no limit, 0.0 for nothing."""

    def __init__(self, rate: Callable[[], float | None]) -> None:
        self._rate = rate
        self._line_free = 0.0  # the virtual clock, on the loop's
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._turn: asyncio.TimerHandle | None = None
        self._hushes = 0  # alerts under way
        self._hushed = (0.0, 0.0)  # nothing goes from, until; on the loop's clock

    def adopt(self, rate: Callable[[], float | None]) -> None:
        """Go by another rate from the next piece on; what an old, slow one still owed is forgotten."""
        self._rate = rate
        self._line_free = min(self._line_free, asyncio.get_running_loop().time())
        self._arrange()

    @contextlib.contextmanager
    def hush(self) -> Iterator[None]:
        """Hold all pieces back while the block runs, because something more urgent goes beside the pacer.

        For `_HUSH` seconds at most, and then not again for as long: what hangs must not keep everything else back.
        """
        now = asyncio.get_running_loop().time()
        self._hushes += 1
        began, until = self._hushed
        if now >= until + max(0.0, until - began):
            self._hushed = now, now + _HUSH
        try:
            yield
        finally:
            self._hushes -= 1
            began, until = self._hushed
            if not self._hushes:
                self._hushed = began, min(until, asyncio.get_running_loop().time())
                self._arrange()

    @property
    def stopped(self) -> bool:
        """Whether the time-table lets nothing through now."""
        return self._rate() == 0

    def piece(self) -> int:
        """Return how many bytes to ask for at a time."""
        rate = self._rate()
        if rate is None:
            return _UNLIMITED
        return max(_SMALLEST, min(_LARGEST, int(rate * _PIECE)))

    async def take(self, urgency: int, size: int) -> None:
        """Wait until `size` bytes may be sent; the lowest `urgency` (a delivery's priority) that waits goes first."""
        now = asyncio.get_running_loop().time()
        if self._rate() is None and not self._waiting and now >= self._hushed[1]:
            return
        place = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), size, place))
        self._arrange()
        try:
            await place
        except asyncio.CancelledError:
            self._leave(place)
            raise

    def _charge(self, size: int) -> None:
        rate = self._rate()
        if rate:
            now = asyncio.get_running_loop().time()
            self._line_free = max(self._line_free, now - _CREDIT) + size / rate

    def _leave(self, place: asyncio.Future[None]) -> None:
        self._waiting = [entry for entry in self._waiting if entry[3] is not place]
        heapq.heapify(self._waiting)
        self._arrange()

    def _arrange(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self._waiting:
            loop = asyncio.get_running_loop()
            self._turn = loop.call_at(self._next_turn(loop.time()), self._grant)

    def _next_turn(self, now: float) -> float:
        rate = self._rate()
        now = max(now, self._hushed[1])
        if rate is None:
            return now
        return max(now, self._line_free) if rate > 0 else now + _STOPPED

    def _grant(self) -> None:
        self._turn = None
        if self._rate() != 0:
            _, _, size, place = heapq.heappop(self._waiting)
            self._charge(size)  # here and not by the taker, who may run only after the next one has asked
            place.set_result(None)
        self._arrange()


def scheduled_rate(settings: PushSettings, zone: ZoneInfo, clock: Clock) -> Callable[[], float | None]:
    """Return a function that tells the rate: of the first entry of the time-table that holds now, else the general.

    Before the clock is set no entry is known to hold.
    """
    spans = [(parse_span(hours.when), hours.rate) for hours in settings.timetable]
    minute, current = -1, settings.rate

    def rate() -> float | None:
        nonlocal minute, current
        wall = clock.wall()
        if int(wall // 60) != minute:
            minute = int(wall // 60)
            known = spans if times.is_set(stamp(clock)) else []
            current = next((rate for span, rate in known if span.holds(wall, zone)), settings.rate)
        return current

    return rate
