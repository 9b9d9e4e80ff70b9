"""The lag meter, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from edged.base.pulse import Pulse
from edged.supervise.lag import LagMeter

if TYPE_CHECKING:
    from tests.simloop import SimClock, Simulate


def test_a_free_loop_has_no_lag(simulate: Simulate) -> None:
    """Timers that fire on time give zero, ten samples a second, each with a beat."""

    async def scene(clock: SimClock) -> None:
        meter, pulse = LagMeter(), Pulse("lag", 30.0, clock)
        assert (meter.quantile(0.99), meter.newest()) == (0.0, 0.0)
        running = asyncio.create_task(meter.run(pulse))
        await asyncio.sleep(10.05)
        assert pulse.beats == 100
        assert meter.quantile(1.0) == pytest.approx(0.0, abs=1e-9)
        running.cancel()
        await asyncio.wait({running})

    simulate(scene)


def test_a_blocked_loop_shows(simulate: Simulate) -> None:
    """One block of 3 s among a hundred samples is the newest value and the worst, yet not the median."""

    async def scene(clock: SimClock) -> None:
        meter = LagMeter()
        for _ in range(99):
            await meter.step()
        sampling = asyncio.create_task(meter.step())
        await asyncio.sleep(0.05)
        clock.loop._now += 3.0  # as a blocking call would: time passes and no timer fires
        await sampling
        assert meter.newest() == pytest.approx(2.95, abs=0.01)
        assert meter.quantile(0.99) == pytest.approx(2.95, abs=0.01)
        assert meter.quantile(0.5) == pytest.approx(0.0, abs=1e-9)

    simulate(scene)


def test_only_the_newest_ten_minutes_count(simulate: Simulate) -> None:
    """A block of long ago is forgotten."""

    async def scene(clock: SimClock) -> None:
        meter = LagMeter()
        sampling = asyncio.create_task(meter.step())
        await asyncio.sleep(0.05)
        clock.loop._now += 3.0
        await sampling
        for _ in range(5999):
            await meter.step()
        assert meter.quantile(1.0) > 2.0
        await meter.step()
        assert meter.quantile(1.0) < 0.001

    simulate(scene)
