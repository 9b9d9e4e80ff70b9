"""The receiver and systemd: ready, the watchdog fed while the database answers, stopping."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from edged.base.systemd import Notifier
from edged.receiver.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.simloop import SimClock, Simulate

_START = 30.0  # seconds in which a process on a busy machine has said that it is ready


async def _well() -> None:
    """Answer like a database that takes writes."""


async def _full() -> None:
    """Answer like one whose disk is full."""
    raise sqlite3.OperationalError("database or disk is full")


async def _hung() -> None:
    """Never answer."""
    await asyncio.Event().wait()


def test_systemd_is_fed_while_the_database_answers(simulate: Simulate, tmp_path: Path) -> None:
    """An error is an answer that a new start would not heal: it is told once; silence keeps systemd unfed."""

    async def act(_: SimClock) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            manager.setblocking(False)
            notifier = Notifier(str(tmp_path / "notify"))
            answers: list[Callable[[], Awaitable[None]]] = [_well, _full, _full, _hung, _hung, _well]

            async def probe() -> None:
                await answers.pop(0)()

            dog = Watchdog(probe, notifier, 60.0)
            fed, told = [], []
            while answers:
                with capture_logs() as entries:
                    await dog.step()
                fed.append("WATCHDOG=1" in _received(manager))
                told.append([entry["event"] for entry in entries])
            notifier.close()
        assert fed == [True, True, True, False, False, True]
        assert told == [[], ["receiver in trouble"], [], ["receiver in trouble"], [], ["receiver well again"]]

    simulate(act)


def _received(manager: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096).decode())
        except BlockingIOError:
            return messages


async def test_the_receivers_life_is_told_to_systemd(state_dir: Path, tmp_path: Path) -> None:
    """READY comes once it listens, WATCHDOG in time, STOPPING with the ordered stop."""
    file = tmp_path / "receiver.toml"
    file.write_text(f'state = "{state_dir}"\npublic_url = "http://127.0.0.1:1"\nlisten = "127.0.0.1:0"\n')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from edged.cli import main; main()", "receive", "--config", str(file)),
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"},
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            told: list[str] = []
            while told.count("WATCHDOG=1") < 3:
                told.append(await _next(manager))
            process.send_signal(signal.SIGTERM)
            while told[-1] != "STOPPING=1":
                told.append(await _next(manager))
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert told[0] == "READY=1"
    assert "STATUS=takes uploads" in told


async def _next(manager: socket.socket) -> str:
    async with asyncio.timeout(_START):
        return (await asyncio.get_running_loop().sock_recv(manager, 4096)).decode()
