"""An event loop in virtual time: when nothing else can happen, its clock jumps to the next timer.

Days pass in seconds, and everything that waits by plain asyncio (sleep, timeout, call_later) agrees on the time.
The clock stands still while work is away from the loop, or the work would seem to take as long as the next timer is
off. Work is known to be away by itself when it is

- a call through `run_in_executor`, so `asyncio.to_thread` and `getaddrinfo` too, or
- a call in a connection's thread of aiosqlite (`edged.base.db`).

Sockets between two ends on this loop need no counting: the kernel hands loopback's bytes over within the send (no
jump came in between in 5,000 exchanges of 100 B to 8 MB, on an idle and on a crowded machine).
Anything else that answers in real time (a server in a thread or a process of its own, a subprocess) has to be
announced: `with loop.real_io():` around the request. Threads that post by `call_soon_threadsafe` unasked, such as a
camera's, run in real time beside the virtual one.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from concurrent.futures import Executor
    from contextvars import Context

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START = 1000.0  # the loop's time when it is made: any value but zero, which would hide mistakes
NOON = 1_780_056_000.0  # 2026-05-29 12:00:00 UTC, the wall time that scenes start at
_AFTER_BOOT = 12.0  # the monotonic time at which a rebooted device's daemon starts
_ROUNDS = 1000  # timers in turn at one instant, after which the time creeps on by ...
_CREEP = 1e-6  # ... so many seconds
_SLICE = 0.05  # real seconds in one wait for work that is away
_THREADS = 8


class StuckError(RuntimeError):
    """The scene can't go on: every task waits, and nothing is left that could wake one."""


class SimLoop(asyncio.SelectorEventLoop):
    """The loop; `time()` is virtual seconds, starting at `START`."""

    patience = 600  # slices (30 s) without any sign of work that is away until it counts as hung

    _clock_resolution: float  # asyncio's: timers due by then are run now
    _scheduled: list[asyncio.TimerHandle]  # asyncio's heap of timers, the head is never a cancelled one when we look

    def __init__(self) -> None:
        self._now = START
        self._rounds = 0  # in which a timer was due at this instant
        self._calls = 0  # executor calls that have not come back
        self._held = 0  # `real_io` blocks entered
        self._sql: set[asyncio.Future[Any]] = set()  # promised by aiosqlite's threads
        super().__init__(_JumpingSelector(self))
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="simloop")

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def in_flight(self) -> int:
        """Return how many pieces of work are away from the loop."""
        return self._calls + self._held + len(self._sql)

    @contextmanager
    def real_io(self) -> Iterator[None]:
        """Let time stand still while a peer outside this loop is asked and answers."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def jump(self) -> None:
        """Set the time to that of the next timer; raise StuckError when there is none."""
        if not self._scheduled:
            raise StuckError(f"nothing is scheduled and nothing is under way; waiting:{self._waiting()}")
        self._now = max(self._now, self._scheduled[0].when())
        self._rounds = 0

    def creep(self) -> None:
        """Let a moment pass if timer after timer is due at one instant.

        A wait shorter than the time can tell from nothing ends without any time having passed, so that whoever waits
        for an instant by its own subtraction may wait so for ever; a real clock always goes on.
        """
        if not self._scheduled or self._scheduled[0].when() > self._now + self._clock_resolution:
            return
        self._rounds += 1
        if self._rounds > _ROUNDS:
            self._now += _CREEP
            self._rounds = 0

    def restart_time(self, mono: float) -> None:
        """Go on from `mono` as a rebooted machine does; timers that stand keep their distance from now."""
        shift = mono - self._now
        for timer in self._scheduled:
            timer._when += shift  # type: ignore[attr-defined] # a common shift keeps the heap's order
        self._now = mono

    def give_up(self) -> None:
        """Raise StuckError for work that is away and does not come back."""
        raise StuckError(
            f"{self._calls} thread calls, {len(self._sql)} database calls and {self._held} real_io blocks gave no sign "
            f"for {self.patience * _SLICE:.1f} real seconds; waiting:{self._waiting()}"
        )

    def _waiting(self) -> str:
        lines = []
        for task in asyncio.all_tasks(self):
            place = "".join(f" at {frame.f_code.co_qualname}:{frame.f_lineno}" for frame in task.get_stack(limit=1))
            lines.append(f"\n  {task.get_name()}{place}")
        return "".join(sorted(lines)) or " no task"

    # ---------------------------------------------------------------- what leaves the loop is counted

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run `func` on a thread; time stands still until it has come back."""
        call: Future[T] = (executor or self._threads).submit(func, *args)
        result = asyncio.wrap_future(call, loop=self)  # its callback comes first: the result is in before we count down
        self._calls += 1
        call.add_done_callback(self._returned)
        return result

    def _returned(self, _: Future[Any]) -> None:
        if not self.is_closed():
            self.call_soon_threadsafe(self._count_down)

    def _count_down(self) -> None:
        self._calls -= 1

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future; aiosqlite makes one here for each call that it hands to its thread."""
        future = super().create_future()
        if sys._getframe(1).f_globals["__name__"] == "aiosqlite.core":
            self._sql.add(future)
        return future

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule from any thread; the answer of aiosqlite's thread ends what `create_future` began."""
        if args and isinstance(args[0], asyncio.Future) and args[0] in self._sql:
            return super().call_soon_threadsafe(self._answered, args[0], callback, *args, context=context)
        return super().call_soon_threadsafe(callback, *args, context=context)

    def _answered(self, future: asyncio.Future[Any], callback: Callable[[*Ts], object], *args: *Ts) -> None:
        self._sql.discard(future)
        callback(*args)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # asyncio's
        """Wait for the threads, in real time."""
        self._threads.shutdown()


