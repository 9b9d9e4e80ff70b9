"""`edged check`: everything that can be validated before a start, as rows of ok, warn and error with what to do.

Nothing is changed on the way, so it may run beside the daemon; what that one holds is then asked of it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from edged.act.settings import load_act
from edged.act.usb import Bus, UsbError, find
from edged.app.client import owner
from edged.app.look import look_at, on_daemon_thread
from edged.app.trial import mail_trial, upload_trial
from edged.base.clock import SystemClock
from edged.base.disk import write_synced
from edged.base.errors import ConfigError, CredentialsError, EdgedError
from edged.channels.smtp import check as check_relay
from edged.channels.smtp import resolve
from edged.outbox.opening import examine_outbox
from edged.outbox.spool import Spool
from edged.push.targets.folder import require
from edged.push.trial import check_receiver
from edged.settings import check_secrets, load_device
from edged.supervise.control import call
from edged.supervise.http import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.push.settings import FolderSettings
    from edged.settings import CameraSection, DeviceConfig

_SLOW_SYNC = 0.5  # seconds: a card this slow is dying


class Level(StrEnum):
    """How a row ended; the worst one is the command's exit code."""

    OK = "ok"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table: what was looked at, how it is, and what to do about it."""

    level: Level
    what: str
    text: str
    hint: str = ""


def exit_code(rows: list[Row]) -> int:
    """Return 0 when all is ok, 1 with warnings, 2 with errors."""
    worst = {row.level for row in rows}
    return 2 if Level.ERROR in worst else 1 if Level.WARN in worst else 0


async def check_all(path: Path, *, send: bool) -> list[Row]:
    """Return every row for the configuration file at `path`; with `send` also what really sending showed."""
    try:
        config = await asyncio.to_thread(load_device, path)
        await asyncio.to_thread(check_secrets, config)
    except ConfigError as error:
        return [
            Row(level=Level.ERROR, what="configuration", text=str(mistake), hint=f"correct it in {path}")
            for mistake in error.mistakes
        ]
    clock = SystemClock()
    rows = [Row(level=Level.OK, what="configuration", text=f"{path} is complete and consistent")]
    spool = Spool(config.device.state, require_mount=config.device.require_mount)
    cameras = await _seen_by_daemon(spool)
    looks: list[Awaitable[Row]] = [
        _guarded("state directory", _state(spool, running=cameras is not None)),
        _guarded("database", _database(spool)),
        *(_guarded(f"camera {name}", _camera(name, each, cameras or {})) for name, each in config.cameras.items()),
        _guarded("receiver", _receiver(config, clock)),
        *(_guarded("mail", _relay(config, number, clock)) for number in range(len(config.mail.relays))),
        *(_guarded(f"folder {name}", _folder(f"folder {name}", folder)) for name, folder in config.folders.items()),
    ]
    looks.append(_guarded("status page", _pages(config.http.listen, running=cameras is not None)))
    if config.recovery.reboot or any(camera.reset for camera in config.cameras.values()):
        looks.append(_guarded("helper", _helper(config, path.with_name("act.toml"))))
    rows += await asyncio.gather(*looks)
    rows += [_people(config), _clock(clock)]
    if send:
        rows += await _send(config, clock)
    return rows


async def _guarded(what: str, look: Awaitable[Row]) -> Row:
    """Return the row of a look, or what it raised as an error's row."""
    try:
        return await look
    except CredentialsError as error:
        return Row(level=Level.ERROR, what=what, text=str(error), hint="correct the key or password, or its user")
    except (EdgedError, OSError, sqlite3.Error) as error:
        return Row(level=Level.ERROR, what=what, text=str(error), hint=_HINTS.get(what.split(maxsplit=1)[0], ""))


_HINTS = {
    "state": "make device.state a directory of the user that runs edged, on a disk with room",
    "database": "stop edged; at its next start it sets the file aside and rebuilds it from the clips",
    "camera": "look at its power, its address and its password; try the url with a player",
    "receiver": "look at receiver.url, the network and the receiver's own log",
    "mail": "look at host, port and security of the relay in [[mail.relays]]",
    "folder": "mount it, or correct its path",
    "helper": "correct act.toml; until then the privileged helper does nothing",
    "status": "another program holds the port, or the address is not this machine's: correct http.listen",
}


# ------------------------------------------------------------------------------------------- the state directory


async def _seen_by_daemon(spool: Spool) -> dict[str, Any] | None:
    """Return what a running daemon says of its cameras, None when none answers."""
    try:
        seen: dict[str, Any] = await call(spool.control, "status", {})
    except (OSError, EdgedError):
        return None
    return seen


async def _state(spool: Spool, *, running: bool) -> Row:
    what = "state directory"
    await asyncio.to_thread(spool.require_mounted)
    home = await asyncio.to_thread(_home, spool.root)
    if home != spool.root:
        try:
            seconds = await asyncio.to_thread(_write_and_sync, home)
        except OSError as error:
            raise EdgedError(f"{spool.root} is missing and can't be made in {home}: {error.strerror}") from error
        text = f"there is none yet: the first start makes it in {home}, where a sync takes {seconds * 1000:.0f} ms"
        return Row(level=Level.OK, what=what, text=text)
    stranger = await asyncio.to_thread(owner, spool.root)
    if stranger:
        hint = "run edged check as that user: only then it shows what edged itself may do"
        return Row(level=Level.WARN, what=what, text=f"{spool.root} belongs to {stranger}", hint=hint)
    seconds = await asyncio.to_thread(_write_and_sync, spool.root)
    space = await asyncio.to_thread(spool.space)
    text = f"{spool.root} is writable, a sync takes {seconds * 1000:.0f} ms, {space.free / 1e9:.1f} GB free"
    text += "; edged is running on it" if running else ""
    if seconds > _SLOW_SYNC:
        return Row(level=Level.WARN, what=what, text=text, hint="the card is slow or worn: replace it")
    return Row(level=Level.OK, what=what, text=text)


