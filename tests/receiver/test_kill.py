"""The receiver killed with SIGKILL at random moments of an upload: nothing acknowledged is lost, the hash is right."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from edged.base.clock import SystemClock
from edged.receiver import admin
from edged.wire import receipt
from tests.receiver.client import Device, manifest_of
from tests.receiver.raw import Wire, patch_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edged.receiver.settings import ReceiverConfig

DATA = os.urandom(6_000_000)
PIECE = 400_000


@asynccontextmanager
async def running(
    config: ReceiverConfig, key: str, *, before: tuple[str, ...] = ()
) -> AsyncIterator[tuple[Device, int, asyncio.subprocess.Process]]:
    """Run `edged receive` as a process of its own; yields a device, the port and the process.

    `before` is a command that runs it, such as strace.
    """
    file = config.state.parent / "receiver.toml"
    file.write_text(f'state = "{config.state}"\npublic_url = "http://127.0.0.1:1"\nlisten = "127.0.0.1:0"\n')
    command = "from edged.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(*before, sys.executable, "-c", command, "receive", "--config", str(file)), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            while not (found := re.search(rb"receiver listens.* port=(\d+)", line := await process.stderr.readline())):
                assert line, "the receiver ended before it listened"
        port = int(found[1])
        async with Device(f"http://127.0.0.1:{port}", "shop", key, SystemClock().wall()) as shop:
            yield shop, port, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def resume(device: Device, location: str) -> int:
    """Return the offset after a restart."""
    answer = await device.head(location)
    assert answer.status == 200
    return answer.offset


async def test_killed_in_the_middle_of_a_patch(config: ReceiverConfig) -> None:
    """Three times killed while bytes stream in: each time the offset is at least what was acknowledged."""
    key = await admin.add_device(config, "shop")
    told, location, acknowledged = manifest_of(DATA), "", 0
    for attempt in range(3):
        async with running(config, key) as (shop, port, process):
            location = location or (await shop.create(told)).headers["Location"]
            offset = await resume(shop, location)
            assert offset >= acknowledged
            acknowledged = (await shop.patch(location, offset, DATA[offset : offset + PIECE])).offset
            wire = await Wire.open(port)
            await wire.send(patch_head(shop, location, acknowledged, len(DATA) - acknowledged))
            await wire.send(DATA[acknowledged : acknowledged + PIECE * (attempt + 1)])
            process.kill()
            await wire.close()
    async with running(config, key) as (shop, _, _):
        offset = await resume(shop, location)
        assert offset >= acknowledged
        done = await shop.patch(location, offset, DATA[offset:])
        proof = receipt.from_header(done.headers[receipt.HEADER])
        assert proof.sha256 == told.sha256
        assert receipt.verify(proof, key)


async def test_killed_while_it_finishes(config: ReceiverConfig) -> None:
    """Killed right after the last byte: the file is there once, whether its answer came or not."""
    key = await admin.add_device(config, "shop")
    told = manifest_of(DATA[:1_000_000])
    async with running(config, key) as (shop, port, process):
        location = (await shop.create(told)).headers["Location"]
        wire = await Wire.open(port)
        await wire.send(patch_head(shop, location, 0, told.size) + DATA[: told.size])
        process.kill()
        await wire.close()
    async with running(config, key) as (shop, _, _):
        assert (await shop.create(told)).headers["Location"] == location
        offset = await resume(shop, location)
        await shop.patch(location, offset, DATA[offset : told.size])
        answer = await shop.request("GET", f"/receipts/{told.key}")
        assert receipt.from_json(answer.body).sha256 == told.sha256


async def test_a_term_signal_ends_it_in_order(config: ReceiverConfig) -> None:
    """SIGTERM: exit code 0, and the address is free."""
    async with running(config, await admin.add_device(config, "shop")) as (_, port, process):
        process.terminate()
        assert await process.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            await Wire.open(port)
