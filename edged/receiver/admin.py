"""What the commands do to the receiver's devices and accounts, whether it runs or not."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edged.base.clock import SystemClock
from edged.base.errors import AlreadyRunningError, EdgedError
from edged.base.lock import hold
from edged.receiver import passwords
from edged.receiver.opening import open_sound
from edged.receiver.registry import Registry
from edged.receiver.store import open_store
from edged.receiver.vault import Vault
from edged.wire.keys import is_device_name, new_device_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edged.receiver.settings import ReceiverConfig


async def add_device(config: ReceiverConfig, name: str, *, replace: bool = False) -> str:
    """Enter a device and return its key, which is shown this once; EdgedError if the name is taken or unfit."""
    _check_name(name)
    if name in config.tokens:
        raise EdgedError(f"{name!r} is the name of a bearer token in the configuration: choose another")
    key = new_device_key()
    async with _registry(config) as registry:
        if not await registry.add_device(name, key, SystemClock().wall(), replace=replace):
            raise EdgedError(
                f"there is a device {name!r} already: give it a new key with --replace, or choose another name"
            )
    return key


async def remove_device(config: ReceiverConfig, name: str) -> None:
    """Remove a device, so that its key is refused from now on; its files stay until retention takes them."""
    async with _registry(config) as registry:
        if not await registry.remove_device(name):
            raise EdgedError(f"there is no device {name!r}")


async def list_devices(config: ReceiverConfig) -> list[dict[str, object]]:
    """Return the devices as rows for a table."""
    async with _registry(config) as registry:
        return [
            {
                "name": device.name,
                "added": _time(device.added),
                "last heartbeat": _time(device.heard) or "never",
                "version": device.heartbeat.version if device.heartbeat else "-",
                "waiting": device.heartbeat.waiting if device.heartbeat else "-",
            }
            for device in await registry.devices()
        ]


async def add_user(config: ReceiverConfig, name: str, password: str) -> None:
    """Make a login, or give a known one a new password, which ends its sessions; EdgedError if either is unfit."""
    _check_name(name)
    try:
        hashed = await asyncio.to_thread(passwords.hash_password, password)
    except ValueError as error:
        raise EdgedError(str(error)) from error
    async with _registry(config) as registry:
        await registry.add_account(name, hashed, SystemClock().wall())


async def remove_user(config: ReceiverConfig, name: str) -> None:
    """Remove a login and end its sessions."""
    async with _registry(config) as registry:
        if not await registry.remove_account(name):
            raise EdgedError(f"there is no user {name!r}")


async def list_users(config: ReceiverConfig) -> list[dict[str, object]]:
    """Return the logins as rows for a table."""
    async with _registry(config) as registry:
        return [{"name": name, "added": _time(added)} for name, added in await registry.accounts()]


@contextlib.asynccontextmanager
async def _registry(config: ReceiverConfig) -> AsyncIterator[Registry]:
    vault = Vault(config.state, require_mount=config.require_mount)
    await asyncio.to_thread(vault.prepare)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(vault.lock))
            alone = True
        except AlreadyRunningError:
            alone = False  # the receiver runs: it alone folds the WAL in, this only adds a row to it
        if alone:  # as the receiver would: a lost database must not begin anew with this one device in it
            store, _ = await open_sound(vault, SystemClock())
        else:
            store = await open_store(vault.database, checkpoints=False)
        try:
            yield Registry(store.database)
        finally:
            await store.database.close()


def _check_name(name: str) -> None:
    if not is_device_name(name):
        raise EdgedError(
            f"{name!r} is no name: use up to 64 letters, digits and . _ - beginning with a letter or digit"
        )


def _time(unix: float | None) -> str | None:
    return None if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
