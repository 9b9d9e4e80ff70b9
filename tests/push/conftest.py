"""A receiver on loopback, a device that knows it, and a line between them that can be spoiled."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from edged.base.clock import SystemClock
from edged.base.units import Duration
from edged.push.errand import Errand
from edged.push.line import Credentials
from edged.push.link import LinkWatch
from edged.push.settings import ProbeSettings, ReceiverSettings
from edged.push.targets.tus import TusTarget
from edged.push.throttle import Pacer
from edged.push.traffic import Counters
from edged.receiver.app import Serving, serve
from edged.receiver.settings import ReceiverConfig
from edged.wire.keys import new_device_key
from edged.wire.manifest import Manifest
from tests.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from edged.base.clock import Clock


@pytest.fixture
def receiver_config(state_dir: Path) -> ReceiverConfig:
    """The configuration of a receiver on any free port."""
    return ReceiverConfig(state=state_dir, public_url="http://127.0.0.1:1", listen="127.0.0.1:0", name="hq")


@pytest.fixture
async def receiver(receiver_config: ReceiverConfig) -> AsyncIterator[Serving]:
    """A receiver that listens on loopback."""
    async with serve(receiver_config) as serving:
        yield serving


@pytest.fixture
async def proxy(receiver: Serving) -> AsyncIterator[Proxy]:
    """A line to the receiver that can be spoiled."""
    async with Proxy(receiver.port) as line:
        yield line


@pytest.fixture
async def key(receiver: Serving) -> str:
    """The key of device "shop", known to the receiver."""
    return await known(receiver)


async def known(receiver: Serving) -> str:
    """Make device "shop" known to `receiver` and return its key."""
    made = new_device_key()
    await receiver.world.registry.add_device("shop", made, SystemClock().wall(), replace=True)
    return made


@dataclass
class Bench:
    """A tus target with everything it stands on."""

    target: TusTarget
    link: LinkWatch
    counters: Counters
    credentials: Credentials
    settings: ReceiverSettings


@pytest.fixture
async def bench(proxy: Proxy, key: str) -> AsyncIterator[Bench]:
    """Device "shop"'s target, over the proxy."""
    made = make_bench(proxy.port, key)
    yield made
    await made.target.close()


def make_bench(
    port: int, key: str, *, rate: Callable[[], float | None] = lambda: None, clock: Clock | None = None, **changes: Any
) -> Bench:
    """Return a target against the receiver at `port`, with short time limits."""
    limits = {"reply_timeout": Duration(5), "progress_timeout": Duration(2), "connect_timeout": Duration(2)}
    settings = ReceiverSettings(url=f"http://127.0.0.1:{port}", **{**limits, **changes})
    clock = clock or SystemClock()
    link = LinkWatch(ProbeSettings(), clock, metered=False)
    counters = Counters()
    credentials = Credentials(device="shop", key=key)
    target = TusTarget(settings, credentials, pacer=Pacer(rate), link=link, counters=counters, clock=clock)
    return Bench(target=target, link=link, counters=counters, credentials=credentials, settings=settings)


@dataclass
class Job:
    """A file to deliver, and what the target told of it."""

    path: Path
    manifest: Manifest
    url: str | None = None
    held: list[int] = field(default_factory=list)

    def errand(self) -> Errand:
        """Return the errand, going on where the last one stopped."""

        async def created(url: str) -> None:
            self.url = url

        return Errand(
            path=self.path,
            manifest=self.manifest,
            urgency=5,
            upload_url=self.url,
            created=created,
            progress=self.held.append,
            sending=lambda _: None,
        )


def make_manifest(data: bytes = b"", **changes: Any) -> Manifest:
    """Return the manifest of a clip with the bytes `data`."""
    fields: dict[str, Any] = {
        "key": secrets.token_hex(16),
        "kind": "clip",
        "name": "part-001.mp4",
        "content_type": "video/mp4",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "camera": "front",
        "start": 1_780_056_000.0,
    }
    return Manifest(**{**fields, **changes})


def make_job(folder: Path, data: bytes, **changes: Any) -> Job:
    """Write `data` as a clip and return its job."""
    path = folder / "part-001.mp4"
    path.write_bytes(data)
    return Job(path=path, manifest=make_manifest(data, **changes))
