"""The line to the receiver broken at every kind of byte, by both ends' own programs, in virtual time."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from edged.base.errors import DeliveryError, NoAnswerError
from edged.base.secret import Secret
from edged.push.line import Credentials
from edged.push.link import LinkWatch
from edged.push.settings import ProbeSettings, ReceiverSettings
from edged.push.targets.tus import TusTarget
from edged.push.throttle import Pacer
from edged.push.traffic import Counters
from edged.receiver.app import serve
from edged.receiver.settings import ReceiverConfig
from edged.wire.receipt import Proof
from tests.middle import At, How, Middle, Spoil
from tests.push.conftest import known, make_job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.receiver.app import Serving
    from edged.wire.receipt import Receipt
    from tests.push.conftest import Job
    from tests.simloop import SimClock, Simulate

_SIZE = 700_000
_TOKEN = "a-foreign-client"
_SMALL = 256 * 1024  # bytes that one cut may cost


@dataclass
class Field:
    """A device's target, the line to the receiver with what is to happen on it, and the receiver."""

    receiver: Serving
    middle: Middle
    target: TusTarget
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
async def open_field(folder: Path, clock: SimClock, *, foreign: bool = False, **changes: Any) -> AsyncIterator[Field]:
    """Lay out a receiver and a device that speaks its own protocol, or plain tus as a `foreign` client."""
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
        receiver = await stack.enter_async_context(serve(config, clock))
        credentials = Credentials(bearer=_TOKEN) if foreign else Credentials(device="shop", key=await known(receiver))
        middle = await stack.enter_async_context(Middle(receiver.port, lambda *_: None))
        path = "/files" if foreign else ""
        settings = ReceiverSettings(url=f"http://127.0.0.1:{middle.port}{path}", **changes)
        link, counters = LinkWatch(ProbeSettings(), clock, metered=False), Counters()
        target = TusTarget(settings, credentials, pacer=Pacer(lambda: None), link=link, counters=counters, clock=clock)
        stack.push_async_callback(target.close)
        found = Field(receiver=receiver, middle=middle, target=target, link=link, counters=counters)
        middle.choose = found.choose
        yield found


def _cuts(how: How) -> list[tuple[str, dict[str, list[Spoil]]]]:
    """Return every place at which a line can end, in words, with what has to happen to reach it."""
    found = []
    for method in ("POST", "PATCH", "HEAD"):
        for at in At:
            if at is At.BODY and method != "PATCH":
                continue
            spoils = {method: [Spoil(at=at, how=how)]}
            if method == "HEAD":  # which is only asked after an earlier attempt
                spoils["PATCH"] = [Spoil(at=At.BODY)]
            found.append((f"{method} {how} {at}", spoils))
    return found


@pytest.mark.parametrize("foreign", [False, True], ids=["edged's own", "plain tus"])
@pytest.mark.parametrize("how", How)
def test_a_cut_at_any_kind_of_byte_loses_and_doubles_nothing(
    simulate: Simulate, tmp_path: Path, how: How, *, foreign: bool
) -> None:
    """Wherever the line ends, the attempt counts as unanswered, and the next goes on: the file is there once, whole."""

    async def scene(clock: SimClock) -> None:
        async with open_field(tmp_path, clock, foreign=foreign) as place:
            sent = []
            for words, spoils in _cuts(how):
                place.spoils = spoils
                sent.append(os.urandom(_SIZE))
                before, wasted = place.middle.upstream, place.counters.wasted
                receipt, errors = await place.insist(make_job(tmp_path, sent[-1]))
                assert not any(spoils.values()), words
                assert {type(error) for error in errors} == {NoAnswerError}, words
                assert receipt.proof is (Proof.CLAIMED if foreign else Proof.SIGNED), words
                assert place.counters.wasted - wasted < _SMALL, words
                assert place.middle.upstream - before < _SIZE + _SMALL * len(errors), words
            assert sorted(await place.held("tusker" if foreign else "shop")) == sorted(sent)

    simulate(scene)
