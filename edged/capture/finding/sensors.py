"""The Pi's cameras, as libcamera knows them: asked in a process of its own, since a driver may hang or crash."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from edged.base.errors import CameraError
from edged.capture.finding.found import Found

if TYPE_CHECKING:
    from collections.abc import Sequence

_ASK = "import json; from picamera2 import Picamera2; print(json.dumps(Picamera2.global_camera_info()))"
_NO_PICAMERA2 = "No module named 'picamera2'"
_LIMIT = 60.0  # seconds: a Pi Zero takes some ten to import picamera2


def pi_cameras(python: Sequence[str] = (sys.executable,)) -> list[Found]:
    """Return the sensors that libcamera knows, none where picamera2 is not installed. Blocks for seconds.

    `python` is the interpreter that is asked. CameraError when libcamera fails.
    """
    try:
        asked = subprocess.run(  # noqa: S603 -- our own program for our own interpreter
            [*python, "-c", _ASK], capture_output=True, text=True, timeout=_LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        raise CameraError(f"libcamera did not answer within {_LIMIT:g} s; see: rpicam-hello --list-cameras") from None
    if asked.returncode:
        *_, last = asked.stderr.strip().splitlines() or ["it ended without a word"]
        if last.endswith(_NO_PICAMERA2):
            return []
        raise CameraError(f"libcamera can't be asked: {last[:200]}")
    try:
        return sensors(asked.stdout)
    except (ValueError, TypeError, AttributeError):
        raise CameraError("what libcamera knows can't be read; see: rpicam-hello --list-cameras") from None


def sensors(printed: str) -> list[Found]:
    """Return the sensors of what picamera2 printed in its last line; libcamera knows USB cameras, too: not those."""
    known: list[dict[str, Any]] = json.loads(printed.strip().rpartition("\n")[2])
    return [
        Found(kind="pi", name=str(camera.get("Model", "sensor")), url=str(camera.get("Num", number)))
        for number, camera in enumerate(known)
        if "/usb" not in str(camera.get("Id", ""))
    ]
