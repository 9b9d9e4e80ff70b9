"""Trials of the receiver for `edged check`: is it there, does it take our key, does it give back what it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yarl import URL

from edged.push.errand import Errand
from edged.push.line import Line, Request, credentials_of
from edged.push.link import LinkWatch
from edged.push.replies import refusal
from edged.push.targets.tus import TusTarget
from edged.push.throttle import Pacer
from edged.push.traffic import Counters

if TYPE_CHECKING:
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.push.line import Credentials
    from edged.push.settings import PushSettings, ReceiverSettings
    from edged.wire.manifest import Manifest
    from edged.wire.receipt import Receipt


async def check_receiver(receiver: ReceiverSettings, clock: Clock) -> str:
    """Ask the receiver whether it is there and accepts our key; return a sentence, raise a DeliveryError else."""
    credentials = credentials_of(receiver)
    line = Line(receiver, credentials, clock=clock, link=None, traffic=Counters().line())
    doing = "use the receiver"
    try:
        request = (
            Request(method="GET", url=URL(receiver.url) / "probe")
            if credentials.signs
            else Request(method="OPTIONS", url=URL(receiver.url))
        )
        answer = await line.ask(request, doing=doing)
        if not answer.good:
            raise refusal(answer, doing)
    finally:
        await line.close()
    key = f"the key of {receiver.device} is accepted" if credentials.signs else "a foreign tus server"
    return f"{receiver.url} answers within {answer.seconds * 1000:.0f} ms, {key}"


async def send_and_fetch(
    receiver: ReceiverSettings, path: Path, manifest: Manifest, *, push: PushSettings, clock: Clock
) -> tuple[Receipt, bytes | None]:
    """Upload the file and return its verified receipt and what the receiver gives back for it (None: foreign)."""
    credentials, counters = credentials_of(receiver), Counters()
    link = LinkWatch(push.probe, clock, metered=push.metered)
    pacer = Pacer(lambda: push.rate)
    target = TusTarget(receiver, credentials, pacer=pacer, link=link, counters=counters, clock=clock)
    try:
        receipt = await target.deliver(
            Errand(
                path=path,
                manifest=manifest,
                urgency=5,
                upload_url=None,
                created=_forget,
                progress=lambda _: None,
                sending=lambda _: None,
            )
        )
    finally:
        await target.close()
    if not credentials.signs:
        return receipt, None
    return receipt, await _fetch(receiver, credentials, manifest.key, counters, clock)


async def _fetch(
    receiver: ReceiverSettings, credentials: Credentials, key: str, counters: Counters, clock: Clock
) -> bytes:
    line = Line(receiver, credentials, clock=clock, link=None, traffic=counters.line())
    data = bytearray()
    doing = "fetch the clip back"
    try:
        url = URL(receiver.url) / "clips" / key
        answer = await line.ask(Request(method="GET", url=url, sink=data.extend), doing=doing)
        if not answer.good:
            raise refusal(answer, doing)
    finally:
        await line.close()
    return bytes(data)


async def _forget(_url: str) -> None:
    """Take the upload's address: a trial is not resumed."""
