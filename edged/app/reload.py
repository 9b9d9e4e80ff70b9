"""A changed configuration taken by the running daemon: read as at a start, compared, and given to the stages at once.

Reading (files, secrets, certificates) is done on a thread and may refuse everything. Giving it to the stages is one
turn of the event loop without a wait, so each step of each stage goes by the old settings or by the new ones. What is
open, under way or entered goes on: an incident, an upload, an alert to somebody who is no longer named.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from edged.app.changes import Changes, compare, is_live_secret
from edged.base import log as logs
from edged.base.config import secrets_in
from edged.base.errors import ConfigError, EdgedError
from edged.channels.smtp import resolve
from edged.channels.text import plural
from edged.push.line import credentials_of
from edged.settings import check_secrets, load_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edged.app.world import World
    from edged.base.systemd import Notifier
    from edged.channels.session import Endpoint
    from edged.push.line import Credentials
    from edged.settings import DeviceConfig
    from edged.supervise.http import StatusServer

log = structlog.get_logger(__name__)

_COUNTED = 1000  # waiting alerts of one address: beyond it nobody wants the exact number


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fresh:
    """What was just read: changes, with those of secrets' contents, and what the new contents make."""

    changes: Changes
    endpoints: tuple[Endpoint, ...]
    credentials: Credentials | None  # None: as they are
    prints: dict[str, bytes]  # of the secrets' contents, to know them again


class Reloader:
    """Takes changes of the configuration file at `path` into a world and its pages, when it is told to."""

    def __init__(self, world: World, http: StatusServer, path: Path, notifier: Notifier) -> None:
        self._world = world
        self._http = http
        self._path = path.absolute()
        self._notifier = notifier
        self._prints = _prints(world.config)
        self._working = asyncio.Lock()

    async def follow(self, asked: asyncio.Event) -> None:
        """Reload each time that `asked` is set, until cancelled; a refusal is in the log."""
        while True:
            await asked.wait()
            asked.clear()
            try:
                await self.reload()
            except ConfigError:
                continue
            except Exception as error:  # a border: a defect must not end the ear for the next signal
                log.error("reload failed", exc_info=error)

    async def command(self, args: dict[str, Any]) -> dict[str, Any]:
        """Reload for a person; EdgedError when the file can't be used, or is not the one that this daemon runs with."""
        asked = Path(args["config"])
        if not await asyncio.to_thread(lambda: self._path.resolve() == asked.resolve()):
            raise EdgedError(f"edged runs with {self._path}, not with {asked}: name that one with --config")
        try:
            return await self.reload()
        except ConfigError as error:
            told = "".join(f"\n  {mistake}" for mistake in error.mistakes)
            raise EdgedError(f"{self._path} can't be used, edged goes on with what it has:{told}") from error

    async def reload(self) -> dict[str, Any]:
        """Take what has changed; return the keys that were `taken`, those that need a `restart`, and `notes` on them.

        Raises ConfigError with every mistake when the file can't be used; nothing is changed then.
        """
        async with self._working:
            before = self._world.config
            self._notifier.reloading(self._world.clock.mono())
            try:
                changes = await self._take()
            finally:
                self._notifier.ready()
        notes = await _notes(self._world, before)
        return {"taken": changes.taken, "restart": changes.restart, "notes": notes}

    async def _take(self) -> Changes:
        world = self._world
        try:
            fresh = await asyncio.to_thread(_read, self._path, world.config, self._prints)
        except ConfigError as error:
            world.refused = _gist(error)
            log.error("configuration refused", file=str(self._path), mistakes=[str(each) for each in error.mistakes])
            raise
        changes = fresh.changes
        if "log.level" in changes.taken:
            logs.set_level(changes.config.log.level)
        # also where nothing differs: a certificate may be another one, and what was refused is tried again
        world.adopt(changes.config, fresh.endpoints, fresh.credentials)
        self._http.adopt(changes.config.supervise)
        self._prints |= {key: value for key, value in fresh.prints.items() if key not in changes.restart}
        world.refused, world.pending = "", changes.restart
        _tell(self._path, changes)
        return changes


def _read(path: Path, old: DeviceConfig, prints: Mapping[str, bytes]) -> _Fresh:
    """Read everything anew; ConfigError lists all that is wrong. Blocking."""
    new = load_device(path)
    check_secrets(new)
    fresh, changes = _prints(new), compare(old, new)
    same = secrets_in(old).items() & secrets_in(new).items()
    renewed = sorted(key for key, _ in same if key in prints and prints[key] != fresh.get(key))
    kept = new.receiver is not None and new.receiver == old.receiver
    return _Fresh(
        changes=Changes(
            config=changes.config,
            taken=(*changes.taken, *(key for key in renewed if is_live_secret(key))),
            restart=(*changes.restart, *(key for key in renewed if not is_live_secret(key))),
        ),
        endpoints=resolve(changes.config.mail),
        credentials=credentials_of(new.receiver) if kept and new.receiver is not None else None,
        prints=fresh,
    )


def _prints(config: DeviceConfig) -> dict[str, bytes]:
    """Return what tells the contents of the secrets from others, without keeping them; one that is gone is left out."""
    found = {}
    for key, secret in secrets_in(config).items():
        with contextlib.suppress(ValueError):
            found[key] = hashlib.sha256(secret.reveal().encode()).digest()
    return found


def _gist(error: ConfigError) -> str:
    more = len(error.mistakes) - 1
    return f"{error.mistakes[0]}" + (f" (and {plural(more, 'more mistake')})" if more else "")


def _tell(path: Path, changes: Changes) -> None:
    if not changes.taken and not changes.restart:
        log.info("configuration unchanged", file=str(path))
        return
    tell = log.warning if changes.restart else log.info
    tell("configuration taken", file=str(path), taken=list(changes.taken), restart=list(changes.restart))


async def _notes(world: World, before: DeviceConfig) -> list[str]:
    """Return what a person may want to know who has just changed `before` into what the world goes by."""
    notes = []
    with contextlib.suppress(sqlite3.Error):  # what is taken is taken, whether the disk lets it be looked at or not
        for address in sorted(set(before.alerts.recipients) - set(world.config.alerts.recipients)):
            waiting = len(await world.outbox.waiting_alerts(f"mail:{address}", _COUNTED))
            if waiting:
                notes.append(f"on their way to {address}, and not called back: {plural(waiting, 'alert')}")
        released = before.push.upload == "manual" and world.config.push.upload == "auto"
        held = (await world.outbox.counts()).held if released else 0
        if held:
            notes.append(f"held before, to be released by edged outbox retry --all: {plural(held, 'clip')}")
    return notes
