"""A device's way to the receiver with a man in the middle of it, for tests that break it."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edged.base.errors import DeliveryError
from edged.base.secret import Secret
from edged.push.line import Credentials
from edged.push.link import LinkWatch
from edged.push.settings import ProbeSettings, ReceiverSettings
from edged.push.targets.tus import TusTarget
from edged.push.throttle import Pacer
from edged.push.traffic import Counters
from edged.receiver.app import serve
from edged.receiver.settings import ReceiverConfig
from tests.middle import Middle, Spoil
from tests.push.conftest import known

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import trustme

    from edged.base.clock import Clock
    from edged.receiver.app import Serving
    from edged.wire.receipt import Receipt
    from tests.push.conftest import Job

_TOKEN = "a-foreign-client"


@dataclass
class Field:
    """A device's target, the line to the receiver with what is to happen on it, and the receiver."""

    receiver: Serving
    middle: Middle
    target: TusTarget
    credentials: Credentials
    link: LinkWatch
    counters: Counters
    spoils: dict[str, list[Spoil]] = field(default_factory=dict)  # by method, each used once

    def choose(self, method: str, _path: str) -> Spoil | None:
        """Return the fault of the next exchange."""
        waiting = self.spoils.get(method)
        return waiting.pop(0) if waiting else None

    async def insist(self, job: Job) -> tuple[Receipt, list[DeliveryError]]:
        """Deliver until it succeeds; the receipt, and what the attempts before it ended in."""
        errors: list[DeliveryError] = []
        while True:
            try:
                return await self.target.deliver(job.errand()), errors
            except DeliveryError as error:
                errors.append(error)
                assert len(errors) < 9, errors
                await asyncio.sleep(5)

    async def held(self, owner: str) -> list[bytes]:
        """Return the contents of all that the receiver holds of `owner`, each as often as it is there."""
        files = [file for file in await self.receiver.world.store.oldest(float("inf"), 100) if file.owner == owner]
        return [self.receiver.world.vault.blob(file.sha256).read_bytes() for file in files]


@asynccontextmanager
async def open_field(
    folder: Path,
    clock: Clock,
    *,
    foreign: bool = False,
    tls: trustme.LeafCert | None = None,
    receiver_clock: Clock | None = None,
    host: str = "127.0.0.1",
    **changes: Any,
) -> AsyncIterator[Field]:
    """Lay out a receiver and a device that speaks its own protocol, or plain tus as a `foreign` client.

    With a certificate in `tls` the line's other end speaks TLS. `changes` go to the device's settings of the receiver.
    """
    state = folder / "receiver"
    state.mkdir(mode=0o700, exist_ok=True)
    os.environ["EDGED_TEST_TOKEN"] = _TOKEN
    config = ReceiverConfig(
        state=state,
        public_url="http://127.0.0.1:1",
        listen="127.0.0.1:0",
        name="hq",
        tokens={"tusker": Secret("env", "EDGED_TEST_TOKEN")},
    )
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(serve(config, receiver_clock or clock))
        credentials = Credentials(bearer=_TOKEN) if foreign else Credentials(device="shop", key=await known(receiver))
        context = None
        if tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.configure_cert(context)
        middle = await stack.enter_async_context(Middle(receiver.port, lambda *_: None, tls=context))
        root = f"{'http' if tls is None else 'https'}://{host}:{middle.port}"
        settings = ReceiverSettings(url=f"{root}/files" if foreign else root, **changes)
        link, counters = LinkWatch(ProbeSettings(), clock, metered=False), Counters()
        target = TusTarget(settings, credentials, pacer=Pacer(lambda: None), link=link, counters=counters, clock=clock)
        stack.push_async_callback(target.close)
        found = Field(
            receiver=receiver, middle=middle, target=target, credentials=credentials, link=link, counters=counters
        )
        middle.choose = found.choose
        yield found
