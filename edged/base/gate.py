"""A gate before each destination: closed after repeated failures, probed by one request at a time.

up -> down after `failures` in a row; down -> probing when `pause` seconds are over (one caller is let through);
probing -> up after `successes` in a row, or back down at the first failure. Real traffic is the probe.
A cancelled call says nothing about the peer, so it only gives its place back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class GateState(StrEnum):
    """What the gate lets through: everything, nothing, or one request."""

    UP = "up"
    DOWN = "down"
    PROBING = "probing"


@dataclass(frozen=True, kw_only=True, slots=True)
class GateFigures:
    """Failures in a row that close a gate, seconds it stays closed, successes in a row that open it."""

    failures: int = 5
    pause: float = 60.0
    successes: int = 2


class Gate:
    """The gate of one destination. Every call gives the monotonic time `now` in seconds."""

    def __init__(self, figures: GateFigures) -> None:
        self._figures = figures
        self.state = GateState.UP
        self.reason = ""
        self._failed = 0
        self._succeeded = 0
        self._until = 0.0
        self._probe_out = False
        self._paused = False

    def adopt(self, figures: GateFigures) -> None:
        """Go by other figures from now on."""
        self._figures = figures

    @property
    def taken(self) -> bool:
        """Whether the one place of a probe is taken: soon it is known how the peer is."""
        return self.state is GateState.PROBING and self._probe_out

    def admit(self, now: float) -> bool:
        """Return whether a request may go now; True while probing takes the one place."""
        if self.state is GateState.DOWN and now >= self._until:
            self.state, self._succeeded = GateState.PROBING, 0
        if self.state is GateState.UP:
            return True
        if self.state is GateState.DOWN or self._probe_out:
            return False
        self._probe_out = True
        return True

    def wait(self, now: float) -> float:
        """Return seconds until `admit` may next say yes: 0.0 when it may already."""
        return max(0.0, self._until - now) if self.state is GateState.DOWN else 0.0

    def succeed(self) -> None:
        """Note a request that the peer served."""
        self._probe_out = False
        self._failed = 0
        self._succeeded += 1
        if self.state is not GateState.UP and self._succeeded >= self._figures.successes:
            self.state, self.reason = GateState.UP, ""

    def fail(self, now: float, reason: str) -> None:
        """Note a request that failed for want of the peer."""
        self._probe_out = False
        self._succeeded = 0
        self._failed += 1
        self.reason = reason
        if self.state is not GateState.UP or self._failed >= self._figures.failures:
            self._close(now, self._figures.pause)

    def pause(self, now: float, seconds: float, reason: str) -> None:
        """Close the gate for `seconds`: the peer asked for it, or refuses our credentials."""
        self._probe_out = False
        self.reason = reason
        self._close(now, seconds)
        self._paused = True

    def cancel(self) -> None:
        """Give back the place of a request that was cancelled."""
        self._probe_out = False

    def hasten(self, *, overrule: bool = True) -> None:
        """Let a probe through at once: the link has just come back.

        Without `overrule` only where failures closed the gate: what the peer itself said does not change with the link.
        """
        if overrule or not self._paused:
            self._until = 0.0

    def _close(self, now: float, seconds: float) -> None:
        self.state = GateState.DOWN
        self._until = now + seconds
        self._failed = 0
        self._paused = False
