"""One run of a soak: how long, with which random choices, and what it has found so far."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scripts.soaks.figures import Figures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path
    from random import Random

    from scripts.soaks.oracle.judge import Finding


@dataclass(kw_only=True)
class Run:
    """What a kind is given: `rng` makes all its choices, `folder` is its own, empty, and kept when something is found.

    It ends after `seconds` or `count` cycles, whichever is given.
    """

    kind: str
    seed: int
    rng: Random
    folder: Path
    seconds: float | None = None
    count: int | None = None
    figures: Figures = field(default_factory=Figures)
    started: float = field(default_factory=time.monotonic)
    _over: dict[int, bool] = field(default_factory=dict)

    async def cycles(self) -> AsyncIterator[int]:
        """Number the cycles from 1 until the time is over or the count reached; there is always one."""
        number = 0
        while True:
            number += 1
            self.figures.cycles += 1
            yield number
            if self.is_over(number):
                return

    def is_over(self, number: int) -> bool:
        """Return whether cycle `number` is the last one; the first answer stands, though time goes on."""
        if number not in self._over:
            late = self.seconds is not None and time.monotonic() - self.started >= self.seconds
            self._over[number] = late if self.count is None else number >= self.count
        return self._over[number]

    def note(self, text: str) -> None:
        """Show progress."""
        passed = time.monotonic() - self.started
        print(f"{self.kind} {passed:7.1f} s  {text}", file=sys.stderr, flush=True)

    def found(self, findings: Iterable[Finding]) -> None:
        """Count breaches of the law, and say each once."""
        for finding in self.figures.add(findings):
            self.note(f"{finding.kind.upper()}: {finding.text}")

    def recovered(self, seconds: float) -> None:
        """Note that the device was at work again so long after a fault had ended it."""
        self.figures.longest_recovery_s = max(self.figures.longest_recovery_s, seconds)

    def obliged(self, count: int) -> None:
        """Count obligations that were judged."""
        self.figures.obligations += count

    def sent(self, useful_bytes: int, wire_bytes: int) -> None:
        """Count what arrived for good, and all that went over the line for it."""
        self.figures.useful_bytes += useful_bytes
        self.figures.wire_bytes += wire_bytes