def _home(root: Path) -> Path:
    """Return `root` if it is a directory, else the directory above in which it can be made."""
    if root.is_dir():
        return root
    above = next(path for path in root.parents if path.exists())
    if root.exists() or not above.is_dir():
        raise EdgedError(f"{root if root.exists() else above} is no directory")
    if not os.access(above, os.W_OK | os.X_OK):
        raise EdgedError(f"{root} is missing and can't be made: {above} is not writable for this user")
    return above


def _write_and_sync(root: Path) -> float:
    clock = SystemClock()
    path = root / f"check-{secrets.token_hex(4)}"
    started = clock.mono()
    try:
        write_synced(path, os.urandom(4096))
        return clock.mono() - started
    finally:
        path.unlink(missing_ok=True)


async def _database(spool: Spool) -> Row:
    if not await asyncio.to_thread(spool.database.exists):
        return Row(level=Level.OK, what="database", text="there is none yet: the first start makes it")
    await examine_outbox(spool.database)
    return Row(level=Level.OK, what="database", text=f"{spool.database.name} is sound")


# ---------------------------------------------------------------------------------------------- what it reaches


async def _camera(name: str, section: CameraSection, seen: dict[str, Any]) -> Row:
    what, state = f"camera {name}", seen.get(name)
    if state is not None:
        level = Level.OK if state["well"] else Level.ERROR
        return Row(level=level, what=what, text=f"in use by the running edged: {state['text'] or 'delivers'}")
    return Row(level=Level.OK, what=what, text=(await look_at(name, section)).text)


async def _receiver(config: DeviceConfig, clock: Clock) -> Row:
    if config.receiver is None:
        hint = "add a [receiver], unless the clips are meant to stay here"
        return Row(level=Level.WARN, what="receiver", text="none is configured", hint=hint)
    return Row(level=Level.OK, what="receiver", text=await check_receiver(config.receiver, clock))


async def _relay(config: DeviceConfig, number: int, clock: Clock) -> Row:
    endpoint = (await asyncio.to_thread(resolve, config.mail))[number]
    return Row(level=Level.OK, what="mail", text=await check_relay(endpoint, config.mail, clock))


async def _folder(what: str, folder: FolderSettings) -> Row:
    def look() -> str:
        require(folder)
        if not folder.path.is_dir():
            raise EdgedError(f"{folder.path} is no directory")
        if not os.access(folder.path, os.W_OK | os.X_OK):
            raise EdgedError(f"{folder.path} is not writable for this user")
        return f"{folder.path} is there and writable"

    try:
        async with asyncio.timeout(folder.timeout):
            text = await on_daemon_thread(look)
    except TimeoutError:
        raise EdgedError(f"{folder.path} does not answer within {folder.timeout:g} s") from None
    return Row(level=Level.OK, what=what, text=text)


async def _pages(listen: str, *, running: bool) -> Row:
    """Look whether the status page can have its address, unless the running edged has it."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not running:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), host, int(port))
        server.close()
    if is_loopback(host):
        return Row(level=Level.OK, what="status page", text=f"on {listen}, for this machine alone")
    hint = "listen on 127.0.0.1, and go there through ssh or a reverse proxy that asks for a password"
    text = f"{listen} can be reached from other machines, and it has no login"
    return Row(level=Level.WARN, what="status page", text=text, hint=hint)


async def _helper(config: DeviceConfig, act: Path) -> Row:
    """Return whether the privileged helper may do, and can do, what the configuration has edged ask for."""
    rules = await asyncio.to_thread(load_act, act)
    wrong = [] if rules.reboot.allowed or not config.recovery.reboot else ["a reboot is not allowed"]
    for name in (name for name, camera in config.cameras.items() if camera.reset):
        rule = rules.reset.get(name)
        if rule is None:
            wrong.append(f"a reset of camera {name} is not allowed")
            continue
        try:
            for device in rule.usb if os.geteuid() == 0 else ():  # others can't ask a hub
                await asyncio.to_thread(find, device, rule.method, Bus())
        except UsbError as error:
            wrong.append(f"camera {name} can't be reset: {error}")
    if wrong:
        return Row(level=Level.WARN, what="helper", text="; ".join(wrong), hint=f"look at {act}")
    return Row(level=Level.OK, what="helper", text="may do what edged would ask for")


def _people(config: DeviceConfig) -> Row:
    if not config.alerts.recipients:
        hint = "name them in alerts.recipients, unless nobody wants mail"
        return Row(level=Level.WARN, what="recipients", text="nobody is told of incidents", hint=hint)
    return Row(level=Level.OK, what="recipients", text=", ".join(config.alerts.recipients))


def _clock(clock: Clock) -> Row:
    if clock.synced():
        return Row(level=Level.OK, what="clock", text="synchronised")
    hint = "run: timedatectl set-ntp true; until then times are marked as untrusted and corrected later"
    return Row(level=Level.WARN, what="clock", text="not synchronised with a time server", hint=hint)


async def _send(config: DeviceConfig, clock: Clock) -> list[Row]:
    rows = []
    if config.receiver is not None:
        receiver = config.receiver

        async def upload() -> Row:
            return Row(level=Level.OK, what="upload", text=await upload_trial(config, receiver, clock))

        rows.append(await _guarded("upload", upload()))
    for recipient in config.alerts.recipients if config.mail.relays else ():

        async def mail(recipient: str = recipient) -> Row:
            return Row(level=Level.OK, what="test mail", text=await mail_trial(config, recipient, clock))

        rows.append(await _guarded("test mail", mail()))
    return rows
