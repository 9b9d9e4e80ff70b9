"""The reload itself: what reaches the stages, whose secrets are read anew, and who is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edged.app.board import WorldBoard
from edged.app.reload import Reloader
from edged.app.reload_order import lines, order
from edged.app.world import open_world
from edged.base.clock import SystemClock
from edged.base.errors import ConfigError
from edged.base.systemd import Notifier
from edged.settings import load_device
from edged.supervise.control import CommandError, ControlServer, NoDaemonError
from edged.supervise.http import StatusServer
from tests.app.home import tables, toml

if TYPE_CHECKING:
    from pathlib import Path

    from edged.app.world import World
    from edged.settings import DeviceConfig

CHANGED: dict[str, Any] = {
    "push": {"rate": "1kB/s", "metered": True, "heartbeat": "20s", "probe": {"timeout": "9s"}, "gate": {"failures": 9}},
    "alerts": {
        "recipients": ["anna@example.org"],
        "armed": ["mo 8:00-9:00"],
        "cooldown": "9s",
        "cap_per_hour": 9,
        "digest_from": 9,
    },
    "mail": {"sender": "shop@example.org", "relays": [{"host": "mail.example.org", "security": "opportunistic"}]},
    "outbox": {"quota": "9GB", "sweep_interval": "9s", "backup_interval": "9s"},
    "recovery": {"leave_after": "9h"},
    "supervise": {"lag": "9s", "camera": "99s", "camera_lost": "9s", "camera_blind": "19s", "backlog_age": "9d"},
}


def receiver(folder: Path, secret: str = "ab" * 32) -> dict[str, Any]:
    """Return the section of a receiver that nobody serves, with its key in a file."""
    (folder / "key").touch(mode=0o600)
    (folder / "key").write_text(secret)
    return {"url": "http://127.0.0.1:9", "device": "shop", "key": {"file": str(folder / "key")}}


class Home:
    """A device's world, its pages and its file; nothing runs by itself."""

    def __init__(self, world: World, file: Path) -> None:
        config = world.config
        self.world = world
        self.http = StatusServer(WorldBoard(world), config.http, config.supervise)
        self.file = file
        self.reloader = Reloader(world, self.http, file, Notifier(None))


def write(folder: Path, **sections: Any) -> DeviceConfig:
    """Write a device's file into `folder` and return what it says."""
    file = folder / "edged.toml"
    file.write_text(toml(tables(folder / "state", **sections)))
    return load_device(file)


async def test_every_stage_goes_by_what_was_taken(tmp_path: Path) -> None:
    """Each holds the very section of the configuration that the world now has, or the figures in it."""
    line = receiver(tmp_path)
    async with open_world(write(tmp_path, receiver=line), SystemClock(), Notifier(None)) as world:
        home = Home(world, tmp_path / "edged.toml")
        door = {**tables(tmp_path)["cameras"]["door"], "detect": {"smallest": "9%"}, "health": {"dark": "9s"}}
        device = {**tables(tmp_path / "state")["device"], "site": "Quay"}
        asked = write(tmp_path, device=device, receiver=line, cameras={"door": door}, **CHANGED)
        answer = await home.reloader.reload()
        assert (answer["restart"], world.config) == ((), asked)
        config, out, eye = world.config, world.outward, world.eyes["door"]
        assert out.probe is not None
        assert out.link is not None
        assert out.heartbeat is not None
        assert out.uploads._settings is out.alerts._settings is out.probe._settings is config.push
        assert (out.link._figures, out.link.metered, out.heartbeat._interval) == (config.push.probe, True, 20.0)
        assert (out._sender._letters.site, out._vitals().site, WorldBoard(world).view().title) == ("Quay",) * 3
        assert (out.rate(), out.pacer._rate(), out._sender._letters.digest_from) == (0.0, 1000.0, 9)
        assert (out.mailer._settings, [each.name for each in out.mailer.relays]) == (
            config.mail,
            ["mail.example.org:25"],
        )
        assert out.mailer._doors[0].gate._figures.failures == 9
        assert (world.upkeep._settings, world.upkeep._destinations) == (config.outbox, world.destinations)
        assert world.upkeep._due["copy"] <= world.clock.mono() + 9.0
        assert world.resort._settings is config.recovery
        assert eye.capture._settings.health == config.cameras["door"].health
        assert (eye.settings, eye.detector._next) == (config.cameras["door"], config.cameras["door"].detect)
        assert eye.recorder._entries._destinations.people == world.notices._people == ("mail:anna@example.org",)
        assert (eye.recorder._entries._rules.cooldown, eye.recorder._entries._rules.cap_per_hour) == (9.0, 9)
        assert len(world.arming._spans) == 1
        assert [matter.after for matter in world.notices._matters] == [9.0, 19.0]
        assert (world.watchdog._limits.lag, world.watchdog._limits.camera) == (9.0, 99.0)
        assert home.http._observer._limits is config.supervise


