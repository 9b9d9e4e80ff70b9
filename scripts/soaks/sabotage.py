"""edged with a saboteur inside, for soaks and tests: told by SIGUSR1 what to do; the product knows nothing of it.

    SABOTAGE=ORDER python -P scripts/soaks/sabotage.py run --config FILE

The file ORDER holds a line "HOW TASK". HOW is
    wedge   the event loop's thread sleeps for ever (TASK is ignored)
    leak    memory grows for ever (TASK is ignored)
    die     the task raises
    silent  the task does nothing any more
    deaf    likewise, and it does not end when it is cancelled
    thread  the task waits for a thread that never returns
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from edged.app import daemon
from edged.app.tasks import tasks
from edged.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from edged.app.world import World
    from edged.base.pulse import Pulse
    from edged.supervise.supervisor import Task

log = structlog.get_logger(__name__)

_DEADLINE = 2.0  # seconds of silence; the table's are up to 15 minutes
_EVER = 86_400.0
_MOUTHFUL, _PAUSE = 1_000_000, 0.02  # words and seconds: some 200 MB in a second


class SabotageError(Exception):
    """A task was told to die."""


class _Saboteur:
    """Waits for orders beside each task."""

    def __init__(self, order: Path) -> None:
        self._order = order
        self._ordered: dict[str, asyncio.Queue[str]] = {}

    def take(self, _number: int, _frame: FrameType | None) -> None:
        """Read the order, in the loop's thread, as the signal's handler."""
        how, _, task = self._order.read_text().strip().partition(" ")
        log.warning("sabotaged", how=how, task=task)
        if how == "wedge":
            time.sleep(_EVER)
        if how == "leak":
            threading.Thread(target=_leak, daemon=True).start()
            return
        asyncio.get_running_loop().call_soon_threadsafe(self._orders_of(task).put_nowait, how)

    def tasks(self, world: World) -> tuple[Task, ...]:
        """Return the product's table, each task with the saboteur beside it."""
        return tuple(replace(task, start=self._beside(task)) for task in tasks(world))

    def _orders_of(self, task: str) -> asyncio.Queue[str]:
        return self._ordered.setdefault(task, asyncio.Queue())

    def _beside(self, task: Task) -> Callable[[Pulse], Coroutine[object, object, None]]:
        async def start(pulse: Pulse) -> None:
            work = asyncio.ensure_future(task.start(pulse))
            order = asyncio.ensure_future(self._orders_of(task.name).get())
            try:
                await asyncio.wait((work, order), return_when=asyncio.FIRST_COMPLETED)
            finally:
                told = order.result() if order.done() else ""
                order.cancel()
                if told or not work.done():
                    work.cancel()
                    await asyncio.wait((work,))
            await (_obey(told, pulse) if told else work)

        return start


def _leak() -> None:
    held = []
    while True:
        held.append(b"leak" * _MOUTHFUL)
        time.sleep(_PAUSE)


async def _obey(how: str, pulse: Pulse) -> None:
    pulse.deadline = _DEADLINE
    match how:
        case "die":
            raise SabotageError("told to die")
        case "thread":
            await asyncio.to_thread(time.sleep, _EVER)
        case "deaf":
            while True:
                try:
                    await asyncio.sleep(_EVER)
                except asyncio.CancelledError:
                    log.warning("cancellation swallowed")
        case _:
            await asyncio.sleep(_EVER)


if __name__ == "__main__":
    saboteur = _Saboteur(Path(os.environ["SABOTAGE"]))
    signal.signal(signal.SIGUSR1, saboteur.take)
    vars(daemon)["tasks"] = saboteur.tasks  # where the daemon looks for its table
    main()
