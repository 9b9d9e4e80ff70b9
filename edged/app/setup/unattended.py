"""`edged setup` without questions: what was found, as a list or as a configuration."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edged.app.setup.answers import Answers, valid_name
from edged.app.setup.box import device_name, timezone
from edged.app.setup.pictures import Album
from edged.app.setup.sight import local, see
from edged.app.setup.writing import draft, existing, write
from edged.base.errors import EdgedError
from edged.capture.finding.search import find

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edged.capture.finding.found import Found
    from edged.capture.finding.search import Findings
    from edged.settings import DeviceConfig


def found(pictures: Path | None, *, as_json: bool) -> str:
    """Return what is found, as JSON or for people; with `pictures` also what each camera of this box sees."""
    findings, album = asyncio.run(find()), Album(pictures)
    seen = {camera: _taken(camera, album) for camera in findings.cameras} if pictures else {}
    if not as_json:
        return "\n".join(lines(findings, seen))
    cameras = [asdict(camera) | dict([seen[camera]] if camera in seen else []) for camera in findings.cameras]
    return json.dumps({"cameras": cameras, "problems": list(findings.problems)})


def lines(findings: Findings, seen: Mapping[Found, tuple[str, str]]) -> list[str]:
    """Return the findings as people read them."""
    told = []
    for each in findings.cameras:
        told.append(f"{each.what}: {each.name} ({each.url or each.service})")
        if each in seen:
            told.append(f"  {seen[each][0]}: {seen[each][1]}")
    return [*(told or ["no camera was found"]), *(f"not all was seen: {problem}" for problem in findings.problems)]


def _taken(camera: Found, album: Album) -> tuple[str, str]:
    """Take a picture and return ("picture", where it is), or ("problem", why there is none)."""
    if camera.kind == "network":
        return "problem", "its picture wants a login: run edged setup on a terminal"
    try:
        picture = asyncio.run(see(local(camera))).picture()
    except (EdgedError, ValueError) as error:
        return "problem", str(error)
    return "picture", str(album.add(f"{camera.kind} {camera.url}", picture))


def configure(path: Path, findings: Findings | None = None) -> list[str]:
    """Write the cameras that were found and are not yet there; return what was done. EdgedError if there is none."""
    former, config = existing(path)
    findings = findings or asyncio.run(find())
    known = config.cameras if config else {}
    new = [camera for camera in fresh(findings.cameras, config) if camera.kind != "network"]  # these want a login
    names = set(known)
    cameras = []
    for camera in new:
        name = valid_name(f"{camera.kind}-camera", names)
        names.add(name)
        cameras.append(local(camera, name))
    if config is not None and not cameras:
        return [f"{path} names every camera that was found: nothing was changed"]
    if not cameras:
        raise EdgedError("\n".join(["nothing was written, for no camera can be used yet:", *lines(findings, {})]))
    box = Answers(name=device_name(), timezone=timezone()) if config is None else Answers()
    made = draft(path, former, Answers(name=box.name, timezone=box.timezone, cameras=tuple(cameras)))
    kept = write(made)
    told = [f"camera {camera.name}: {camera.source} {camera.url}".rstrip() for camera in cameras]
    return [*told, f"written to {path}" + (f", the former one is {kept}" if kept else "")]


def fresh(cameras: Sequence[Found], config: DeviceConfig | None) -> list[Found]:
    """Return those that the configuration does not name yet."""
    known = config.cameras.values() if config else ()
    sensors = {camera.url or "0" for camera in known if camera.source == "picamera"}
    devices = {Path(camera.url).resolve() for camera in known if camera.is_device}
    hosts = {urlsplit(camera.url).hostname for camera in known if "://" in camera.url}
    return [
        each
        for each in cameras
        if (each.kind == "pi" and each.url not in sensors)
        or (each.kind == "usb" and Path(each.url).resolve() not in devices)
        or (each.kind == "network" and urlsplit(each.service).hostname not in hosts)
    ]
