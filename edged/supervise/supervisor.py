"""The supervisor: runs the table of tasks, restarts what fails or falls silent, stops in the data's order.

A task that fails is started again at once, then after growing pauses; after five restarts within a minute it is
degraded, which is said once, and tried again once a minute until it has gone well for a minute. A task whose pulse
stays silent past its deadline is cancelled and started anew; one that does not even yield to the cancellation is left
behind and named.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from edged.base.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from edged.base.clock import Clock

log = structlog.get_logger(__name__)

_CHECK = 1.0  # seconds between looks at the pulses
_BURST = 5  # restarts ...
_WINDOW = 60.0  # ... within these seconds are the most before a task counts as degraded
_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)  # seconds before restart 1, 2, ...
_SLOW = 60.0  # seconds between tries of a degraded task
_GRACE = 5.0  # seconds a cancelled task may take to end


class Status(StrEnum):
    """Where a task stands."""

    RUNNING = "running"
    RESTARTING = "restarting"
    DEGRADED = "degraded"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One row of the table: `start` makes the coroutine, `deadline` is its longest healthy silence in seconds.

    `stage` orders the stop (lowest first); the task is cancelled, then `stop`, where given, has `patience` seconds
    to bring what it left open to its end. A critical task that is silent or degraded keeps systemd's watchdog unfed.
    """

    name: str
    start: Callable[[Pulse], Coroutine[object, object, None]]
    deadline: float
    stage: int
    critical: bool = False
    stop: Callable[[], Awaitable[None]] | None = None
    patience: float = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskState:
    """What the board shows of a task; `age` in seconds since its pulse last beat."""

    name: str
    status: Status
    critical: bool
    restarts: int
    age: float
    deadline: float
    error: str


def pause_before(restarts_in_window: int) -> float:
    """Return seconds to wait before the next start, given how many restarts the last minute has seen."""
    if restarts_in_window >= _BURST:
        return _SLOW
    return _PAUSES[min(restarts_in_window, len(_PAUSES) - 1)]


class _Worker:
    """Keeps one task going until it is told to stop."""

    def __init__(self, task: Task, clock: Clock) -> None:
        self.task = task
        self.status = Status.RESTARTING
        self.restarts = 0
        self.error = ""
        self._clock = clock
        self.pulse = Pulse(task.name, task.deadline, clock)
        self._recent: deque[float] = deque()
        self._began = 0.0
        self.stopped = False
        self._job: asyncio.Task[None] | None = None

    def state(self) -> TaskState:
        return TaskState(
            name=self.task.name,
            status=self.status,
            critical=self.task.critical,
            restarts=self.restarts,
            age=self.pulse.age(),
            deadline=self.task.deadline,
            error=self.error,
        )

    async def run(self) -> None:
        while not self.stopped:
            self.pulse = Pulse(self.task.name, self.task.deadline, self._clock)
            self._began = self._clock.mono()
            self._job = asyncio.create_task(self._start(self.pulse), name=self.task.name)
            if self.status is not Status.DEGRADED:
                self.status = Status.RUNNING
            ended_well = await self._watch(self._job)
            if ended_well or self.stopped:
                self.status = Status.ENDED
                return
            await self._pause()

    async def _start(self, pulse: Pulse) -> None:
        await self.task.start(pulse)  # called in the job, so that a failure to make the coroutine is the job's

    async def _watch(self, job: asyncio.Task[None]) -> bool:
        """Wait for the job's end or its silence; True when it ended by itself without an error."""
        while not job.done():
            await asyncio.wait({job}, timeout=_CHECK)
            if self.status is Status.DEGRADED and self.pulse.beats and self._clock.mono() - self._began >= _WINDOW:
                self.status = Status.RUNNING
                log.info("task recovered", task=self.task.name)
            if not job.done() and self.pulse.silent() and not self.stopped:
                await self._give_up_on(job)
                return False
        if job.cancelled():
            self.error = "it was cancelled from within"
            return self.stopped
        failure = job.exception()
        if failure is None:
            return True
        self.error = f"{type(failure).__name__}: {failure}"
        log.error("task failed", task=self.task.name, exc_info=failure)
        return False

    async def _give_up_on(self, job: asyncio.Task[None]) -> None:
        self.error = f"silent for {self.pulse.age():.0f} s, more than its {self.task.deadline:.0f} s"
        log.error("task silent", task=self.task.name, age=round(self.pulse.age(), 1), deadline=self.task.deadline)
        job.cancel()
        await asyncio.wait({job}, timeout=_GRACE)
        if not job.done():
            log.error("task left behind", task=self.task.name, why="it did not end when cancelled")

    async def _pause(self) -> None:
        now = self._clock.mono()
        while self._recent and now - self._recent[0] > _WINDOW:
            self._recent.popleft()
        pause = _SLOW if self.status is Status.DEGRADED else pause_before(len(self._recent))
        self._recent.append(now)
        self.restarts += 1
        if pause < _SLOW:
            self.status = Status.RESTARTING
        elif self.status is not Status.DEGRADED:
            self.status = Status.DEGRADED
            log.error("task degraded", task=self.task.name, error=self.error, next_try_s=pause)
        await asyncio.sleep(pause)

    async def stop(self) -> None:
        self.stopped = True
        job = self._job
        if job is not None and not job.done():
            job.cancel()
            await asyncio.wait({job}, timeout=_GRACE)
            if not job.done():
                log.error("task did not stop", task=self.task.name)
        if self.task.stop is not None:
            await self._bring_to_end(self.task.stop)

    async def _bring_to_end(self, stop: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(self.task.patience):
                await stop()
        except TimeoutError:
            log.error("task too slow to stop", task=self.task.name, patience_s=self.task.patience)
        except Exception as error:  # the border: whatever a stage does wrong, the later stages must still stop
            log.error("task failed while stopping", task=self.task.name, exc_info=error)


class Supervisor:
    """Runs every task of the table side by side until `stop`."""

    def __init__(self, tasks: Sequence[Task], clock: Clock) -> None:
        self._clock = clock
        self._workers: list[_Worker] = []
        self._runners: dict[str, asyncio.Task[None]] = {}
        self.take(tasks)

    def take(self, tasks: Sequence[Task]) -> None:
        """Take more tasks into the table; before `run`."""
        self._workers += [_Worker(task, self._clock) for task in tasks]

    async def run(self) -> None:
        """Start all tasks and wait until every one of them has ended or been stopped."""
        self._runners = {
            worker.task.name: asyncio.create_task(worker.run(), name=f"supervise {worker.task.name}")
            for worker in self._workers
        }
        await asyncio.gather(*self._runners.values(), return_exceptions=True)

    async def stop(self) -> None:
        """Stop the stages one after the other, the tasks of one stage together."""
        for stage in sorted({worker.task.stage for worker in self._workers}):
            await self.stop_stage(stage)

    async def stop_stage(self, stage: int) -> None:
        """Stop the tasks of one stage, together; those stopped before are left alone."""
        due = [worker for worker in self._workers if worker.task.stage == stage and not worker.stopped]
        await asyncio.gather(*(self._end(worker) for worker in due))

    async def _end(self, worker: _Worker) -> None:
        await worker.stop()
        runner = self._runners.get(worker.task.name)
        if runner is not None:
            runner.cancel()
            await asyncio.wait({runner})
        worker.status = Status.ENDED

    def states(self) -> tuple[TaskState, ...]:
        """Return every task's state, in the table's order."""
        return tuple(worker.state() for worker in self._workers)
