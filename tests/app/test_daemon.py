"""The daemon as a process of its own: what systemd hears of it, how it stops, and that there is only one."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import av
import pytest

from edged.app.client import ask
from edged.base.config import parse
from edged.settings import DeviceConfig
from edged.supervise.control import NoDaemonError
from tests.app.home import PATIENCE, tables, toml, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

EDGED = (sys.executable, "-c", "from edged.cli import main; main()")


@dataclass(kw_only=True)
class Daemon:
    """A running daemon, the lines of its log, and what it told the notify socket."""

    process: asyncio.subprocess.Process
    file: Path
    config: DeviceConfig
    log: list[dict[str, Any]] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)  # what it said outside its log
    told: list[str] = field(default_factory=list)

    async def tell(self, command: str, **args: Any) -> Any:
        """Send it a command."""
        return await ask(self.config, command, args, timeout=PATIENCE)

    def rewrite(self, **sections: Any) -> None:
        """Change the configuration file: these sections beside or instead of the tests' usual ones."""
        self.file.write_text(toml(tables(self.config.device.state, **{"log": {"style": "json"}, **sections})))

    async def reload(self, **environment: str) -> tuple[int | None, str, str]:
        """Run `edged reload` as a person would; return its exit code and what it printed."""
        command = (*EDGED, "reload", "--config", str(self.file))
        pipe = asyncio.subprocess.PIPE
        asking = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **environment}, stdout=pipe, stderr=pipe
        )
        out, err = await asking.communicate()
        return asking.returncode, out.decode(), err.decode()

    async def page(self, path: str) -> Any:
        """Return a JSON page."""
        await self.said("status page is up")
        (address,) = [line["address"] for line in self.log if line["event"] == "status page is up"]
        async with aiohttp.ClientSession() as session, session.get(address + path) as answer:
            return await answer.json()

    def events(self) -> list[str]:
        """Return the events of its log so far."""
        return [line["event"] for line in self.log]

    async def said(self, event: str) -> None:
        """Wait for an event in its log."""
        await until(lambda: event in self.events())

    async def heard(self, message: str) -> None:
        """Wait for a message on the notify socket."""
        await until(lambda: message in self.told)

    async def end(self, *signals: int) -> int:
        """Send signals and return the exit code."""
        for number in signals:
            self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def daemon(folder: Path, *, stdin: int = asyncio.subprocess.DEVNULL, **sections: Any) -> AsyncIterator[Daemon]:
    """Start `edged run` under a notify socket with a watchdog of two seconds; kill it if a test left it alive."""
    table = tables(folder / "state", log={"style": "json"}, **sections)
    path = folder / "edged.toml"
    path.write_text(toml(table))
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(folder / "notify"))
    notify.setblocking(False)
    environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "2000000"}
    process = await asyncio.create_subprocess_exec(
        *(*EDGED, "run", "--config", str(path)),
        env=environment,
        stdin=stdin,
        stderr=asyncio.subprocess.PIPE,
    )
    made = Daemon(process=process, file=path, config=parse(table, DeviceConfig))
    listeners = [asyncio.create_task(_read_log(made)), asyncio.create_task(_hear(notify, made.told))]
    try:
        yield made
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await listeners[0]
        listeners[1].cancel()
        await asyncio.wait(listeners)
        notify.close()


async def _read_log(made: Daemon) -> None:
    assert made.process.stderr is not None
    async for raw in made.process.stderr:
        try:
            made.log.append(json.loads(raw))
        except ValueError:
            made.plain.append(raw.decode(errors="replace"))