class _JumpingSelector(selectors.EpollSelector):
    """Where asyncio would sleep until the next timer, waits for work that is away, else has the loop jump."""

    def __init__(self, loop: SimLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready at once, or after some real waiting, or nothing after a jump."""
        self._loop.creep()
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        for _ in range(self._loop.patience):
            if not self._loop.in_flight():
                break
            events = super().select(_SLICE)
            if events:
                return events
        else:
            self._loop.give_up()
        self._loop.jump()
        return []


class SimClock:
    """`edged.base.clock.Clock` on a simulated loop; the wall and the boot can be changed under the device's feet."""

    def __init__(self, loop: SimLoop, wall_start: float = NOON, *, synced: bool = True, boot: str = "boot-1") -> None:
        self.loop = loop
        self._ahead = wall_start - loop.time()  # the wall's lead over the monotonic clock
        self._synced = synced
        self._boot = boot
        self._boots = 1

    def wall(self) -> float:
        """Return Unix time in seconds."""
        return self._ahead + self.loop.time()

    def mono(self) -> float:
        """Return the loop's time."""
        return self.loop.time()

    def boot(self) -> str:
        """Return the present boot's id."""
        return self._boot

    def synced(self) -> bool:
        """Return whether the wall time is said to be synchronised."""
        return self._synced

    def jump_wall(self, seconds: float, *, synced: bool | None = None) -> None:
        """Step the wall time, as NTP or a person does; `synced` is the clock's quality from then on, if it changes."""
        self._ahead += seconds
        if synced is not None:
            self._synced = synced

    def reboot(self, *, off: float = 30.0, battery: bool = True, synced: bool = False) -> None:
        """Begin another boot after `off` seconds without power; stop everything of the device before.

        The monotonic clock starts anew. Without a `battery` the wall goes on from where it stood at power-off, as
        a Pi's does.
        """
        wall = self.wall() + (off if battery else 0.0)
        self.loop.restart_time(_AFTER_BOOT)
        self._ahead = wall - self.loop.time()
        self._boots += 1
        self._boot = f"boot-{self._boots}"
        self._synced = synced


class Simulate(Protocol):
    """The shape of `run_simulated`, for tests that ask for it as the fixture `simulate`."""

    def __call__(
        self,
        scene: Callable[[SimClock], Coroutine[Any, Any, T]],
        *,
        wall_start: float = NOON,
        synced: bool = True,
        boot: str = "boot-1",
    ) -> T:
        """Run `scene` on a simulated loop and return its result."""
        ...


def run_simulated(
    scene: Callable[[SimClock], Coroutine[Any, Any, T]],
    *,
    wall_start: float = NOON,
    synced: bool = True,
    boot: str = "boot-1",
) -> T:
    """Run `scene` to its end on a simulated loop of its own and return its result; `clock.loop` is the loop.

    Raises StuckError, with what each task waits for, when the scene can't go on.
    """
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimLoop)
        return runner.run(scene(SimClock(loop, wall_start, synced=synced, boot=boot)))
