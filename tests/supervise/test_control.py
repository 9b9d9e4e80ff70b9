"""The control socket: private, and an answer to whatever comes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest

from edged.base.errors import EdgedError
from edged.supervise.control import CommandError, ControlServer, NoDaemonError, call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Daemon:
    """Handlers that note what they are asked."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.waiting = 0

    async def echo(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments."""
        return args

    async def wait(self, args: dict[str, Any]) -> str:
        """Answer when the test releases it."""
        self.waiting += 1
        await self.release.wait()
        return "released"

    async def refuse(self, args: dict[str, Any]) -> None:
        """Refuse as the parts of edged do."""
        raise EdgedError("there is no camera 'roof'")

    async def need(self, args: dict[str, Any]) -> Any:
        """Need an argument."""
        return args["id"]

    async def crash(self, args: dict[str, Any]) -> None:
        """Fail in a way that nobody thought of."""
        raise ZeroDivisionError("secret inner thing")


@pytest.fixture
async def daemon() -> Daemon:
    """What stands behind the socket."""
    return Daemon()


@pytest.fixture
async def path(state_dir: Path, daemon: Daemon) -> AsyncIterator[Path]:
    """A control socket that is being served."""
    names = ("echo", "wait", "refuse", "need", "crash")
    server = ControlServer(state_dir / "control.sock", {name: getattr(daemon, name) for name in names})
    await server.start()
    yield state_dir / "control.sock"
    daemon.release.set()
    await server.stop()


async def raw(path: Path, data: bytes) -> bytes:
    """Send bytes as they are, say that there are no more, and return what comes back."""
    reader, writer = await asyncio.open_unix_connection(path)
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        writer.write_eof()
        await writer.drain()
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


async def test_only_the_owner_may_use_it(path: Path) -> None:
    """The socket has mode 0600, whatever the umask of the process, which is as it was before."""
    before = os.umask(0o022)
    os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert before != 0o177


async def test_a_command_is_answered(path: Path) -> None:
    """Arguments go in and the result comes out, whatever their letters and size."""
    args = {"text": "Tür\n", "many": list(range(20_000)), "none": None}
    assert await call(path, "echo", args) == args


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("refuse", "there is no camera 'roof'"),
        ("need", "the argument 'id' is missing"),
        ("fly", "unknown command 'fly'"),
    ],
)
async def test_a_refusal_is_told(path: Path, command: str, text: str) -> None:
    """What a handler refuses arrives as the sentence it gave."""
    with pytest.raises(CommandError) as caught:
        await call(path, command, {})
    assert str(caught.value) == text


async def test_a_handler_that_breaks_tells_nothing_of_the_inside(path: Path) -> None:
    """The person learns that it failed and where to look, and the socket goes on serving."""
    with pytest.raises(CommandError, match="crash failed inside edged; its log says why"):
        await call(path, "crash", {})
    assert await call(path, "echo", {}) == {}


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\n",
        b"hello\n",
        b"[1, 2]\n",
        b'"text"\n',
        b"null\n",
        b'{"args": {}}\n',
        b'{"command": ["echo"]}\n',
        b'{"command": {"a": 1}}\n',
        b'{"command": "echo", "args": [1]}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
    ],
)
async def test_garbage_is_refused_and_harms_nobody(path: Path, garbage: bytes) -> None:
    """Whatever is sent gets an answer that says no, and the next caller is served."""
    answer = json.loads(await raw(path, garbage))
    assert answer["ok"] is False
    assert answer["text"]
    assert await call(path, "echo", {"a": 1}) == {"a": 1}


async def test_an_endless_line_is_dropped(path: Path) -> None:
    """A line without an end is cut off at the limit, and the next caller is served."""
    assert await raw(path, b"x" * (17 * 1024 * 1024)) == b""
    assert await call(path, "echo", {}) == {}


async def test_callers_do_not_wait_for_each_other(path: Path, daemon: Daemon) -> None:
    """While twenty commands are under way, another one is answered; then the twenty are."""
    slow = [asyncio.create_task(call(path, "wait", {})) for _ in range(20)]
    while daemon.waiting < 20:
        await asyncio.sleep(0)
    assert await call(path, "echo", {"quick": True}) == {"quick": True}
    daemon.release.set()
    assert await asyncio.gather(*slow) == ["released"] * 20


async def test_a_caller_that_leaves_harms_nobody(path: Path, daemon: Daemon) -> None:
    """A command whose caller has gone runs to its end, and the next caller is served."""
    gone = asyncio.create_task(call(path, "wait", {}))
    while not daemon.waiting:
        await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait({gone})
    daemon.release.set()
    assert await call(path, "echo", {}) == {}


async def test_an_answer_that_does_not_come_is_told(path: Path) -> None:
    """A daemon that takes too long is named, not a traceback."""
    with pytest.raises(CommandError, match="gave no answer to wait for 0 s"):
        await call(path, "wait", {}, timeout=0.05)


async def test_without_a_daemon_it_says_so(state_dir: Path) -> None:
    """No socket at all, and one that a killed daemon left, both mean that nobody is there."""
    with pytest.raises(NoDaemonError, match="no edged is running"):
        await call(state_dir / "control.sock", "echo", {})
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(state_dir / "control.sock"))
        killed.listen()
    assert (state_dir / "control.sock").exists(), "a closed socket's file stays"
    with pytest.raises(NoDaemonError, match="no edged is running"):
        await call(state_dir / "control.sock", "echo", {})


async def test_a_socket_left_behind_is_replaced(state_dir: Path, daemon: Daemon) -> None:
    """The next daemon starts on the same path and leaves nothing behind when it stops in order."""
    first = ControlServer(state_dir / "control.sock", {})
    await first.start()
    second = ControlServer(state_dir / "control.sock", {"echo": daemon.echo})
    await second.start()
    assert await call(state_dir / "control.sock", "echo", {}) == {}
    await second.stop()
    assert not (state_dir / "control.sock").exists()
    await first.stop()


async def test_a_stop_hangs_up_on_a_command_that_waits(state_dir: Path) -> None:
    """Whoever waits for an answer at the stop is told at once that the daemon went away, and nothing runs on."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(_args: dict[str, Any]) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    server = ControlServer(state_dir / "control.sock", {"wait": wait})
    await server.start()
    waiting = asyncio.create_task(call(state_dir / "control.sock", "wait", {}))
    await begun.wait()
    await server.stop()
    assert ended.is_set()
    with pytest.raises(NoDaemonError):
        await waiting