async def _hear(notify: socket.socket, told: list[str]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        told.append((await loop.sock_recv(notify, 4096)).decode())


async def test_systemd_hears_all_and_sigterm_seals_what_is_open(tmp_path: Path) -> None:
    """READY, a fed watchdog, a status; at SIGTERM the recording is sealed and playable, STOPPING, exit code 0."""
    async with daemon(tmp_path) as edged:
        await edged.heard("READY=1")
        await edged.heard("WATCHDOG=1")
        await edged.heard("STATUS=1 of 1 cameras deliver, 0 incidents open, receiver not configured")
        identity = (await edged.tell("record", camera="door", seconds=600.0))["incident"]
        await edged.heard("STATUS=1 of 1 cameras deliver, 1 incidents open, receiver not configured")
        assert await edged.end(signal.SIGTERM) == 0
    assert edged.plain == []
    assert "STOPPING=1" in edged.told
    assert edged.told.index("READY=1") < edged.told.index("WATCHDOG=1") < edged.told.index("STOPPING=1")
    order = [event for event in edged.events() if event in {"edged runs", "incident opened", "clip sealed"}]
    assert order == ["edged runs", "incident opened", "clip sealed"]
    assert edged.events()[-1] == "edged stopped"
    assert [line for line in edged.log if line["level"] in {"error", "critical"}] == []

    shown = await edged.tell("incidents.show", id=identity)  # the daemon is gone: this is the lock's way
    assert (shown["kind"], shown["recovered"]) == ("manual", False)
    assert shown["closed"] is not None
    (clip,) = shown["clips"]
    with av.open(clip["path"], "r") as container:
        assert sum(1 for _ in container.decode(video=0)) >= 1
    assert not (tmp_path / "state" / "control.sock").exists()


async def test_a_second_edged_is_refused_by_the_firsts_number(tmp_path: Path) -> None:
    """One state directory has one edged; the other learns who holds it, and the first goes on."""
    async with daemon(tmp_path) as first:
        await first.heard("READY=1")
        command = [*EDGED, "run", "--config", str(tmp_path / "edged.toml")]
        second = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, errors = await second.communicate()
        assert second.returncode == 2
        (line,) = errors.decode().splitlines()
        assert line.startswith(f"edged: {tmp_path / 'state'} is held by another edged (process {first.process.pid})")
        assert list(await first.tell("status")) == ["door"]
        assert await first.end(signal.SIGTERM) == 0


async def test_told_to_stop_twice_it_ends_at_once(tmp_path: Path) -> None:
    """A camera that hangs holds the ordered stop up; a second SIGTERM does not wait for it."""
    opening, over = asyncio.Event(), asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opening.set()
        await over.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as mute:
        port = mute.sockets[0].getsockname()[1]
        camera = {"url": f"rtsp://127.0.0.1:{port}/stream", "open_timeout": "60s"}
        async with daemon(tmp_path, cameras={"door": camera}) as edged:
            await edged.heard("READY=1")
            await opening.wait()
            edged.process.send_signal(signal.SIGTERM)
            await edged.said("edged stops")
            assert await edged.end(signal.SIGTERM) == 1
        over.set()
    assert edged.events()[-1] == "edged ends at once"
    assert "edged stopped" not in edged.events()
    assert (await edged.tell("outbox.list"))["deliveries"] == []  # the directory is free and its database sound


async def test_ctrl_c_stops_in_order_too(tmp_path: Path) -> None:
    """Run by hand in a terminal, SIGINT is as good as SIGTERM."""
    async with daemon(tmp_path) as edged:
        await edged.heard("READY=1")
        assert await edged.end(signal.SIGINT) == 0
    assert edged.events()[-1] == "edged stopped"


async def test_a_taken_port_costs_the_page_not_the_recording(tmp_path: Path) -> None:
    """Another program on the page's port is told; cameras and commands work all the same."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        page = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        async with daemon(tmp_path, http=page) as edged:
            await edged.heard("READY=1")
            await edged.said("no status page")
            assert await edged.tell("status") != {}
            assert await edged.end(signal.SIGTERM) == 0


async def test_a_stop_ends_a_drain_that_waits(tmp_path: Path, free_port: int) -> None:
    """Who waits for a drain is told that edged ended; nothing goes wrong inside, and what waits is kept."""
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("ab" * 32)
    receiver = {"url": f"http://127.0.0.1:{free_port}", "device": "shop", "key": {"file": str(key)}}
    async with daemon(tmp_path, receiver=receiver) as edged:
        await edged.heard("STATUS=1 of 1 cameras deliver, 0 incidents open, receiver down")
        await edged.tell("record", camera="door", seconds=600.0)
        draining = asyncio.create_task(edged.tell("drain", wait=3600.0))
        await edged.said("clip sealed")
        assert await edged.end(signal.SIGTERM) == 0
        with pytest.raises(NoDaemonError):
            await draining
    assert [line for line in edged.log if line["level"] in {"error", "critical"}] == []
    assert edged.plain == []
    assert (await edged.tell("outbox.list"))["backlog"]["count"] >= 1


async def test_a_changed_configuration_is_taken_while_it_runs(tmp_path: Path) -> None:
    """`edged reload` names what is taken and what needs a restart; systemd hears of it, and the recording goes on."""
    async with daemon(tmp_path) as edged:
        await edged.heard("STATUS=1 of 1 cameras deliver, 0 incidents open, receiver not configured")
        identity = (await edged.tell("record", camera="door", seconds=600.0))["incident"]
        edged.rewrite(push={"rate": "1Mbit/s"}, record={"pre_roll": "9s"})
        code, out, err = await edged.reload()
        assert (code, err) == (1, "")
        assert out == "taken: push.rate\nneeds a restart: record.pre_roll\n"
        edged.rewrite(push={"rate": "1Mbit/s"})
        assert await edged.reload() == (0, "nothing changed\n", "")
        reloading = next(message for message in edged.told if message.startswith("RELOADING=1\n"))
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=[0-9]+", reloading)
        assert "READY=1" in edged.told[edged.told.index(reloading) :]
        shown = await edged.tell("incidents.show", id=identity)
        assert shown["closed"] is None
        assert await edged.end(signal.SIGTERM) == 0
    told = [(line["event"], line["level"]) for line in edged.log if line["event"].startswith("configuration")]
    assert told == [("configuration taken", "warning"), ("configuration unchanged", "info")]
    assert edged.plain == []


async def test_a_broken_configuration_is_refused_while_it_runs(tmp_path: Path) -> None:
    """Every mistake is named, also in a file that is no TOML any more; edged goes on, and its health says so."""
    async with daemon(tmp_path) as edged:
        await edged.heard("READY=1")
        edged.rewrite(push={"rate": "fast"}, alerts={"cap_per_hour": -1})
        code, out, err = await edged.reload()
        assert (code, out) == (2, "")
        head, *mistakes = err.splitlines()
        assert head == f"edged: {tmp_path / 'edged.toml'} can't be used, edged goes on with what it has:"
        assert [line.split(":")[0] for line in mistakes] == ["  alerts.cap_per_hour", "  push.rate"]
        (reason,) = (await edged.page("/health"))["subsystems"]["configuration"]["reasons"]
        assert "alerts.cap_per_hour: must be 0 (no cap) or more (and 1 more mistake)." in reason
        (tmp_path / "edged.toml").write_text("this is [ no TOML")
        code, out, err = await edged.reload(STATE_DIRECTORY=str(tmp_path / "state"))
        assert (code, out) == (2, "")
        assert "is not valid TOML" in err
        edged.rewrite(push={"rate": "1Mbit/s"})
        assert (await edged.reload())[:2] == (0, "taken: push.rate\n")
        assert (await edged.page("/health"))["subsystems"]["configuration"]["reasons"] == []
        assert await edged.end(signal.SIGTERM) == 0
    told = [(line["event"], line["level"]) for line in edged.log if line["event"].startswith("configuration")]
    assert told == [("configuration refused", "error")] * 2 + [("configuration taken", "info")]


async def test_sighup_takes_the_configuration_too(tmp_path: Path) -> None:
    """The signal does as the command; a refusal is in the log alone, and nothing ends."""
    async with daemon(tmp_path) as edged:
        await edged.heard("READY=1")
        edged.rewrite(log={"style": "json", "level": "error"})
        edged.process.send_signal(signal.SIGHUP)
        await until(lambda: sum(message.startswith("RELOADING") for message in edged.told) == 1)
        edged.rewrite(log={"style": "json", "level": "loud"})
        edged.process.send_signal(signal.SIGHUP)
        await edged.said("configuration refused")
        assert await edged.end(signal.SIGTERM) == 0
    assert "configuration taken" not in edged.events()  # it was not told: from errors on, as the file now says
    assert "edged stopped" not in edged.events()


async def test_a_terminal_that_goes_ends_it_as_ever(tmp_path: Path) -> None:
    """Run by hand, SIGHUP says that nobody is there any more: then it is no reload."""
    master, slave = pty.openpty()
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored, and so in what we start
    try:
        async with daemon(tmp_path, stdin=slave) as edged:
            await edged.heard("READY=1")
            assert await edged.end(signal.SIGHUP) == -signal.SIGHUP
    finally:
        signal.signal(signal.SIGHUP, before)
        os.close(master)
        os.close(slave)
