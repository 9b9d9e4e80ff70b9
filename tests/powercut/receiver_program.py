"""A receiver that is used for a while: python -m tests.powercut.receiver_program STATE UPLOADS SEED.

The real receiver on loopback, and devices that send, break off, resume, give up and ask for receipts. Each answer is
said on stdout after it came: what is acknowledged must hold whatever happens to the power then.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from edged.base.clock import SystemClock
from edged.base.log import configure
from edged.receiver.app import Serving, serve
from edged.receiver.settings import ReceiverConfig
from edged.wire import heartbeat, receipt
from edged.wire.heartbeat import Heartbeat
from tests.powercut.device_program import say
from tests.receiver.client import Device, manifest_of
from tests.receiver.raw import Wire, patch_head

if TYPE_CHECKING:
    from edged.wire.manifest import Manifest

KEY = "k" * 43
DEVICES = ("shop", "shed")
SHARED = b"two incidents with equal bytes" * 100


def config_of(state: Path) -> ReceiverConfig:
    """Return the receiver's configuration."""
    return ReceiverConfig(state=state, public_url="http://127.0.0.1:1", listen="127.0.0.1:0", name="hq")


def content(key: str, size: int) -> bytes:
    """Return the bytes of the upload `key`, the same for whoever asks."""
    return SHARED if size == len(SHARED) else Random(key).randbytes(size)


async def work(state: Path, uploads: int, seed: int) -> None:
    """Serve, and let both devices work at once."""
    async with serve(config_of(state)) as serving:
        registry, now = serving.world.registry, SystemClock().wall()
        for name in DEVICES:
            if await registry.device(name) is None:
                await registry.add_device(name, KEY, now, replace=False)
        say(devices=list(DEVICES))
        await asyncio.gather(*(use(serving, name, uploads, Random(f"{name}{seed}")) for name in DEVICES))


async def use(serving: Serving, name: str, uploads: int, rng: Random) -> None:
    """Be one device."""
    async with Device(f"http://127.0.0.1:{serving.port}", name, KEY, SystemClock().wall()) as device:
        for number in range(uploads):
            size = len(SHARED) if number % 4 == 3 else rng.randrange(1, 9_000)
            told = manifest_of(
                content(key := f"{rng.getrandbits(128):032x}", size), key=key, incident=key[::-1], part=1
            )
            await send(device, told, rng, serving.port)
            await beat(device, number + 1)


async def send(device: Device, told: Manifest, rng: Random, port: int) -> None:
    """Send one file in pieces, some of them broken off; now and then it is given up."""
    location = (await device.create(told)).headers["Location"]
    say(created=[device.name, location, told.key, told.size])
    data, offset = content(told.key, told.size), 0
    if rng.random() < 0.15:
        say(leaving=location)
        await device.request("DELETE", location, {"Tus-Resumable": "1.0.0"})
        return
    while offset < told.size:
        piece = rng.randrange(1, told.size - offset + 1)
        if rng.random() < 0.3:
            wire = await Wire.open(port)
            await wire.send(patch_head(device, location, offset, told.size - offset) + data[offset : offset + piece])
            await wire.close()
            offset = (await device.head(location)).offset
        else:
            answer = await device.patch(location, offset, data[offset : offset + piece])
            offset = answer.offset
        say(offset=[location, offset])
    proof = receipt.from_json((await device.request("GET", f"/receipts/{told.key}")).body)
    say(receipt=[device.name, proof.key, proof.sha256])


async def beat(device: Device, sequence: int) -> None:
    """Send a heartbeat."""
    beat = Heartbeat(version="1", time=device.now, synced=True, boot="boot-1", sequence=sequence)
    answer = await device.request("POST", heartbeat.PATH, {}, heartbeat.pack(beat, [])[0])
    say(sequence=[device.name, json.loads(answer.body)["sequence"]])


def main() -> None:
    """Run from the command line."""
    configure(style="json", level="error")
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))


if __name__ == "__main__":
    main()
