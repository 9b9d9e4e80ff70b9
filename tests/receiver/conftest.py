"""A receiver on loopback, and devices that know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edged.base.clock import SystemClock
from edged.receiver.app import Serving, serve
from edged.receiver.settings import ReceiverConfig
from edged.wire.keys import new_device_key
from tests.receiver.client import Device
from tests.receiver.raw import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


@pytest.fixture
def config(state_dir: Path) -> ReceiverConfig:
    """A receiver's configuration on any free port."""
    return ReceiverConfig(state=state_dir, public_url="http://127.0.0.1:1", listen="127.0.0.1:0", name="hq")


@pytest.fixture
async def receiver(config: ReceiverConfig) -> AsyncIterator[Serving]:
    """A receiver that listens."""
    async with serve(config) as serving:
        yield serving


@pytest.fixture
async def shop(receiver: Serving) -> AsyncIterator[Device]:
    """The device "shop", known to the receiver."""
    async with await known_device(receiver, "shop") as device:
        yield device


@pytest.fixture
async def shed(receiver: Serving) -> AsyncIterator[Device]:
    """The device "shed", known to the receiver."""
    async with await known_device(receiver, "shed") as device:
        yield device


@pytest.fixture
async def dial(receiver: Serving) -> AsyncIterator[Callable[[], Awaitable[Wire]]]:
    """Opens plain connections to the receiver, which end with the test."""
    wires: list[Wire] = []

    async def open_one() -> Wire:
        wires.append(await Wire.open(receiver.port))
        return wires[-1]

    yield open_one
    for wire in wires:
        await wire.close()


async def known_device(receiver: Serving, name: str) -> Device:
    """Make a device known to `receiver` and return it."""
    key, now = new_device_key(), SystemClock().wall()
    await receiver.world.registry.add_device(name, key, now, replace=True)
    return Device(f"http://127.0.0.1:{receiver.port}", name, key, now)
