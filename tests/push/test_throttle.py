"""The pacer in virtual time: no second over the rate, the mean met, the most urgent first, nobody forgotten."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.base.units import Rate
from edged.push.settings import Hours, PushSettings
from edged.push.throttle import Pacer, scheduled_rate
from tests.simloop import NOON, SimClock, run_simulated

if TYPE_CHECKING:
    from tests.simloop import Simulate

KBIT256 = 32_000.0  # bytes a second


def worst_window(sent: list[tuple[float, int]], seconds: float = 1.0) -> int:
    """Return the most bytes in any window of `seconds`."""
    worst = total = first = 0
    for time, size in sent:
        total += size
        while sent[first][0] <= time - seconds:
            total -= sent[first][1]
            first += 1
        worst = max(worst, total)
    return worst


async def _send(pacer: Pacer, urgency: int, total: int, sent: list[tuple[float, int]]) -> None:
    while total > 0:
        size = min(pacer.piece(), total)
        await pacer.take(urgency, size)
        sent.append((asyncio.get_running_loop().time(), size))
        total -= size


@pytest.mark.parametrize("rate", [8_000.0, KBIT256, 250_000.0, 2_000_000.0, 50_000_000.0])
def test_no_second_carries_more_than_the_rate_and_a_little(simulate: Simulate, rate: float) -> None:
    """The worst one-second window is at most 1.15 times the rate and the mean within 2 %, from 64 kbit/s upwards."""

    async def scene(clock: SimClock) -> None:
        pacer, sent = Pacer(lambda: rate), list[tuple[float, int]]()
        begun = clock.mono()
        await asyncio.gather(*(_send(pacer, 5, int(rate * 10), sent) for _ in range(2)))
        limit = 1.35 if rate < 16_000.0 else 1.15  # two segments in a second weigh more on the thinnest lines
        assert worst_window(sent) <= limit * rate
        assert 20.0 * 0.98 <= clock.mono() - begun <= 20.0 * 1.02

    simulate(scene)


def test_late_wake_ups_are_made_up_for(simulate: Simulate) -> None:
    """A loop that is late by up to 30 ms at every piece still sends at the mean rate."""

    async def scene(clock: SimClock) -> None:
        pacer, total = Pacer(lambda: 500_000.0), 5_000_000
        begun, late = clock.mono(), 0
        while total > 0:
            size = pacer.piece()
            await pacer.take(5, size)
            late = (late * 7 + 3) % 31
            await asyncio.sleep(late / 1000)
            total -= size
        assert clock.mono() - begun == pytest.approx(10.0, rel=0.02)

    simulate(scene)


def test_a_pause_saves_nothing_up(simulate: Simulate) -> None:
    """After an hour of silence the first second is no fuller than any other."""

    async def scene(clock: SimClock) -> None:
        pacer, sent = Pacer(lambda: KBIT256), list[tuple[float, int]]()
        await _send(pacer, 5, 50_000, sent)
        await asyncio.sleep(3600)
        sent.clear()
        await _send(pacer, 5, 200_000, sent)
        assert worst_window(sent) <= 1.15 * KBIT256

    simulate(scene)


def test_the_most_urgent_piece_goes_first(simulate: Simulate) -> None:
    """While four clips fill the line, a snapshot's pieces pass them all and lose no time but a piece's."""

    async def scene(clock: SimClock) -> None:
        pacer = Pacer(lambda: KBIT256)
        clips = [asyncio.create_task(_send(pacer, 5, 10_000_000, [])) for _ in range(4)]
        await asyncio.sleep(10)
        begun = clock.mono()
        await _send(pacer, 2, 64_000, [])
        assert clock.mono() - begun == pytest.approx(2.0, abs=0.1)
        for clip in clips:
            clip.cancel()
        await asyncio.gather(*clips, return_exceptions=True)

    simulate(scene)


def test_equals_share(simulate: Simulate) -> None:
    """Two clips at the same time each get half."""

    async def scene(clock: SimClock) -> None:
        pacer, one, two = Pacer(lambda: KBIT256), list[tuple[float, int]](), list[tuple[float, int]]()
        tasks = [asyncio.create_task(_send(pacer, 5, 10_000_000, sent)) for sent in (one, two)]
        await asyncio.sleep(20)
        assert sum(size for _, size in one) == pytest.approx(sum(size for _, size in two), rel=0.02)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    simulate(scene)


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=12))
@settings(max_examples=60)
def test_who_is_cancelled_blocks_nobody(takers: list[tuple[int, bool]]) -> None:
    """Whoever gives up while waiting, all others get their turn, in the order of urgency."""

    async def scene(clock: SimClock) -> None:
        pacer, served = Pacer(lambda: 1000.0), list[int]()
        await pacer.take(1, 1000)

        async def one(urgency: int) -> None:
            await pacer.take(urgency, 100)
            served.append(urgency)

        tasks = [asyncio.create_task(one(urgency)) for urgency, _ in takers]
        await asyncio.sleep(0.5)
        for task, (_urgency, leaves) in zip(tasks, takers, strict=True):
            if leaves:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert served == sorted(urgency for urgency, leaves in takers if not leaves)

    run_simulated(scene)


def _timetable() -> PushSettings:
    slow, none = Hours(when="mo-fr 08:00-18:00", rate=Rate(32_000)), Hours(when="23:00-24:00", rate=Rate(0))
    return PushSettings(rate=Rate(100_000), timetable=(slow, none))


@pytest.mark.parametrize(
    ("after", "rate"),
    [
        (0.0, 32_000.0),  # Friday, 14:00 in Berlin
        (3.99 * 3600, 32_000.0),
        (4 * 3600, 100_000.0),
        (9 * 3600, 0.0),
        (10 * 3600, 100_000.0),
        (24 * 3600, 100_000.0),  # Saturday
        (3 * 86400, 32_000.0),
    ],
)
def test_the_time_table_decides_in_the_sites_time(simulate: Simulate, after: float, rate: float) -> None:
    """The first entry that holds the local time gives the rate; outside all of them the general one does."""

    async def scene(clock: SimClock) -> None:
        assert scheduled_rate(_timetable(), ZoneInfo("Europe/Berlin"), clock)() == rate

    simulate(scene, wall_start=NOON + after)


def test_nothing_goes_while_the_time_table_says_so_and_all_goes_on_after(simulate: Simulate) -> None:
    """A rate of zero holds every piece until the hour is over."""

    async def scene(clock: SimClock) -> None:
        pacer = Pacer(scheduled_rate(_timetable(), ZoneInfo("Europe/Berlin"), clock))
        assert pacer.stopped
        await pacer.take(1, 1000)
        assert 3600.0 <= clock.wall() - (NOON + 9 * 3600) <= 3620.0

    simulate(scene, wall_start=NOON + 9 * 3600)


def test_without_a_rate_nothing_waits(simulate: Simulate) -> None:
    """No limit: large pieces, and no turn of the loop is lost on them."""

    async def scene(clock: SimClock) -> None:
        pacer = Pacer(lambda: None)
        begun = clock.mono()
        for _ in range(1000):
            await pacer.take(5, pacer.piece())
        assert clock.mono() == begun

    simulate(scene)


def test_lifting_the_rate_frees_who_waits(simulate: Simulate) -> None:
    """When the limit goes away, those who wait are served at their next turn."""

    async def scene(clock: SimClock) -> None:
        rates: list[float | None] = [1000.0]
        pacer = Pacer(lambda: rates[-1])
        await pacer.take(5, 10_000)
        waiting = [asyncio.create_task(pacer.take(5, 10_000)) for _ in range(3)]
        await asyncio.sleep(1)
        rates.append(None)
        await asyncio.gather(*waiting)
        assert clock.mono() < 1000.0 + 11.0

    simulate(scene)


@pytest.mark.parametrize("rate", [None, KBIT256])
def test_all_is_held_back_while_an_alert_goes(simulate: Simulate, rate: float | None) -> None:
    """No piece goes beside an alert, and the next one at once when it is out."""

    async def scene(clock: SimClock) -> None:
        pacer, sent = Pacer(lambda: rate), list[tuple[float, int]]()
        with pacer.hush():
            job = asyncio.create_task(_send(pacer, 5, 1400, sent))
            await asyncio.sleep(3.0)
            with pacer.hush():
                await asyncio.sleep(1.0)
            assert not sent
        began = clock.mono()
        await job
        assert sent[0][0] == began

    simulate(scene)


def test_an_alert_that_hangs_holds_nothing_back_for_long(simulate: Simulate) -> None:
    """After ten seconds pieces go all the same, and another alert that hangs gets no more than half of the time."""

    async def scene(clock: SimClock) -> None:
        pacer, sent = Pacer(lambda: None), list[tuple[float, int]]()
        began = clock.mono()
        for _ in range(6):
            with pacer.hush():
                job = asyncio.create_task(_send(pacer, 5, 1400, sent))
                await asyncio.sleep(10.0)
                await job
        waits = [time - began - 10.0 * number for number, (time, _) in enumerate(sent)]
        assert waits == [pytest.approx(10.0), *([pytest.approx(0.0), pytest.approx(10.0)] * 2), pytest.approx(0.0)]

    simulate(scene)


@pytest.mark.parametrize("before", [8_000.0, 0.0, None])
def test_another_rate_holds_from_the_next_piece_on(simulate: Simulate, before: float | None) -> None:
    """What waits under a slow rate, or a stop, goes by the new one within the second, and no second exceeds it."""

    async def scene(clock: SimClock) -> None:
        pacer, sent = Pacer(lambda: before), list[tuple[float, int]]()
        job = asyncio.create_task(_send(pacer, 5, 100_000_000, sent)) if before is not None else None
        await asyncio.sleep(30.0)
        changed = clock.mono()
        pacer.adopt(lambda: 100_000.0)
        job = job or asyncio.create_task(_send(pacer, 5, 100_000_000, sent))
        await asyncio.sleep(10.0)
        after = [(time, size) for time, size in sent if time >= changed]
        assert after[0][0] <= changed + 0.1
        assert sum(size for _, size in after) == pytest.approx(1_000_000, rel=0.02)
        assert worst_window(after) <= 115_000
        job.cancel()
        await asyncio.wait([job])

    simulate(scene)
