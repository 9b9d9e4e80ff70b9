"""The commands' side: devices and logins, whether the receiver runs or not."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edged.base.errors import AlreadyRunningError, EdgedError
from edged.receiver import admin
from edged.receiver.app import serve
from edged.wire import receipt
from tests.receiver.client import Device, manifest_of

if TYPE_CHECKING:
    from pathlib import Path

    from edged.receiver.app import Serving
    from edged.receiver.settings import ReceiverConfig


async def test_a_device_added_beside_a_running_receiver_can_upload(config: ReceiverConfig, receiver: Serving) -> None:
    """At once; a replaced key is refused at once."""
    key = await admin.add_device(config, "shop")
    now = receiver.world.clock.wall()
    async with Device(f"http://127.0.0.1:{receiver.port}", "shop", key, now) as shop:
        assert receipt.verify(await shop.upload(b"one"), key)
        await admin.add_device(config, "shop", replace=True)
        assert (await shop.create(manifest_of(b"two"))).status == 401
    (row,) = await admin.list_devices(config)
    assert (row["name"], row["last heartbeat"], row["version"], row["waiting"]) == ("shop", "never", "-", "-")


async def test_names_and_repeats_are_refused(config: ReceiverConfig) -> None:
    """With a sentence on what to do."""
    await admin.add_device(config, "shop")
    with pytest.raises(EdgedError, match="--replace"):
        await admin.add_device(config, "shop")
    with pytest.raises(EdgedError, match="is no name"):
        await admin.add_device(config, "a/b")
    await admin.remove_device(config, "shop")
    with pytest.raises(EdgedError, match="no device"):
        await admin.remove_device(config, "shop")
    with pytest.raises(EdgedError, match="8 characters"):
        await admin.add_user(config, "ann", "short")
    with pytest.raises(EdgedError, match="no user"):
        await admin.remove_user(config, "ann")


async def test_logins(config: ReceiverConfig) -> None:
    """They are listed and removed, and the database is for its owner's eyes only."""
    await admin.add_user(config, "ann", "correct horse")
    await admin.add_user(config, "ann", "another horse")
    assert [row["name"] for row in await admin.list_users(config)] == ["ann"]
    await admin.remove_user(config, "ann")
    assert await admin.list_users(config) == []
    assert stat.S_IMODE((config.state / "receiver.db").stat().st_mode) == 0o600


async def test_a_taken_port_is_told(config: ReceiverConfig, receiver: Serving, tmp_path: Path) -> None:
    """With the setting to change."""
    (tmp_path / "other").mkdir(mode=0o700)
    second = replace(config, state=tmp_path / "other", listen=f"127.0.0.1:{receiver.port}")
    with pytest.raises(EdgedError, match="choose another address in listen"):
        async with serve(second):
            pass


async def test_a_state_directory_that_is_a_file_is_told(config: ReceiverConfig, tmp_path: Path) -> None:
    """With the setting to change."""
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgedError, match="see state"):
        async with serve(replace(config, state=tmp_path / "file" / "state")):
            pass


async def test_two_receivers_can_not_share_a_directory(config: ReceiverConfig, receiver: Serving) -> None:
    """The second one says who holds it."""
    with pytest.raises(AlreadyRunningError, match="held by another"):
        async with serve(config):
            pass