async def test_a_refused_file_changes_nothing(tmp_path: Path) -> None:
    """Neither do the settings in it that are right, nor a secret that can't be had."""
    before = write(tmp_path)
    async with open_world(before, SystemClock(), Notifier(None)) as world:
        home = Home(world, tmp_path / "edged.toml")
        home.file.write_text(toml(tables(tmp_path / "state", push={"rate": "1kB/s", "heartbeat": "never"})))
        with pytest.raises(ConfigError, match=r"push\.heartbeat: 'never' is no number with a unit"):
            await home.reloader.reload()
        assert world.config is before
        assert world.refused.startswith("push.heartbeat: ")
        write(tmp_path, push={"rate": "1kB/s"}, receiver={**receiver(tmp_path), "key": {"env": "NOT_THERE"}})
        with pytest.raises(ConfigError, match=r"receiver\.key: the environment variable NOT_THERE is not set"):
            await home.reloader.reload()
        assert (world.config, world.outward.pacer._rate()) == (before, None)
        home.file.unlink()
        with pytest.raises(ConfigError, match="can't be read: No such file or directory"):
            await home.reloader.reload()
        write(tmp_path)
        assert await home.reloader.reload() == {"taken": (), "restart": (), "notes": []}
        assert world.refused == ""


async def test_what_waits_for_a_restart_is_said_until_then(tmp_path: Path) -> None:
    """On the page and by each further reload; put back, it is forgotten."""
    async with open_world(write(tmp_path), SystemClock(), Notifier(None)) as world:
        home, board = Home(world, tmp_path / "edged.toml"), WorldBoard(world)
        write(tmp_path, push={"parallel": 5})
        for _ in range(2):
            assert (await home.reloader.reload())["restart"] == ("push.parallel",)
            assert "Changed in the configuration, and waiting for a restart: push.parallel." in board.view().notices
        assert world.config.push.parallel == 2
        write(tmp_path)
        assert (await home.reloader.reload())["restart"] == ()
        assert not any("restart" in notice for notice in board.view().notices)


async def test_a_key_whose_file_was_changed_is_used_from_then_on(tmp_path: Path) -> None:
    """The file names the same place, which holds another key: requests and links are signed with that."""
    config = write(tmp_path, receiver=receiver(tmp_path))
    async with open_world(config, SystemClock(), Notifier(None)) as world:
        home, credentials = Home(world, tmp_path / "edged.toml"), world.outward._credentials
        assert credentials is not None
        before = world.outward._links("incident")
        receiver(tmp_path, "cd" * 32)
        assert await home.reloader.reload() == {"taken": ("receiver.key",), "restart": (), "notes": []}
        assert credentials.key == "cd" * 32
        assert world.outward._links("incident") != before
        assert (await home.reloader.reload())["taken"] == ()


async def test_a_relays_password_is_read_anew(tmp_path: Path) -> None:
    """The next mail logs in with it; what it was can't be learned from what tells that it changed."""
    secret = tmp_path / "relay"
    secret.touch(mode=0o600)
    secret.write_text("old")
    relay = {"host": "mail.example.org", "user": "me", "password": {"file": str(secret)}}
    config = write(tmp_path, mail={"sender": "shop@example.org", "relays": [relay]})
    async with open_world(config, SystemClock(), Notifier(None)) as world:
        home = Home(world, tmp_path / "edged.toml")
        secret.write_text("new")
        assert (await home.reloader.reload())["taken"] == ("mail.relays.1.password",)
        assert [door.endpoint.password for door in world.outward.mailer._doors] == ["new"]
        assert not any(word in str(home.reloader._prints) for word in ("old", "new"))
        secret.unlink()
        with pytest.raises(ConfigError, match=r"mail\.relays\.1\.password: .* can't be read"):
            await home.reloader.reload()


