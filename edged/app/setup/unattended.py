"""`edged setup` without questions: what was found, as a list or as a configuration."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged.app.setup.answers import Answers, CameraAnswer, valid_name
from edged.app.setup.box import device_name, timezone
from edged.app.setup.writing import draft, existing, write
from edged.base.errors import EdgedError
from edged.capture.finding.search import find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edged.capture.finding.found import Found
    from edged.capture.finding.search import Findings
    from edged.settings import DeviceConfig

KINDS = {"pi": "Pi camera", "usb": "USB camera", "network": "network camera"}


def as_json(findings: Findings) -> dict[str, Any]:
    """Return the findings as scripts read them."""
    return {"cameras": [asdict(camera) for camera in findings.cameras], "problems": list(findings.problems)}


def lines(findings: Findings) -> list[str]:
    """Return the findings as people read them."""
    told = [f"{KINDS[each.kind]}: {each.name} ({each.url or each.service})" for each in findings.cameras]
    return [*(told or ["no camera was found"]), *(f"not all was seen: {problem}" for problem in findings.problems)]


def configure(path: Path, findings: Findings | None = None) -> list[str]:
    """Write the cameras that were found and are not yet there; return what was done. EdgedError if there is none."""
    former, config = existing(path)
    findings = findings or asyncio.run(find())
    known = config.cameras if config else {}
    new = fresh(findings.cameras, config)
    names = set(known)
    cameras = []
    for camera in new:
        name = valid_name(f"{camera.kind}-camera", names)
        names.add(name)
        cameras.append(CameraAnswer(name=name, source=camera.source, url=camera.url, size=camera.size))
    if config is not None and not cameras:
        return [f"{path} names every camera that was found: nothing was changed"]
    if not cameras:
        raise EdgedError("\n".join(["nothing was written, for no camera can be used yet:", *lines(findings)]))
    box = Answers(name=device_name(), timezone=timezone()) if config is None else Answers()
    made = draft(path, former, Answers(name=box.name, timezone=box.timezone, cameras=tuple(cameras)))
    kept = write(made)
    told = [f"camera {camera.name}: {camera.source} {camera.url}".rstrip() for camera in cameras]
    return [*told, f"written to {path}" + (f", the former one is {kept}" if kept else "")]


def fresh(cameras: Sequence[Found], config: DeviceConfig | None) -> list[Found]:
    """Return those that the configuration does not name yet, of those that need no login."""
    known = config.cameras.values() if config else ()
    sensors = {camera.url or "0" for camera in known if camera.source == "picamera"}
    devices = {Path(camera.url).resolve() for camera in known if camera.is_device}
    return [
        each
        for each in cameras
        if (each.kind == "pi" and each.url not in sensors)
        or (each.kind == "usb" and Path(each.url).resolve() not in devices)
    ]
