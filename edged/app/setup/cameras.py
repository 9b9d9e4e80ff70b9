"""The dialogue on cameras: what was found, what each sees, and addresses that a person knows."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edged.app.setup.answers import CameraAnswer, valid_name
from edged.app.setup.painting import own_colours, paint
from edged.app.setup.sight import local, see
from edged.app.setup.terminal import ask, ask_secret, ask_yes, say
from edged.base.clock import SystemClock
from edged.base.errors import CameraError, EdgedError
from edged.capture.finding.onvif import LoginError, Streams, streams
from edged.settings import CameraSection

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from edged.app.look import Look
    from edged.app.setup.pictures import Album
    from edged.capture.finding.found import Found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where pictures go, and the names that are taken."""

    album: Album
    taken: set[str]


def ask_cameras(found: Sequence[Found], taken: Collection[str], album: Album) -> tuple[CameraAnswer, ...]:
    """Return the cameras that a person wants of those found, and by their address."""
    place = _Place(album=album, taken=set(taken))
    cameras: list[CameraAnswer] = []
    for each in found:
        say(f"\n{each.what}: {each.name} ({each.url or each.service})")
        offered = _of_network(each) if each.kind == "network" else [local(each)]
        cameras += [kept for camera in offered if (kept := _keep(camera, each.kind, place))]
    while url := ask("\nAddress of another camera (rtsp://USER@HOST/PATH; Enter: no more)", _address):
        if kept := _keep(_typed(url), "network", place):
            cameras.append(kept)
    return tuple(cameras)


def _of_network(found: Found) -> list[CameraAnswer]:
    """Ask for the login until the camera takes it, and return its streams."""
    user = ask("  Its user (Enter: leave this camera out)", str)
    while user:
        password = ask_secret("  Its password")
        try:
            told = asyncio.run(streams(found.service, user, password, SystemClock()))
        except LoginError as error:
            say(f"  {error}")
            user = ask("  Its user (Enter: leave this camera out)", str, "")
            continue
        except CameraError as error:
            say(f"  {error}")
            return []
        return [_of_stream(each, password) for each in told]
    return []


def _of_stream(stream: Streams, password: str) -> CameraAnswer:
    say(f"  offers {stream.text}")
    return CameraAnswer(name="", url=stream.url, substream=stream.substream, password=password)


def _typed(url: str) -> CameraAnswer:
    password = ask_secret("  Its password") if urlsplit(url).username else ""
    substream = ask("  Address of a smaller stream of it, for detection (Enter: none)", _address)
    return CameraAnswer(name="", url=url, substream=substream, password=password)


def _address(text: str) -> str:
    """Take an address as the configuration would."""
    if text:
        CameraSection(url=text)
        if "://" not in text and not Path(text).exists():
            raise ValueError(f"there is no {text}; an address is like rtsp://USER@HOST/PATH")
    return text


def _keep(camera: CameraAnswer, kind: str, place: _Place) -> CameraAnswer | None:
    """Show what the camera sees, and return it with a name if it is wanted."""
    shown = _show(camera, place)
    if shown and camera.substream:
        camera = _with_substream(camera)
    if not ask_yes("  Use this camera?" if shown else "  Use it all the same?", default=shown):
        return None
    name = ask("  Its name, for mails and pages", lambda text: _free(text, place.taken), _suggested(kind, place.taken))
    place.taken.add(name)
    return replace(camera, name=name)


def _show(camera: CameraAnswer, place: _Place) -> bool:
    """Show a picture in the terminal and as a file; return whether there is one."""
    say("  taking a picture ...")
    try:
        look = asyncio.run(see(camera))
        picture = look.picture()
    except (EdgedError, ValueError, OSError) as error:
        say(f"  {error}")
        return False
    path = place.album.add(camera.url.rpartition("@")[2] or camera.source, picture)
    if drawn := paint(picture.jpeg, own_colours(os.environ)):
        say(drawn)
    say(f"  {_told(look)}; the picture: {path}")
    return True


def _with_substream(camera: CameraAnswer) -> CameraAnswer:
    """Look through the smaller stream, too; without one that works detection decodes the large one."""
    password = camera.password if urlsplit(camera.substream).username else ""
    small = replace(camera, url=camera.substream, substream="", password=password)
    try:
        say(f"  for detection: {_told(asyncio.run(see(small)))}")
    except (EdgedError, ValueError) as error:
        say(f"  its smaller stream is left out: {error}")
        return replace(camera, substream="")
    return camera


def _told(look: Look) -> str:
    rate = look.packets[-1].stream.rate
    return f"{look.text}{f', {rate:g} pictures a second' if rate else ''}"


def _suggested(kind: str, taken: Collection[str]) -> str:
    return valid_name(f"{kind}-camera", taken)


def _free(text: str, taken: Collection[str]) -> str:
    if text in taken:
        raise ValueError(f"there is a camera {text} already; choose another name")
    if text != valid_name(text):
        raise ValueError(f"{text!r} must be small letters, digits and dashes, like {valid_name(text)}")
    return text
