"""One incident while it is being recorded: its tape, how far it got, and its best picture so far."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Iterable, Sequence

    from edged.base.clock import Stamp
    from edged.model import Incident, Packet
    from edged.record.snapshot import Still
    from edged.record.tape import Outcome, Tape

# A second snapshot costs a slow line its bytes, so it must show clearly more than the first.
_CLEARLY = 1.5


@dataclass(kw_only=True, slots=True)
class Recording:
    """An incident's recording, changed by the recorder alone. Times are mono."""

    incident: Incident
    tape: Tape
    newest: float  # of the last packet that came
    heard: float  # when it came: a source that lags is no source that has fallen silent
    score: float  # of the first snapshot's picture
    best: tuple[Packet, ...]  # what the best picture so far is decoded from
    best_score: float = 0.0
    outcomes: deque[Outcome] = field(default_factory=deque)  # filled by the writer's thread
    snapshots: int = 0
    late: Future[Still | None] | None = None  # the first snapshot, when the alert could not wait for it
    closed: Stamp | None = None  # last motion, once detect has closed the incident
    until: float | None = None  # the end of the post-roll
    paused: bool = False  # sealed for want of pictures

    def note_best(self, score: float, picture: tuple[Packet, ...]) -> None:
        """Remember a picture that is better than those before."""
        if picture and (not self.best or score > max(self.best_score, self.score)):
            self.best_score, self.best = score, picture

    def add_zones(self, zones: Iterable[str]) -> list[str]:
        """Add zones in their order; return those that are new."""
        added = [zone for zone in zones if zone not in self.incident.zones]
        self.incident = replace(self.incident, zones=(*self.incident.zones, *added))
        return added

    def deserves_another_snapshot(self) -> bool:
        """Return whether there is none yet, or a picture clearly better than the first."""
        return self.snapshots == 0 or self.best_score > self.score * _CLEARLY

    def wanted(self, packets: Sequence[Packet]) -> Sequence[Packet]:
        """Return those of the newest packets that belong to the clip, up to the end of the post-roll."""
        if packets:
            self.newest = packets[-1].mono
        return [packet for packet in packets if self.until is None or packet.mono <= self.until]

    def over(self, now: float, silence: float) -> bool:
        """Return whether the post-roll is recorded, or will not come any more."""
        return self.until is not None and (self.newest >= self.until or now >= max(self.until, self.heard) + silence)

    def silent(self, now: float, silence: float) -> bool:
        """Return whether no packet came for `silence` seconds, so that the open part should be sealed."""
        return not self.paused and now - self.heard > silence