async def test_a_cameras_password_needs_a_restart_and_says_so_each_time(tmp_path: Path) -> None:
    """Its connection is open with the old one."""
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text("old")
    camera = {"url": "rtsp://me@127.0.0.1/", "password": {"file": str(secret)}}
    config = write(tmp_path, cameras={"door": camera})
    async with open_world(config, SystemClock(), Notifier(None)) as world:
        home = Home(world, tmp_path / "edged.toml")
        secret.write_text("new")
        for _ in range(2):
            assert (await home.reloader.reload())["restart"] == ("cameras.door.password",)
        secret.write_text("old")
        assert (await home.reloader.reload())["restart"] == ()


# ---------------------------------------------------------------------------------------------- who is asked


def served(state: Path, handler: Any) -> ControlServer:
    """Return a control socket that knows `reload` alone."""
    state.mkdir(exist_ok=True)
    return ControlServer(state / "control.sock", {"reload": handler})


async def _answer(args: dict[str, Any]) -> dict[str, Any]:
    return {"taken": [args["config"]], "restart": [], "notes": []}


@pytest.mark.parametrize(
    "text",
    [
        "[device]\nname = 'shop'\nstate = '{other}'\n",  # moved: the daemon is where it was
        "[device]\nstate = '{state}'\n[push]\nrate = 'fast'\n",  # broken, but it says where
        "this is [ no TOML",
        None,
    ],
    ids=["moved", "broken", "no TOML", "missing"],
)
async def test_the_daemon_is_found_whatever_became_of_the_file(tmp_path: Path, text: str | None) -> None:
    """Systemd tells a reload where the service keeps its state: that is where it runs."""
    file, state = tmp_path / "edged.toml", tmp_path / "state"
    if text is not None:
        file.write_text(text.format(state=state, other=tmp_path / "other"))
    server = served(state, _answer)
    await server.start()
    assert (await order(file, {"STATE_DIRECTORY": str(state)}))["taken"] == [str(file)]
    await server.stop()


async def test_without_a_daemon_the_files_mistakes_come_first(tmp_path: Path) -> None:
    """A broken file is told as such; a sound one with nobody to take it likewise."""
    write(tmp_path)
    with pytest.raises(NoDaemonError, match=f"no edged is running on {tmp_path / 'state'}"):
        await order(tmp_path / "edged.toml")
    (tmp_path / "edged.toml").write_text("[push]\nrate = 1\n")
    with pytest.raises(ConfigError, match=r"push\.rate"):
        await order(tmp_path / "edged.toml")


async def test_another_file_than_the_daemons_is_refused(tmp_path: Path) -> None:
    """It would not be taken: the daemon reads its own."""
    config = write(tmp_path)
    async with open_world(config, SystemClock(), Notifier(None)) as world:
        home = Home(world, tmp_path / "edged.toml")
        server = ControlServer(world.spool.control, {"reload": home.reloader.command})
        await server.start()
        other = tmp_path / "other.toml"
        other.write_text(home.file.read_text())
        with pytest.raises(CommandError, match=rf"edged runs with {home.file}, not with {other}"):
            await order(other)
        link = tmp_path / "link.toml"
        link.symlink_to(home.file)
        assert list(lines(await order(link))) == ["nothing changed"]
        write(tmp_path, push={"rate": "1kB/s"})
        home.file.write_text(home.file.read_text().replace("1kB/s", "fast"))
        with pytest.raises(CommandError, match=r"can't be used, edged goes on with what it has:\n  push\.rate: 'fast'"):
            await order(link)
        await server.stop()


def test_what_a_person_reads() -> None:
    """One line for each class, and each note."""
    answer = {"taken": ["push.rate", "push.upload"], "restart": ["record.part"], "notes": ["held"]}
    assert list(lines(answer)) == ["taken: push.rate, push.upload", "needs a restart: record.part", "note: held"]
