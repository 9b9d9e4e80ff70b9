"""Proof of progress: a task beats its pulse after each unit of work; who falls silent is restarted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edged.base.clock import Clock


class Pulse:
    """The pulse of one task; `deadline` is the longest silence in seconds that is still healthy."""

    def __init__(self, name: str, deadline: float, clock: Clock) -> None:
        self.name = name
        self.deadline = deadline
        self._clock = clock
        self._last = clock.mono()
        self.beats = 0

    def beat(self) -> None:
        """Note that a unit of work was done, or that there was honestly nothing to do."""
        self._last = self._clock.mono()
        self.beats += 1

    def age(self) -> float:
        """Return seconds since the last beat."""
        return self._clock.mono() - self._last

    def silent(self) -> bool:
        """Return whether the deadline has passed without a beat."""
        return self.age() > self.deadline
