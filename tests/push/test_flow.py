"""The sending window: it fills the line, gives way to a queue, begins anew with each connection, and has its bounds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from edged.push.flow import Floor, Flow
from edged.push.traffic import Account, Traffic

if TYPE_CHECKING:
    from tests.simloop import SimClock, Simulate

_BASE = 0.05  # seconds there and back without a queue


class Road(Traffic):
    """A line of `rate` bytes/s with a queue before it; what is sent arrives in the loop's own time."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.made = 1
        self.rate = rate
        self._sent = 0.0
        self._free = 0.0
        self._under_way: list[tuple[float, int]] = []
        self._acked = 0
        self.most = 0  # bytes under way

    def send(self, size: int) -> None:
        """Put bytes on their way."""
        now = asyncio.get_running_loop().time()
        self._free = max(now, self._free) + size / self.rate
        self._under_way.append((self._free + _BASE, size))
        self.most = max(self.most, self.unacknowledged())

    @property
    def queue(self) -> float:
        """Seconds that the next byte would wait."""
        return max(0.0, self._free - asyncio.get_running_loop().time())

    def _arrive(self) -> None:
        now = asyncio.get_running_loop().time()
        self._acked += sum(size for at, size in self._under_way if at <= now)
        self._under_way = [(at, size) for at, size in self._under_way if at > now]

    def total(self) -> Account:
        """Return what arrived."""
        self._arrive()
        return Account(acked=self._acked)

    def unacknowledged(self) -> int:
        """Return what is under way."""
        self._arrive()
        return sum(size for _, size in self._under_way)

    def round_trip(self) -> tuple[float, float]:
        """Return a round trip as the last bytes had it."""
        return _BASE + self.queue, _BASE


async def _fill(road: Road, flow: Flow, seconds: float) -> list[float]:
    """Send as fast as the window allows; return the queue each piece met."""
    loop, queues = asyncio.get_running_loop(), []
    end = loop.time() + seconds
    while loop.time() < end:
        await flow.room()
        queues.append(road.queue)
        road.send(flow.piece())
    return queues


@pytest.mark.parametrize("rate", [8_000.0, 32_000.0, 250_000.0, 2_000_000.0])
def test_the_line_is_full_and_its_queue_is_short(simulate: Simulate, rate: float) -> None:
    """From 64 kbit/s to 16 Mbit/s at least 85 % of the line are used, and nothing else waits for long."""

    async def scene(_: SimClock) -> None:
        road = Road(rate)
        flow = Flow(road, Floor())
        await _fill(road, flow, 20.0)
        before = road.total().acked
        queues = await _fill(road, flow, 60.0)
        assert road.total().acked - before > 0.85 * 60.0 * rate
        assert max(queues) < max(0.2, 6000 / rate)  # on the thinnest lines a few segments

    simulate(scene)


def test_the_window_follows_a_line_that_changes(simulate: Simulate) -> None:
    """When the line becomes ten times thinner the queue that was there goes away within seconds."""

    async def scene(_: SimClock) -> None:
        road = Road(500_000.0)
        flow = Flow(road, Floor())
        await _fill(road, flow, 20.0)
        road.rate = 50_000.0
        await _fill(road, flow, 15.0)
        assert max(await _fill(road, flow, 20.0)) < 0.25

    simulate(scene)


def test_no_more_is_under_way_than_a_cut_may_cost(simulate: Simulate) -> None:
    """However fast the line is, less than 256 KiB are unacknowledged at any time."""

    async def scene(_: SimClock) -> None:
        road = Road(1e9)
        flow = Flow(road, Floor())
        await _fill(road, flow, 10.0)
        assert 150_000 < road.most < 256 * 1024
        await asyncio.sleep(1.0)
        road.made += 1
        await flow.room()
        assert flow.window == 16 * 1024  # another connection, perhaps another way

    simulate(scene)


def test_the_shortest_round_trip_is_forgotten_when_the_way_changes() -> None:
    """A way that has become longer counts as that after two stretches of five minutes; a shorter one at once."""
    floor = Floor()
    assert floor.note(0.05, 1000.0) == pytest.approx(0.05)
    assert floor.note(0.60, 1301.0) == pytest.approx(0.05)
    assert floor.note(0.60, 1602.0) == pytest.approx(0.60)
    assert floor.note(0.02, 1603.0) == pytest.approx(0.02)
