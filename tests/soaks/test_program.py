"""The keeper of a program under test does what systemd would: feeds on its signs of life, aborts, starts anew."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.soaks.program import Program, SoakError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.timeout(300)  # real processes, on a machine that may be crowded

# says that it is ready, then feeds the watchdog so many times, and hangs
HANGING = """
import os, socket, sys, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
notify.send(b"READY=1")
print('{"event": "begun"}', file=sys.stderr, flush=True)
for _ in range(int(sys.argv[1])):
    notify.send(b"WATCHDOG=1")
    time.sleep(0.25)
print('{"event": "hangs"}', file=sys.stderr, flush=True)
time.sleep(60)
"""
TALKING = """
import sys, time
print('no JSON\\n{"event": "up"}', file=sys.stderr, flush=True)
time.sleep(60)
"""


@asynccontextmanager
async def program(folder: Path, code: str, *words: str, watchdog: float | None = None) -> AsyncIterator[Program]:
    """Keep a small program alive."""
    kept = Program("small", (sys.executable, "-c", code, *words), folder, ready="up", watchdog=watchdog)
    try:
        yield kept
    finally:
        await kept.end()


async def test_what_falls_silent_is_aborted_and_started_anew(tmp_path: Path) -> None:
    """Fed for longer than the watchdog's time it stays; without, SIGABRT comes; the log has both lives."""
    async with program(tmp_path, HANGING, "12", watchdog=2.5) as hanging:
        await hanging.start()
        await hanging.until(lambda: bool(hanging.recoveries))
        assert hanging.aborts == 1
        assert hanging.exits == {-signal.SIGABRT: 1}
        assert hanging.recoveries[0] > 0.0
        assert len(await hanging.said("hangs")) == 1
        await hanging.says("begun", count=2)


async def test_a_stopped_process_takes_sigkill(tmp_path: Path) -> None:
    """A process under SIGSTOP does not take SIGABRT; it is killed all the same."""
    async with program(tmp_path, HANGING, "9999", watchdog=1.0) as hanging:
        await hanging.start()
        hanging.send(signal.SIGSTOP)
        await hanging.until(lambda: bool(hanging.recoveries))
        assert hanging.exits == {-signal.SIGKILL: 1}


async def test_what_is_killed_comes_back_until_it_is_stopped(tmp_path: Path) -> None:
    """A kill costs a restart, which is timed; a stop is no recovery and ends it."""
    async with program(tmp_path, TALKING) as talking:
        await talking.start()
        seconds = await talking.killed()
        assert seconds == talking.recoveries[-1]
        assert await talking.stop() == -signal.SIGTERM
        assert not talking.running
        await talking.start()
        assert talking.starts == 3
        assert len(talking.recoveries) == 1


KEEPER = """
import asyncio, sys
from pathlib import Path
from scripts.soaks.program import Program
async def keep():
    kept = await Program("small", (sys.executable, "-c", sys.argv[1]), Path(sys.argv[2]), ready="up").start()
    print(kept.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(keep())
"""


async def test_nothing_outlives_its_keeper(tmp_path: Path) -> None:
    """A soak that is killed leaves no program behind."""
    keeper = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KEEPER, TALKING, str(tmp_path)),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
    )
    assert keeper.stdout is not None
    kept = Path("/proc") / (await keeper.stdout.readline()).decode().strip()
    assert kept.exists()
    keeper.kill()
    await keeper.wait()
    async with asyncio.timeout(60):
        while kept.exists() and " Z " not in (kept / "stat").read_text():
            await asyncio.sleep(0.02)


async def test_what_can_not_start_ends_the_soak(tmp_path: Path) -> None:
    """A program that ends by itself again and again is named, with its log."""
    async with program(tmp_path, "raise SystemExit(2)") as broken:
        with pytest.raises(SoakError, match=r"small does not start.*small\.log"):
            await broken.start()
