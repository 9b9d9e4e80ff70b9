"""What a person, or the box itself, answered, and the settings that follow from it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from edged.app.setup.editing import Change, Value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from edged.channels.settings import Security

_LONGEST_NAME = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraAnswer:
    """A camera; of `password` ("" without one) the configuration names only the file."""

    name: str
    source: Literal["picamera", "stream"] = "stream"
    url: str = ""
    substream: str = ""
    size: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class MailAnswer:
    """The relay, who sends and who is told."""

    sender: str
    recipients: tuple[str, ...]
    host: str
    security: Security
    port: int | None = None  # unset: as `security` has it
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiverAnswer:
    """The receiver, this device's name there and its key."""

    url: str
    device: str
    key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """All of it; what is None or missing stays as it is."""

    name: str = ""
    timezone: str = ""
    cameras: tuple[CameraAnswer, ...] = ()
    mail: MailAnswer | None = None
    receiver: ReceiverAnswer | None = None
    ring: bool = False  # without a receiver: what has the least value goes when the disk is full


def changes(answers: Answers, secrets: Path) -> list[Change]:
    """Return the settings; `secrets` is the folder of the files that hold passwords and keys."""
    return list(_changes(answers, secrets))


def secret_files(answers: Answers, secrets: Path) -> dict[Path, str]:
    """Return what is to be in which file there."""
    found = {secrets / camera_secret(camera.name): camera.password for camera in answers.cameras if camera.password}
    if answers.mail is not None and answers.mail.user:
        found[secrets / "mail"] = answers.mail.password
    if answers.receiver is not None:
        found[secrets / "receiver"] = answers.receiver.key
    return found


def camera_secret(name: str) -> str:
    """Return the name of the file with a camera's password."""
    return f"camera-{name}"


def valid_name(text: str, taken: Collection[str] = ()) -> str:
    """Return `text` as a name that the configuration takes: small letters, digits, dashes; none of `taken`."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST_NAME].strip("-") or "edged"
    number, tried = 1, name
    while tried in taken:
        number += 1
        tried = f"{name[: _LONGEST_NAME - 1 - len(str(number))]}-{number}"
    return tried


def _changes(answers: Answers, secrets: Path) -> Iterator[Change]:
    for key in ("name", "timezone"):
        if value := getattr(answers, key):
            yield Change(table=("device",), key=key, value=value)
    for camera in answers.cameras:
        yield from _camera(camera, secrets)
    if answers.mail is not None:
        yield from _mail(answers.mail, secrets)
    if answers.receiver is not None:
        yield from _receiver(answers.receiver, secrets)
    if answers.ring:
        yield Change(table=("outbox",), key="delete_undelivered", value=True)


def _camera(camera: CameraAnswer, secrets: Path) -> Iterator[Change]:
    given: dict[str, Value | None] = {
        "source": camera.source,
        "url": camera.url or None,
        "password": _file(secrets / camera_secret(camera.name)) if camera.password else None,
        "substream": camera.substream or None,
        "size": camera.size or None,
    }
    for key, value in given.items():
        yield Change(table=("cameras", camera.name), key=key, value=value)


def _mail(mail: MailAnswer, secrets: Path) -> Iterator[Change]:
    yield Change(table=("alerts",), key="recipients", value=list(mail.recipients))
    yield Change(table=("mail",), key="sender", value=mail.sender)
    given: dict[str, Value | None] = {
        "host": mail.host,
        "security": str(mail.security),
        "port": mail.port,
        "user": mail.user or None,
        "password": _file(secrets / "mail") if mail.user else None,
    }
    for key, value in given.items():
        yield Change(table=("mail", "relays"), key=key, value=value, listed=True)


def _receiver(receiver: ReceiverAnswer, secrets: Path) -> Iterator[Change]:
    given: dict[str, Value | None] = {
        "url": receiver.url,
        "device": receiver.device,
        "key": _file(secrets / "receiver"),
        "bearer": None,  # of a foreign server that stood there
        "readback": None,
    }
    for key, value in given.items():
        yield Change(table=("receiver",), key=key, value=value)


def _file(path: Path) -> dict[str, str]:
    return {"file": str(path)}
