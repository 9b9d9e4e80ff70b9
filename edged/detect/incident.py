"""From motion to incidents: a state machine for one camera.

    quiet ── motion ──> candidate ── enough evidence ──> open ── no motion ──> closing ── merge time over ──> quiet
                            └── evidence runs out ──> quiet   └<── motion again ──┘

One incident at a time. What lasts longer than the longest allowed is cut and continued by a linked incident. An
incident that a person started stays open for its time, with or without motion.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from edged.model import Event, EventKind, IncidentKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from edged.detect.settings import DetectSettings
    from edged.model import Motion, Region

_TELL = 1.0  # seconds between two tellings of a better picture


class Phase(StrEnum):
    """Where the machine stands."""

    QUIET = "quiet"
    CANDIDATE = "candidate"
    OPEN = "open"
    CLOSING = "closing"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Best:
    """The best picture so far."""

    mono: float
    score: float
    regions: tuple[Region, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Open:
    """The open incident: `since` is its first motion, `last` its newest, `until` the end of a person's order."""

    id: str
    cause: IncidentKind
    since: float
    last: float
    zones: tuple[str, ...]
    best: _Best
    told: float  # mono of the last telling
    until: float = 0.0
    continues: str | None = None


class IncidentMachine:
    """The machine of one camera. Feed it every analysed frame, tick it when none comes."""

    def __init__(
        self, camera: str, settings: DetectSettings, new_id: Callable[[], str] = lambda: secrets.token_hex(16)
    ) -> None:
        self._camera = camera
        self._settings = settings
        self._new_id = new_id
        self._recent: deque[Motion] = deque(maxlen=settings.frames)
        self._open: _Open | None = None
        self._next: DetectSettings | None = None  # for incidents that are opened from now on

    @property
    def phase(self) -> Phase:
        """Where the machine stands, as the newest frame left it."""
        if self._open is None:
            return Phase.CANDIDATE if any(motion.regions for motion in self._recent) else Phase.QUIET
        moving = bool(self._recent) and bool(self._recent[-1].regions)
        return Phase.OPEN if moving else Phase.CLOSING

    def adopt(self, settings: DetectSettings) -> None:
        """Go by other settings from the next incident on: one that is open ends as it would have ended."""
        self._next = settings
        if self._open is None:
            self._change()

    def feed(self, motion: Motion) -> tuple[Event, ...]:
        """Take the next analysed frame and return the transitions it causes, in order."""
        events = list(self.tick(motion.mono))
        self._recent.append(motion)
        if self._open is not None:
            if motion.regions:
                events += self._go_on(self._open, motion)
                events += self.tick(motion.mono)
        elif self._enough():
            events.append(self._begin())
        return tuple(events)

    def tick(self, now: float) -> tuple[Event, ...]:
        """Return the transitions that time alone causes at `now`: an end, or the cut of what lasts too long."""
        events: list[Event] = []
        while self._open is not None and (due := self._due(self._open, now)):
            events += due
        return tuple(events)

    def close(self, now: float) -> tuple[Event, ...]:
        """End what is open, since nobody watches any more."""
        events = self.tick(now)
        self._recent.clear()
        if self._open is None:
            return events
        last = max(self._open.last, min(self._open.until, now))
        return (*events, self._end(self._open, last, min(self._settings.post_roll, max(0.0, now - last))))

    def start_manual(self, now: float, seconds: float) -> tuple[str, tuple[Event, ...]]:
        """Keep an incident open from `now` for `seconds` by a person's order; return its id and the transitions.

        An incident that is open already is kept open instead: there is one at a time.
        """
        events = self.tick(now)
        if self._open is not None:
            self._open = replace(self._open, until=max(self._open.until, now + seconds))
            return self._open.id, events
        best = _Best(mono=now, score=0.0, regions=())
        self._open = _Open(
            id=self._new_id(),
            cause=IncidentKind.MANUAL,
            since=now,
            last=now,
            zones=(),
            best=best,
            told=now,
            until=now + seconds,
        )
        return self._open.id, (*events, self._event(EventKind.OPENED, self._open, now))

    # ------------------------------------------------------------------------------------------- transitions

    def _change(self) -> None:
        if self._next is not None:
            self._settings, self._next = self._next, None
            self._recent = deque(self._recent, maxlen=self._settings.frames)

    def _enough(self) -> bool:
        return sum(bool(motion.regions) for motion in self._recent) >= self._settings.evidence

    def _begin(self) -> Event:
        moving = [motion for motion in self._recent if motion.regions]
        first, last = moving[0], moving[-1]
        best = max(moving, key=lambda motion: motion.score)
        zones = tuple(dict.fromkeys(zone for motion in moving for zone in _zones(motion)))
        self._open = _Open(
            id=self._new_id(),
            cause=IncidentKind.MOTION,
            since=first.mono,
            last=last.mono,
            zones=zones,
            best=_Best(mono=best.mono, score=best.score, regions=best.regions),
            told=last.mono,
        )
        return self._event(EventKind.OPENED, self._open, first.mono)

    def _go_on(self, current: _Open, motion: Motion) -> list[Event]:
        zones = tuple(dict.fromkeys((*current.zones, *_zones(motion))))
        best = current.best
        if motion.score > best.score:
            best = _Best(mono=motion.mono, score=motion.score, regions=motion.regions)
        news = zones != current.zones or (best is not current.best and motion.mono - current.told >= _TELL)
        told = motion.mono if news else current.told
        self._open = replace(current, last=motion.mono, zones=zones, best=best, told=told)
        return [self._event(EventKind.EXTENDED, self._open, motion.mono)] if news else []

    def _end(self, current: _Open, last: float, post_roll: float) -> Event:
        self._open = None
        self._recent.clear()
        self._change()
        return self._event(EventKind.CLOSED, current, last, keep_until=last + post_roll)

    def _due(self, current: _Open, now: float) -> tuple[Event, ...]:
        """Return the next transition that was due by `now`: the cut of what lasts too long, or the end."""
        lasted = max(current.last, min(current.until, now))
        limit = current.since + self._settings.longest
        if lasted > limit:
            return self._cut(current, limit)
        if now >= max(current.last + self._settings.merge, current.until):
            return (self._end(current, lasted, self._settings.post_roll),)
        return ()

    def _cut(self, current: _Open, at: float) -> tuple[Event, ...]:
        closed = self._event(EventKind.CLOSED, current, at, keep_until=at)
        self._change()
        self._open = replace(
            current,
            id=self._new_id(),
            since=at,
            last=max(current.last, at),
            best=_Best(mono=at, score=0.0, regions=()),
            told=at,
            continues=current.id,
        )
        return closed, self._event(EventKind.OPENED, self._open, at)

    def _event(self, kind: EventKind, of: _Open, mono: float, keep_until: float = 0.0) -> Event:
        return Event(
            kind=kind,
            incident=of.id,
            camera=self._camera,
            cause=of.cause,
            zones=of.zones,
            mono=mono,
            best=of.best.mono,
            score=of.best.score,
            regions=of.best.regions,
            continues=of.continues,
            keep_until=keep_until,
        )


def _zones(motion: Motion) -> tuple[str, ...]:
    return tuple(dict.fromkeys(region.zone for region in motion.regions if region.zone))
