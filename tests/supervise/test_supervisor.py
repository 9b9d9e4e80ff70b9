"""The supervisor, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from edged.supervise.supervisor import Status, Supervisor, Task, pause_before

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from edged.base.pulse import Pulse
    from tests.simloop import SimClock, Simulate


async def beat(pulse: Pulse) -> None:
    """Run well for ever."""
    while True:
        pulse.beat()
        await asyncio.sleep(1)


class Sick:
    """A task that fails `fails` times, each `after` seconds, and is well from then on; notes when it was started."""

    def __init__(self, clock: SimClock, fails: int, after: float = 0.0) -> None:
        self.clock = clock
        self.fails = fails
        self.after = after
        self.starts: list[float] = []

    async def run(self, pulse: Pulse) -> None:
        """Fail or beat."""
        self.starts.append(self.clock.mono() - 1000.0)
        pulse.beat()
        await asyncio.sleep(self.after)
        if len(self.starts) <= self.fails:
            raise OSError("no camera")
        await beat(pulse)


def row(start: Callable[[Pulse], Coroutine[object, object, None]], **rest: object) -> Task:
    """Return a row of the table."""
    return Task(name="capture", start=start, deadline=10.0, stage=0, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("restarts", "pause"), [(0, 0.0), (1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 60.0), (9, 60.0)]
)
def test_pauses_grow_and_then_stay(restarts: int, pause: float) -> None:
    """The first restart is at once, the sixth in a minute is one too many."""
    assert pause_before(restarts) == pause


def test_a_failed_task_is_started_again(simulate: Simulate) -> None:
    """Two failures: one restart at once, one a second later; then it runs, and the error is remembered."""

    async def scene(clock: SimClock) -> None:
        sick = Sick(clock, fails=2)
        supervisor = Supervisor([row(sick.run)], clock)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(30)
        (state,) = supervisor.states()
        assert sick.starts == pytest.approx([0, 0, 1])
        assert (state.status, state.restarts, state.error) == (Status.RUNNING, 2, "OSError: no camera")
        await supervisor.stop()
        await running

    simulate(scene)


def test_one_that_always_fails_is_degraded_and_tried_once_a_minute(simulate: Simulate) -> None:
    """Five restarts in a minute are followed by one a minute for as long as it takes, and it says so."""

    async def scene(clock: SimClock) -> None:
        sick = Sick(clock, fails=10**9)
        supervisor = Supervisor([row(sick.run)], clock)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(3600)
        assert supervisor.states()[0].status is Status.DEGRADED
        assert len([start for start in sick.starts if start < 60]) == 6
        gaps = [later - earlier for earlier, later in zip(sick.starts[5:], sick.starts[6:], strict=False)]
        assert gaps == pytest.approx([60.0] * len(gaps), abs=0.01)
        assert len(gaps) == 59
        await supervisor.stop()
        await running

    simulate(scene)


def test_a_degraded_task_recovers_after_a_good_minute(simulate: Simulate) -> None:
    """It is degraded until it has gone well for a minute, and is then given five quick restarts again."""

    async def scene(clock: SimClock) -> None:
        sick = Sick(clock, fails=6)
        supervisor = Supervisor([row(sick.run)], clock)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(15 + 60 + 50)
        before = supervisor.states()[0].status
        await asyncio.sleep(15)
        after = supervisor.states()[0].status
        assert (len(sick.starts), before, after) == (7, Status.DEGRADED, Status.RUNNING)
        await supervisor.stop()
        await running

    simulate(scene)


def test_a_silent_task_is_cancelled_and_started_anew(simulate: Simulate) -> None:
    """A task that neither fails nor beats is noticed a second after its deadline at the latest."""

    async def scene(clock: SimClock) -> None:
        starts: list[float] = []

        async def freeze_once(pulse: Pulse) -> None:
            starts.append(clock.mono() - 1000.0)
            if len(starts) == 1:
                await asyncio.Event().wait()
            await beat(pulse)

        supervisor = Supervisor([row(freeze_once)], clock)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(30)
        assert len(starts) == 2
        assert 10 < starts[1] <= 12
        assert "silent for" in supervisor.states()[0].error
        await supervisor.stop()
        await running

    simulate(scene)


def test_one_that_does_not_yield_is_left_behind(simulate: Simulate) -> None:
    """A task that swallows its cancellation does not keep a new one from starting."""

    async def scene(clock: SimClock) -> None:
        starts: list[float] = []
        release = asyncio.Event()

        async def stubborn(pulse: Pulse) -> None:
            starts.append(clock.mono())
            while len(starts) == 1 and not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue
            if not release.is_set():
                await beat(pulse)

        supervisor = Supervisor([row(stubborn)], clock)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(40)
        assert len(starts) == 2
        assert supervisor.states()[0].status is Status.RUNNING
        await supervisor.stop()
        release.set()
        await running

    simulate(scene)


def test_a_task_that_ends_by_itself_has_ended(simulate: Simulate) -> None:
    """A file that was played to its end is no failure: the task is not started again, and `run` returns."""

    async def scene(clock: SimClock) -> None:
        async def play(pulse: Pulse) -> None:
            pulse.beat()

        supervisor = Supervisor([row(play)], clock)
        await supervisor.run()
        assert supervisor.states()[0].status is Status.ENDED
        assert supervisor.states()[0].restarts == 0

    simulate(scene)


def test_a_table_row_that_can_not_even_start_is_a_failure(simulate: Simulate) -> None:
    """A start that raises before there is a coroutine counts as a failed start and is tried again."""

    async def scene(clock: SimClock) -> None:
        def broken(pulse: Pulse) -> Coroutine[object, object, None]:
            raise ValueError("no such device")

        supervisor = Supervisor([row(broken)], clock)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(5)
        state = supervisor.states()[0]
        assert (state.error, state.restarts) == ("ValueError: no such device", 4)
        await supervisor.stop()
        await running

    simulate(scene)


def test_stages_stop_one_after_the_other(simulate: Simulate) -> None:
    """Each stage's tasks have come to their end before the next stage is asked, whatever the table's order."""

    async def scene(clock: SimClock) -> None:
        order: list[str] = []

        def make(name: str, stage: int, seconds: float) -> Task:
            async def stop() -> None:
                order.append(f"{name} stops")
                await asyncio.sleep(seconds)
                order.append(f"{name} stopped")

            return Task(name=name, start=beat, deadline=10.0, stage=stage, stop=stop)

        supervisor = Supervisor([make("outbox", 2, 1), make("capture", 0, 3), make("record", 1, 5)], clock)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(1)
        await supervisor.stop()
        await running
        expected = [f"{name} {what}" for name in ("capture", "record", "outbox") for what in ("stops", "stopped")]
        assert order == expected
        assert {state.status for state in supervisor.states()} == {Status.ENDED}

    simulate(scene)


def test_a_stage_that_fails_or_hangs_while_stopping_does_not_hold_up_the_rest(simulate: Simulate) -> None:
    """One stop raises, one hangs past its patience: the outbox is still brought to its end, in bounded time."""

    async def scene(clock: SimClock) -> None:
        reached: list[float] = []

        async def fail() -> None:
            raise OSError("disk gone")

        async def hang() -> None:
            await asyncio.sleep(10**6)

        async def last() -> None:
            reached.append(clock.mono())

        tasks = [
            Task(name="capture", start=beat, deadline=10.0, stage=0, stop=fail),
            Task(name="record", start=beat, deadline=10.0, stage=1, stop=hang, patience=7.0),
            Task(name="outbox", start=beat, deadline=10.0, stage=2, stop=last),
        ]
        supervisor = Supervisor(tasks, clock)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(1)
        began = clock.mono()
        await supervisor.stop()
        await running
        assert reached == pytest.approx([began + 7.0], abs=0.5)

    simulate(scene)


def test_a_task_is_cancelled_before_it_is_brought_to_its_end(simulate: Simulate) -> None:
    """The step under way has ended when `stop` runs, so the two never work side by side."""

    async def scene(clock: SimClock) -> None:
        events: list[str] = []

        async def work(pulse: Pulse) -> None:
            try:
                await beat(pulse)
            finally:
                events.append("step ended")

        async def seal() -> None:
            events.append("sealed")

        supervisor = Supervisor([row(work, stop=seal)], clock)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(3)
        await supervisor.stop()
        await running
        assert events == ["step ended", "sealed"]

    simulate(scene)
