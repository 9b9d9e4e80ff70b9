"""What a camera sees before it is configured."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edged.app.look import look_at
from edged.app.setup.answers import CameraAnswer
from edged.base.config import Secret
from edged.settings import CameraSection

if TYPE_CHECKING:
    from edged.app.look import Look
    from edged.capture.finding.found import Found

_SETTLE = 2.0  # seconds in which exposure and white balance find the light


async def see(camera: CameraAnswer) -> Look:
    """Look through a camera; CameraError, ValueError."""
    with tempfile.TemporaryDirectory(prefix="edged-setup-") as folder:
        return await look_at("new", section(camera, Path(folder)), settle=_SETTLE)


def section(camera: CameraAnswer, secrets: Path) -> CameraSection:
    """Return the camera's settings, with its password in a file below `secrets`; ValueError names what is wrong."""
    password = None
    if camera.password:
        path = secrets / "camera"
        path.touch(mode=0o600)
        path.write_text(camera.password)
        password = Secret("file", str(path))
    made = CameraSection(source=camera.source, url=camera.url, substream=camera.substream, password=password)
    return replace(made, size=camera.size) if camera.size else made


def local(found: Found, name: str = "") -> CameraAnswer:
    """Return a camera of this box."""
    return CameraAnswer(name=name, source=found.source, url=found.url, size=found.size)
