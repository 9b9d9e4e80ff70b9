"""A program under test, kept alive as systemd would: started, fed on, killed when it falls silent, started anew.

Its log is its standard error, written straight into a file: what it said before a kill is there, however it died.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from scripts.soaks.oracle import promises

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

PATIENCE = 300.0  # seconds for what must come, on a machine that is busy with other things
_LOOK = 0.05
_PAUSE = 0.1  # between an end and the next start
_ABORTED = 2.0  # after SIGABRT, then SIGKILL
_ENDING = {signal.SIGKILL, signal.SIGTERM, signal.SIGABRT, signal.SIGINT}
# with whoever keeps it a program ends, too: one that is left behind would go on writing where the next run works
_TIED = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
_IN_VAIN = 10  # starts without ever being ready, then it will not be


class SoakError(Exception):
    """The soak itself can't go on; the text says why."""


class Program:
    """`command` as a process that is restarted whenever it ends, until `stop`.

    `ready` is what its log says once it works, unless it is `notified`: then READY=1 on a notify socket counts, and
    with `watchdog` seconds without WATCHDOG=1 it is aborted. Another command before its own (ip netns exec, strace -D)
    must keep the process id. What it did so far: `starts`, `exits` (codes), `recoveries` (seconds).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        folder: Path,
        *,
        ready: str,
        watchdog: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment or {})
        self.log = folder / f"{name}.log"
        self.watchdog = watchdog
        self.starts = 0
        self.aborts = 0
        self.exits: Counter[int] = Counter()
        self.recoveries: list[float] = []
        self.absences: list[tuple[float, float]] = []  # Unix seconds: from an end to when it was ready again
        self._ready = ready
        self._notify = folder / f"{name}.notify"
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._wanted = False
        self._up = asyncio.Event()
        self._was_up = False
        self._vain = 0
        self._fed = 0.0
        self._down_since: float | None = None
        self._ended: float | None = None
        self._lines = Lines(self.log)

    @property
    def pid(self) -> int:
        """Its process id; SoakError while there is none."""
        if self._process is None or self._process.returncode is not None:
            raise SoakError(f"{self.name} does not run now")
        return self._process.pid

    @property
    def running(self) -> bool:
        """There is a process, ready or not."""
        return self._process is not None and self._process.returncode is None

    @property
    def is_up(self) -> bool:
        """It has said that it is ready, and has not ended since."""
        return self._up.is_set()

    async def start(self) -> Self:
        """Keep it alive from now on, and wait until it is ready."""
        self._wanted = True
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep())
        await self.ready()
        return self

    async def ready(self) -> None:
        """Wait until it is ready; SoakError when it is not in time."""
        waiting = asyncio.ensure_future(self._up.wait())
        watched = {waiting} if self._keeper is None else {waiting, self._keeper}
        await asyncio.wait(watched, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if self._keeper is not None and self._keeper.done() and not waiting.done():
            waiting.cancel()
            await self._keeper  # raises what ended it
        if not waiting.done():
            waiting.cancel()
            raise SoakError(f"{self.name} was not ready within {PATIENCE:g} s; its log: {self.log}")

    def send(self, number: int) -> bool:
        """Send a signal; False when there is no process."""
        if self._process is None or self._process.returncode is not None:
            return False
        if number in _ENDING:
            self._up.clear()  # so that `ready` waits for the next one
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)  # Popen's own way would reap the child before asyncio does
        return True

    def kill(self) -> bool:
        """Send SIGKILL; it is started anew by itself."""
        return self.send(signal.SIGKILL)

    async def killed(self) -> float:
        """Kill it and wait until it is ready again; return the seconds that took."""
        before = len(self.recoveries)
        await self.ready()
        self.kill()
        await self.until(lambda: len(self.recoveries) > before)
        return self.recoveries[-1]

    async def stop(self, *signals: int) -> int | None:
        """Stop it for good by SIGTERM, or by `signals` one after the other; return its exit code, None without one.

        A process that does not end in time is a breach of its promise to stop: it is killed, and SoakError raised.
        """
        self._wanted = False
        self._up.clear()
        for number in signals or (signal.SIGTERM,):
            self.send(number)
        process, keeper = self._process, self._keeper
        if keeper is None:
            return None
        await asyncio.wait((keeper,), timeout=PATIENCE)
        if not keeper.done():
            self.kill()
            await keeper
            raise SoakError(f"{self.name} did not stop within {PATIENCE:g} s of being told to; its log: {self.log}")
        await keeper
        self._keeper = self._down_since = None  # what follows is no recovery
        return None if process is None else process.returncode

    async def end(self) -> None:
        """Kill it for good."""
        self._wanted = False
        self.kill()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
            self._keeper = None

    async def events(self) -> list[dict[str, Any]]:
        """Return every event of its log so far, from all its lives."""
        return await asyncio.to_thread(self._lines.read)

    async def said(self, event: str) -> list[dict[str, Any]]:
        """Return what its log has of `event`."""
        return [each for each in await self.events() if each.get("event") == event]

    async def says(self, event: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait until its log has `event` with these fields `count` times; return the last of them."""

        async def found() -> list[dict[str, Any]]:
            return [each for each in await self.said(event) if fields.items() <= each.items()]

        async with asyncio.timeout(PATIENCE):
            while len(each := await found()) < count:  # noqa: ASYNC110 -- another process writes the log
                await asyncio.sleep(_LOOK)
        return each[-1]

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is true; TimeoutError when it never is. What ended the keeper is raised."""
        async with asyncio.timeout(PATIENCE):
            while not true():
                if self._keeper is not None and self._keeper.done():
                    await self._keeper
                await asyncio.sleep(_LOOK)

    # ------------------------------------------------------------------------------------------------ its keeper

    async def _keep(self) -> None:
        while self._wanted:
            async with self._listening() as listening:
                code = await self._live(listening)
            self.exits[code] += 1
            self._vain = self._vain + 1 if code > 0 and not self._was_up else 0
            if self._vain >= _IN_VAIN:
                raise SoakError(f"{self.name} does not start, it ended {_IN_VAIN} times by itself; its log: {self.log}")
            if self._wanted:
                await asyncio.sleep(_PAUSE)

    async def _live(self, listening: socket.socket | None) -> int:
        """Run one process to its end; return its exit code."""
        self.starts += 1
        self._was_up = False
        environment = {**os.environ, **self.environment}
        if listening is not None:
            environment |= {"NOTIFY_SOCKET": str(self._notify), "WATCHDOG_USEC": f"{(self.watchdog or 0) * 1e6:.0f}"}
        before = self._lines.size()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_TIED,
                *map(str, self.command),
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,  # ours may be a deleted file, as pytest's is
                env=environment,
                start_new_session=True,
            )
        self._fed = time.monotonic()
        watch = asyncio.create_task(self._hear(listening) if listening is not None else self._read(before))
        try:
            return await self._process.wait()
        finally:
            self._up.clear()
            self._down_since = time.monotonic()
            self._ended = time.time()
            watch.cancel()
            if self._process.returncode is None:
                self.kill()
                await self._process.wait()

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[socket.socket | None]:
        if self.watchdog is None:
            yield None
            return
        self._notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(self._notify))
            notify.setblocking(False)
            yield notify
        self._notify.unlink(missing_ok=True)

    async def _hear(self, notify: socket.socket) -> None:
        """Be systemd: hear READY=1 and WATCHDOG=1, abort what is not heard of any more."""
        loop = asyncio.get_running_loop()
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                for told in (await loop.sock_recv(notify, 4096)).decode().splitlines():
                    if told == "READY=1":
                        self._is_ready()
                    if told in {"READY=1", "WATCHDOG=1"}:
                        self._fed = time.monotonic()
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        await self._up.wait()  # systemd, too, watches from READY=1 on
        while True:
            await asyncio.sleep(_LOOK)
            if self.watchdog and time.monotonic() - self._fed > self.watchdog:
                self.aborts += 1
                self.send(signal.SIGABRT)
                await asyncio.sleep(_ABORTED)
                self.kill()  # a stopped process does not take a signal but this
                return

    async def _read(self, since: int) -> None:
        """Wait until the log says that it is ready."""
        while not await asyncio.to_thread(self._lines.has, self._ready, since):  # noqa: ASYNC110 -- likewise
            await asyncio.sleep(_LOOK)
        self._is_ready()

    def _is_ready(self) -> None:
        if self._down_since is not None and not self._up.is_set():
            self.recoveries.append(time.monotonic() - self._down_since)
            self._down_since = None
        if self._ended is not None and not self._was_up:
            self.absences.append((self._ended, time.time()))
        self._up.set()
        self._was_up = True


class Lines:
    """A growing log file of JSON lines, read on from where it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._half = b""
        self._events: list[dict[str, Any]] = []
        self._reading = threading.Lock()

    def size(self) -> int:
        """Return its length in bytes."""
        return self._path.stat().st_size if self._path.exists() else 0

    def read(self) -> list[dict[str, Any]]:
        """Return all its events so far."""
        if not self._path.exists():
            return []
        with self._reading:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = self._half + file.read()
                self._offset = file.tell()
            *lines, self._half = data.split(b"\n")
            self._events += [event for line in lines if (event := promises.parse(line))]
            return list(self._events)

    def has(self, event: str, since: int) -> bool:
        """Return whether `event` was written after byte `since`."""
        if not self._path.exists():
            return False
        with self._path.open("rb") as file:
            file.seek(since)
            return any(promises.parse(line).get("event") == event for line in file)


def no_cores() -> None:
    """Let what is aborted leave no core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
