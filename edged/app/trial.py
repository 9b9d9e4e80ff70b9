"""`edged check --send`: a clip really uploaded, proven and played back, and a test mail really sent."""

from __future__ import annotations

import asyncio
import hashlib
import io
import secrets
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error

from edged.base.clock import Clock, stamp
from edged.base.errors import EdgedError
from edged.capture.settings import CameraSettings
from edged.capture.synthetic import SyntheticCamera
from edged.channels.content import Letterhead, Notice
from edged.channels.render import render_message
from edged.channels.smtp import Mailer, resolve
from edged.model import Packet
from edged.push.trial import send_and_fetch
from edged.record.clip import Label, Part
from edged.wire.manifest import Manifest

if TYPE_CHECKING:
    from edged.push.settings import ReceiverSettings
    from edged.settings import DeviceConfig

_PICTURES = 15


async def upload_trial(config: DeviceConfig, receiver: ReceiverSettings, clock: Clock) -> str:
    """Upload a drawn clip of a second, verify the receipt, play it back from there; return a sentence on it."""
    with tempfile.TemporaryDirectory(prefix="edged-check-") as folder:
        path = Path(folder) / "edged-check.mp4"
        await asyncio.to_thread(_draw, path, clock)
        data = await asyncio.to_thread(path.read_bytes)
        manifest = Manifest(
            key=f"check-{secrets.token_hex(8)}",
            kind="document",
            name=path.name,
            content_type="video/mp4",
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        receipt, fetched = await send_and_fetch(receiver, path, manifest, push=config.push, clock=clock)
    sentence = f"{len(data):,} bytes uploaded, receipt with proof: {receipt.proof}"
    if fetched is None:
        return f"{sentence} (a foreign server: not played back)"
    if hashlib.sha256(fetched).hexdigest() != manifest.sha256:
        raise EdgedError("what the receiver gives back is not what was sent to it")
    pictures = await asyncio.to_thread(_play, fetched)
    return f"{sentence}; fetched back, equal, {pictures} pictures played"


async def mail_trial(config: DeviceConfig, recipient: str, clock: Clock) -> str:
    """Send a test mail to `recipient`; return a sentence on who took it."""
    now = stamp(clock)
    text = "A person asked for this test (`edged check --send` or `edged setup`). Mails of this device arrive here."
    message = await asyncio.to_thread(
        render_message,
        Notice(title="Test mail", text=text, at=now, test=True),
        Letterhead(device=config.device.name, site=config.device.title, timezone=config.device.timezone, written=now),
        sender=config.mail.sender,
        recipient=recipient,
        key=secrets.token_hex(16),
    )
    mailer = Mailer(config.mail, await asyncio.to_thread(resolve, config.mail), clock)
    accepted = await mailer.send(message, recipient=recipient)
    return f"to {recipient}: {accepted.relay} answered {accepted.answer}"


def _draw(path: Path, clock: Clock) -> None:
    """Write a second of the synthetic camera's scene as a clip."""
    settings = CameraSettings(source="synthetic", size="320x240", rate=float(_PICTURES), speed="full")
    camera = SyntheticCamera("check", settings, clock=clock, epochs=count(1))
    label = Label(incident="", camera="check", part=1, start=stamp(clock))
    camera.open()
    part: Part | None = None
    try:
        packets = (got for got in camera.read() if isinstance(got, Packet))
        for packet, _ in zip(packets, range(_PICTURES), strict=False):
            part = part or Part(path, packet, label, fragment=0.5)
            part.write(packet)
    finally:
        camera.close()
    if part is None:
        raise EdgedError("the drawn test clip came out empty")
    part.seal()


def _play(data: bytes) -> int:
    try:
        with av.open(io.BytesIO(data), "r") as container:
            return len(list(container.decode(video=0)))
    except av.error.FFmpegError as error:
        raise EdgedError(f"what the receiver gives back can't be played: {error}") from error
