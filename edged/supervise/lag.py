"""The event loop's lag: how late a timer fires. Measured all the time, shown, and fed to the watchdog."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, insort
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edged.base.pulse import Pulse

INTERVAL = 0.1  # seconds; ten samples a second cost a Pi nothing that can be measured
_WINDOW = 6000  # samples: ten minutes


class LagMeter:
    """Keeps the newest ten minutes of lag samples, in seconds."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque()
        self._ordered: list[float] = []  # the same, kept sorted: every page and picture asks for a quantile
        self._expected = math.inf

    async def run(self, pulse: Pulse) -> None:
        """Measure until cancelled."""
        while True:
            await self.step()
            pulse.beat()

    async def step(self) -> None:
        """Take one sample."""
        loop = asyncio.get_running_loop()
        self._expected = loop.time() + INTERVAL
        await asyncio.sleep(INTERVAL)
        self._keep(max(0.0, loop.time() - self._expected))

    def quantile(self, share: float) -> float:
        """Return the lag in seconds that `share` of the samples stay under; 0.0 before the first."""
        ordered = self._ordered
        return ordered[min(len(ordered) - 1, math.floor(share * len(ordered)))] if ordered else 0.0

    def newest(self) -> float:
        """Return the newest sample in seconds."""
        return self._samples[-1] if self._samples else 0.0

    def _keep(self, sample: float) -> None:
        if len(self._samples) == _WINDOW:
            del self._ordered[bisect_left(self._ordered, self._samples.popleft())]
        self._samples.append(sample)
        insort(self._ordered, sample)
