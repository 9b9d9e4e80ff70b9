"""Scores incidents against a clip's labels, by the rules of the footage's README."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from scripts.benches._footage import Labels, Span

_EARLY, _LATE = 0.5, 2.0  # seconds around an event in which an incident still finds it
_FAR = 10.0  # seconds from any event: quiet time
_LEAD = 3.0  # seconds of quiet before the first event that make a delay meaningful
_GRAIN = 0.1  # seconds, of the shares of time


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """From first to last motion, and when it was told, in seconds of the clip."""

    start: float
    end: float
    told: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A clip's result."""

    found: tuple[Span, ...]
    missed: tuple[Span, ...]
    false: tuple[Incident, ...]
    delays: tuple[float, ...]  # seconds, of the events that opened an incident
    negative_s: float
    quiet_s: float
    alarm_s: float


def score(labels: Labels, incidents: Sequence[Incident]) -> Score:
    """Judge `incidents`, in order of time, against `labels`."""
    found = tuple(event for event in labels.events if _finders(event, incidents))
    times = np.arange(0.0, labels.seconds, _GRAIN)
    quiet = _within(times, ((span.start, span.end) for span in labels.negatives))
    quiet &= ~_within(times, ((event.start - _FAR, event.end + _FAR) for event in labels.events))
    alarm = quiet & _within(times, ((incident.start, incident.end) for incident in incidents))
    return Score(
        found=found,
        missed=tuple(event for event in labels.events if event not in found),
        false=tuple(incident for incident in incidents if _is_false(incident, labels)),
        delays=_delays(labels, incidents) if labels.quiet_lead >= _LEAD else (),
        negative_s=sum(span.end - span.start for span in labels.negatives),
        quiet_s=float(np.count_nonzero(quiet)) * _GRAIN,
        alarm_s=float(np.count_nonzero(alarm)) * _GRAIN,
    )


def _finders(event: Span, incidents: Iterable[Incident]) -> list[Incident]:
    return [found for found in incidents if found.start <= event.end + _LATE and found.end >= event.start - _EARLY]


def _is_false(incident: Incident, labels: Labels) -> bool:
    if any(_finders(event, (incident,)) for event in labels.events):
        return False
    if any(span.start <= incident.start <= span.end for span in labels.ambiguous):
        return False
    return any(span.start <= incident.start <= span.end for span in labels.negatives)


def _delays(labels: Labels, incidents: Iterable[Incident]) -> tuple[float, ...]:
    """Return each event's delay; one that an incident already covers when it begins has none."""
    delays = []
    for event in labels.events:
        finders = _finders(event, incidents)
        if finders and finders[0].start >= event.start - _EARLY:
            delays.append(max(0.0, finders[0].told - event.start))
    return tuple(delays)


def _within(times: NDArray[np.float64], spans: Iterable[tuple[float, float]]) -> NDArray[np.bool_]:
    inside = np.zeros(len(times), dtype=bool)
    for start, end in spans:
        inside |= (times >= start) & (times <= end)
    return inside
