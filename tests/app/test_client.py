"""Commands when no daemon runs: under its lock, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edged.app.client import ask, owner
from edged.base.clock import SystemClock
from edged.base.errors import AlreadyRunningError, EdgedError
from edged.outbox.spool import Spool
from edged.outbox.store import open_outbox
from edged.supervise.control import NoDaemonError
from tests.app.home import config
from tests.outbox.world import HandClock, Maker

NOBODY = 65534


def strangers(folder: Path) -> Path:
    """Return a directory that belongs to another user than the one who runs the tests."""
    if os.geteuid():
        return Path("/")
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    return folder


async def test_the_outbox_is_read_and_changed_under_the_lock(state_dir: Path, tmp_path: Path) -> None:
    """What a stopped device holds can be listed, added to and given up."""
    settings = config(state_dir, folders={"usb": {"path": "/media/usb"}})
    source = tmp_path / "report.txt"
    source.write_text("all quiet")
    (row,) = await ask(settings, "enqueue", {"files": [str(source)]}, timeout=5.0)
    listed = await ask(settings, "outbox.list", {"limit": 5}, timeout=5.0)
    assert [each["id"] for each in listed["deliveries"]] == [row["delivery"]]
    assert await ask(settings, "outbox.drop", {"id": row["delivery"]}, timeout=5.0) == {"dropped": [row["delivery"]]}
    assert (await ask(settings, "outbox.list", {}, timeout=5.0))["backlog"]["count"] == 0


async def test_incidents_of_a_stopped_device(state_dir: Path) -> None:
    """The listing needs no daemon."""
    clock = HandClock()
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    incident = Maker(clock=clock).incident()
    await outbox.import_incidents([incident], None, ())
    await outbox.close()
    listed = await ask(config(state_dir), "incidents.list", {}, timeout=5.0)
    assert [each["id"] for each in listed["incidents"]] == [incident.id]


@pytest.mark.parametrize("command", ["record", "arm", "drain", "status"])
async def test_what_needs_a_daemon_says_so(state_dir: Path, command: str) -> None:
    """Nothing can be recorded or armed while nobody watches."""
    with pytest.raises(NoDaemonError, match=f"no edged is running on {state_dir}"):
        await ask(config(state_dir), command, {}, timeout=5.0)
    assert list(state_dir.iterdir()) == []


async def test_a_daemon_that_only_starts_keeps_its_outbox_to_itself(state_dir: Path) -> None:
    """While another process holds the lock and does not listen yet, the command names it and changes nothing."""
    with Spool(state_dir).lock(), pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"):
        await ask(config(state_dir), "outbox.list", {}, timeout=5.0)


async def test_nobody_writes_into_a_strangers_directory(tmp_path: Path) -> None:
    """Not even root: the files made would be closed to the daemon."""
    other = strangers(tmp_path / "other")
    before = sorted(other.iterdir())
    with pytest.raises(EdgedError, match=r"belongs to user \w+: run this command as that user"):
        await ask(config(other), "outbox.list", {}, timeout=5.0)
    assert sorted(other.iterdir()) == before


def test_whose_a_directory_is(tmp_path: Path) -> None:
    """Ours and what is not there yet is nobody else's."""
    assert owner(tmp_path) == ""
    assert owner(tmp_path / "missing") == ""
    assert owner(strangers(tmp_path / "other")).startswith("user ")


async def test_a_socket_that_a_crash_left_is_no_daemon(state_dir: Path) -> None:
    """Nobody listens on it, so the work is done under the lock."""
    outbox = await open_outbox(state_dir / "outbox.db", SystemClock())
    await outbox.close()
    (state_dir / "control.sock").touch()
    listed = await ask(config(state_dir), "outbox.list", {}, timeout=5.0)
    assert listed["deliveries"] == []
