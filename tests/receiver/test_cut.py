"""Bad lines: whatever arrived before a request broke is kept, and is where the upload goes on."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edged.base.units import Duration
from edged.receiver.app import Serving, serve
from edged.wire import receipt
from tests.receiver.client import manifest_of
from tests.receiver.conftest import known_device
from tests.receiver.raw import Wire, patch_head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edged.receiver.settings import ReceiverConfig
    from tests.receiver.client import Device

if TYPE_CHECKING:
    Dial = Callable[[], Awaitable[Wire]]

DATA = os.urandom(3_000_000)


async def written(config: ReceiverConfig, location: str, least: int) -> None:
    """Wait until `least` bytes reached the disk; the test's own time limit ends a wait in vain."""
    path = config.state / location.replace("/files/", "partial/")
    while path.stat().st_size < least:
        await asyncio.sleep(0.005)


async def taken_in(receiver: Serving) -> None:
    """Wait until a request works on an upload."""
    while not receiver.world.uploads.turns._lanes:
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("count", [1, 1000, 65_536, 200_000, 2_999_999])
async def test_a_cut_request_keeps_every_byte(config: ReceiverConfig, dial: Dial, shop: Device, count: int) -> None:
    """The client vanished after `count` bytes of the body: all of them count, and the rest completes the file."""
    told = manifest_of(DATA)
    location = (await shop.create(told)).headers["Location"]
    wire = await dial()
    await wire.send(patch_head(shop, location, 0, len(DATA)) + DATA[:count])
    await wire.close()
    await written(config, location, count)
    assert (await shop.head(location)).offset == count
    done = await shop.patch(location, count, DATA[count:])
    assert receipt.from_header(done.headers[receipt.HEADER]).sha256 == told.sha256


async def test_a_reset_connection_keeps_what_was_read(dial: Dial, shop: Device) -> None:
    """After a reset the offset is what reached the receiver, and the file comes out right."""
    told = manifest_of(DATA)
    location = (await shop.create(told)).headers["Location"]
    wire = await dial()
    await wire.send(patch_head(shop, location, 0, len(DATA)) + DATA[:100_000])
    wire.reset()
    offset = (await shop.head(location)).offset
    assert 0 <= offset <= 100_000
    done = await shop.patch(location, offset, DATA[offset:])
    assert receipt.from_header(done.headers[receipt.HEADER]).sha256 == told.sha256


async def test_a_stale_request_is_stopped_by_the_next(config: ReceiverConfig, dial: Dial, shop: Device) -> None:
    """A PATCH whose line died hangs; HEAD stops it, tells what it brought, and the upload goes on."""
    told = manifest_of(DATA)
    location = (await shop.create(told)).headers["Location"]
    stale = await dial()
    await stale.send(patch_head(shop, location, 0, len(DATA)) + DATA[:500_000])
    await written(config, location, 200_000)
    offset = (await shop.head(location)).offset
    assert 200_000 <= offset <= 500_000
    assert b" 409 " in await stale.answer()
    assert (await shop.head(location)).offset == offset
    done = await shop.patch(location, offset, DATA[offset:])
    assert receipt.from_header(done.headers[receipt.HEADER]).sha256 == told.sha256


async def test_of_many_rivals_the_newest_wins(dial: Dial, shop: Device) -> None:
    """Five requests for one upload at once: the last one in is served, the others are told the offset is not theirs."""
    location = (await shop.create(manifest_of(DATA))).headers["Location"]
    wires = []
    for number in range(5):
        wires.append(await dial())
        await wires[-1].send(patch_head(shop, location, 0, len(DATA)) + DATA[:number])
    answer = await shop.head(location)
    assert answer.status == 200
    assert answer.offset < 5
    for wire in wires:
        assert b" 409 " in await wire.answer()


async def test_an_idle_request_is_ended(config: ReceiverConfig) -> None:
    """Without a byte for too long the connection is closed with a sentence, and the bytes stay."""
    patient = replace(config, limits=replace(config.limits, idle=Duration(0.05)))
    async with serve(patient) as serving, await known_device(serving, "shop") as shop:
        location = (await shop.create(manifest_of(DATA))).headers["Location"]
        wire = await Wire.open(serving.port)
        await wire.send(patch_head(shop, location, 0, len(DATA)) + DATA[:1234])
        assert b" 408 " in await wire.answer()
        await wire.close()
        assert (await shop.head(location)).offset == 1234


async def test_a_stop_keeps_what_arrived(config: ReceiverConfig) -> None:
    """The receiver stops in the middle of a PATCH: bytes on the disk, a 503 to the device, and on it goes."""
    told = manifest_of(DATA)
    async with serve(config) as serving:
        shop = await known_device(serving, "shop")
        location = (await shop.create(told)).headers["Location"]
        wire = await Wire.open(serving.port)
        await wire.send(patch_head(shop, location, 0, len(DATA)) + DATA[:700_000])
        await written(config, location, 1)
    assert b" 503 " in await wire.answer()
    await wire.close()
    await shop._session.close()
    async with serve(config) as serving, await known_device(serving, "shop") as again:
        offset = (await again.head(location)).offset
        assert 0 < offset <= 700_000
        done = await again.patch(location, offset, DATA[offset:])
        assert receipt.from_header(done.headers[receipt.HEADER]).sha256 == told.sha256


async def test_a_chunked_body_is_taken(dial: Dial, shop: Device) -> None:
    """A client that can't say how much it sends may send it in chunks."""
    told = manifest_of(b"hello")
    location = (await shop.create(told)).headers["Location"]
    wire = await dial()
    await wire.send(patch_head(shop, location, 0, None) + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
    assert b" 204 " in await wire.head()


async def test_more_than_announced_is_refused(dial: Dial, shop: Device) -> None:
    """Bytes beyond the upload's end never reach the disk."""
    told = manifest_of(b"hello")
    location = (await shop.create(told)).headers["Location"]
    wire = await dial()
    await wire.send(patch_head(shop, location, 0, None) + b"7\r\nhello!!\r\n0\r\n\r\n")
    assert b" 413 " in await wire.head()
    assert (await shop.head(location)).offset == 5


async def test_a_malformed_chunk_is_the_clients_fault(config: ReceiverConfig) -> None:
    """What came before it is kept; the answer is no 5xx, and comes at the latest when nothing more does."""
    patient = replace(config, limits=replace(config.limits, idle=Duration(0.1)))
    async with serve(patient) as serving, await known_device(serving, "shop") as shop:
        location = (await shop.create(manifest_of(b"hello"))).headers["Location"]
        wire = await Wire.open(serving.port)
        await wire.send(patch_head(shop, location, 0, None) + b"3\r\nhel\r\n")
        await taken_in(serving)
        await wire.send(b"ZZ\r\nlo\r\n")
        assert (await wire.answer()).startswith(b"HTTP/1.1 4")
        await wire.close()
        assert (await shop.head(location)).offset == 3
