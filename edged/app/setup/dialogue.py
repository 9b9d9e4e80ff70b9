"""`edged setup` on a terminal: the questions in their order. Nothing is written before the last one is answered."""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edged.app.setup import service
from edged.app.setup.answers import Answers, valid_name
from edged.app.setup.box import device_name, timezone
from edged.app.setup.cameras import ask_cameras
from edged.app.setup.mail import ask_mail
from edged.app.setup.pictures import Album
from edged.app.setup.receiver import ask_receiver
from edged.app.setup.terminal import ask, ask_yes, say, title
from edged.app.setup.unattended import fresh
from edged.app.setup.writing import draft, existing, write
from edged.app.trial import mail_trial
from edged.base.clock import SystemClock
from edged.base.errors import EdgedError
from edged.capture.finding.search import find
from edged.push.trial import check_receiver

if TYPE_CHECKING:
    from edged.app.setup.answers import CameraAnswer
    from edged.settings import DeviceConfig

_MAIL_LIMIT = 90.0  # seconds for a test mail


def converse(path: Path, pictures: Path | None) -> int:
    """Ask, try, write the configuration to `path`, check it; return the exit code. `pictures` is where they go."""
    with Album(pictures) as album:
        return _converse(path.absolute(), album)


def _converse(path: Path, album: Album) -> int:
    former, config = existing(path)
    _require_writable(path)
    say("Enter takes what stands in [brackets]. Nothing is written before the end; Ctrl-C leaves all as it is.")
    answers = _box(config)
    answers = replace(answers, cameras=_cameras(config, album))
    if config is None and not answers.cameras:
        raise EdgedError("without a camera there is nothing to watch; nothing was written")
    title("mail")
    answers = replace(answers, mail=ask_mail(config, lambda mail: _send(path, former, replace(answers, mail=mail))))
    title("receiver")
    name = answers.name or (config.device.name if config else "")
    receiver = ask_receiver(config, name, lambda each: _meet(path, former, replace(answers, receiver=each)))
    ring = config is None and receiver is None and _wants_ring()
    return _finish(path, former, replace(answers, receiver=receiver, ring=ring))


def _box(config: DeviceConfig | None) -> Answers:
    """Ask for the name of a new box; its time zone is the system's."""
    if config is not None:
        return Answers()
    title("this box")
    name = ask("Its name, for mails and the receiver", _valid, device_name())
    return Answers(name=name, timezone=timezone())


def _cameras(config: DeviceConfig | None, album: Album) -> tuple[CameraAnswer, ...]:
    title("cameras")
    known = dict(config.cameras) if config else {}
    for name, camera in known.items():
        say(f"configured: {name} ({camera.source} {camera.url.rpartition('@')[2]})".replace(" )", ")"))
    say("looking for cameras ...")
    findings = asyncio.run(find())
    for problem in findings.problems:
        say(f"not all was seen: {problem}")
    new = fresh(findings.cameras, config)
    if not new:
        say("no new camera was found" if known else "no camera was found")
    return ask_cameras(new, known, album)


def _wants_ring() -> bool:
    say("Without a receiver nothing is ever proven to be elsewhere, so clips stay until the disk is full.")
    return ask_yes("When it is, let those of the least value go, so that recording goes on?")


def _send(path: Path, former: str, answers: Answers) -> list[str]:
    """Send a test mail to each recipient."""

    async def each(config: DeviceConfig, recipient: str) -> str:
        try:
            async with asyncio.timeout(_MAIL_LIMIT):
                return await mail_trial(config, recipient, SystemClock())
        except TimeoutError:
            raise EdgedError(f"the server did not take the mail within {_MAIL_LIMIT:g} s") from None

    with tempfile.TemporaryDirectory(prefix="edged-setup-") as folder:
        config = _rehearsed(path, former, answers, Path(folder))
        return [asyncio.run(each(config, recipient)) for recipient in config.alerts.recipients]


def _meet(path: Path, former: str, answers: Answers) -> str:
    """Ask the receiver whether it takes the key."""
    with tempfile.TemporaryDirectory(prefix="edged-setup-") as folder:
        config = _rehearsed(path, former, answers, Path(folder))
        if config.receiver is None:
            raise EdgedError("the configuration names no receiver")
        return asyncio.run(check_receiver(config.receiver, SystemClock()))


def _rehearsed(path: Path, former: str, answers: Answers, folder: Path) -> DeviceConfig:
    """Return the configuration as it would be, with its new secrets in `folder` for as long as that is there."""
    made = draft(path, former, answers, secrets=folder)
    for place, secret in made.secrets.items():
        place.touch(mode=0o600)
        place.write_text(secret)
    return made.config


def _finish(path: Path, former: str, answers: Answers) -> int:
    if former and answers == Answers():
        say("\nnothing is to be changed")
        return 0
    made = draft(path, former, answers)
    if not ask_yes(f"\nWrite {path}?"):
        say("nothing was written")
        return 1
    kept = write(made)
    say(f"written; the former one is {kept}" if kept else "written")
    for place in made.secrets:
        say(f"  {place} holds a secret, for the service alone")
    title("edged check")
    service.check(path)
    service.offer_start(path)
    return 0


def _valid(text: str) -> str:
    if text != valid_name(text):
        raise ValueError(f"{text!r} must be small letters, digits and dashes, like {valid_name(text)}")
    return text


def _require_writable(path: Path) -> None:
    home = next(folder for folder in path.parents if folder.exists())
    if not os.access(home, os.W_OK | os.X_OK):
        raise EdgedError(f"{home} is not writable for this user; run: sudo edged setup")
