"""What the line to the receiver is good for: judged from probes and from the uploads' own experience, with hysteresis.

One failure is no outage: the line counts as down after several in a row. One answer proves it back, at once, unless
it fell again soon after it came: then two are asked for, so that a flapping line starts no storm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from edged.model import Link, LinkState

if TYPE_CHECKING:
    from collections.abc import Callable

    from edged.base.clock import Clock
    from edged.push.settings import ProbeSettings

log = structlog.get_logger(__name__)

_WEIGHT = 0.3  # of the newest measurement in a running mean
_LIFE = 600.0  # seconds that a line of which nothing is known is taken to live


class Outcome(StrEnum):
    """What one exchange with the receiver showed of the line."""

    ANSWERED = "answered"  # by the receiver itself, whatever it said
    CAPTIVE = "captive"  # by somebody else: a hotel's portal, a proxy's error page
    SILENT = "silent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """One exchange: round trip in seconds and rate in bytes a second where it measured them, else 0.0."""

    outcome: Outcome
    rtt: float = 0.0
    rate: float = 0.0
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """The line and what the hysteresis has to remember of it."""

    link: Link
    failed: int = 0  # exchanges in a row
    proved: int = 0  # answers in a row while it counts as down
    hasty: bool = False  # it fell soon after it came: the next return must prove itself twice
    life: float = _LIFE  # mean seconds between cuts
    cut: float  # mono of the last cut


def begin(now: float) -> Track:
    """Return the track of a line that was never tried, at mono `now`."""
    return Track(link=Link(state=LinkState.DOWN, since=now, rtt=0.0, rate=0.0, reason="not yet tried"), cut=now)


def observe(track: Track, seen: Exchange, *, figures: ProbeSettings, metered: bool, now: float) -> Track:
    """Return the track after one exchange at mono `now`."""
    if seen.outcome is Outcome.ANSWERED:
        return _answered(track, seen, metered=metered, now=now)
    return _failed(track, seen, figures=figures, now=now)


def mean_life(track: Track, now: float) -> float:
    """Return how many seconds the line lives on average; a present life longer than that speaks for itself."""
    return max(track.life, now - track.cut) if usable(track.link) else track.life


def usable(link: Link) -> bool:
    """Return whether uploads may go over `link`."""
    return link.state in {LinkState.UP, LinkState.METERED}


def probe_wait(track: Track, *, waiting: bool, tries: int, figures: ProbeSettings, metered: bool) -> float:
    """Return seconds from the last sign of the line to the next probe.

    `waiting` says that work waits for the line, `tries` counts the probes since it fell.
    """
    if usable(track.link) and track.failed:
        return figures.waiting  # one failure: find out soon whether it is an outage
    if waiting and not usable(track.link):
        return float(min(figures.waiting * 2.0 ** min(tries, 30), figures.waiting_cap))
    return figures.metered if metered else figures.idle


def _answered(track: Track, seen: Exchange, *, metered: bool, now: float) -> Track:
    link = replace(track.link, rtt=_mean(track.link.rtt, seen.rtt), rate=_mean(track.link.rate, seen.rate))
    if usable(link):
        return replace(track, link=link, failed=0)
    proved = track.proved + 1
    if proved < (2 if track.hasty else 1):
        return replace(track, link=link, failed=0, proved=proved)
    state = LinkState.METERED if metered else LinkState.UP
    link = replace(link, state=state, since=now, reason="the receiver answers")
    return replace(track, link=link, failed=0, proved=0, cut=now)


def _failed(track: Track, seen: Exchange, *, figures: ProbeSettings, now: float) -> Track:
    track = replace(track, failed=track.failed + 1, proved=0)
    state = LinkState.CAPTIVE if seen.outcome is Outcome.CAPTIVE else LinkState.DOWN
    if not usable(track.link):
        since = track.link.since if state is track.link.state else now
        return replace(track, link=replace(track.link, state=state, since=since, reason=seen.reason))
    if track.failed == 1:
        track = replace(track, life=_mean(track.life, now - track.cut), cut=now)
    if track.failed < figures.failures:
        return track
    hasty = now - track.link.since < figures.settled
    return replace(track, hasty=hasty, link=replace(track.link, state=state, since=now, reason=seen.reason))


def _mean(old: float, new: float) -> float:
    if new <= 0.0:
        return old
    return new if old <= 0.0 else old + _WEIGHT * (new - old)


class LinkWatch:
    """The line as it stands; uploads and probes tell it what they saw, and who waits for the line is called."""

    def __init__(self, figures: ProbeSettings, clock: Clock, *, metered: bool) -> None:
        self.metered = metered
        self.track = begin(clock.mono())
        self.seen_at: float | None = None  # mono of the last exchange
        self._figures = figures
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        self._watchers: list[Callable[[], None]] = []

    def adopt(self, figures: ProbeSettings, *, metered: bool) -> None:
        """Go by other figures from now on; a line that is usable counts as metered, or no longer, at once."""
        self._figures = figures
        self.metered = metered
        if self.usable:
            state = LinkState.METERED if metered else LinkState.UP
            self.track = replace(self.track, link=replace(self.link, state=state))

    @property
    def link(self) -> Link:
        """The line's present state."""
        return self.track.link

    @property
    def usable(self) -> bool:
        """Whether uploads may go now."""
        return usable(self.track.link)

    def life(self) -> float:
        """Return the line's mean life in seconds."""
        return mean_life(self.track, self._clock.mono())

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Have `listener` called each time the line becomes usable or ceases to be."""
        self._listeners.append(listener)

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have `watcher` called after each exchange that failed."""
        self._watchers.append(watcher)

    def saw(self, seen: Exchange) -> None:
        """Take in one exchange."""
        before = self.track.link
        self.seen_at = now = self._clock.mono()
        self.track = observe(self.track, seen, figures=self._figures, metered=self.metered, now=now)
        link = self.track.link
        if link.state is not before.state:
            log.info("link changed", state=str(link.state), before=str(before.state), reason=link.reason)
        if usable(link) is not usable(before):
            for listener in self._listeners:
                listener()
        if self.track.failed:
            for watcher in self._watchers:
                watcher()
