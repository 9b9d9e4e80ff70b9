"""A process with picamera2 and libcamera's virtual cameras: libcamera's threads may hang, and must not hang a test.

python -m tests.libcamera.child read SETTINGS SECONDS FILE    reads one camera, pickles what it gave
python -m tests.libcamera.child signatures                    prints what picamera2's methods take, as JSON
python -m tests.libcamera.child edged WORD...                 runs edged's command
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import os
import pickle
import sys
from pathlib import Path

from edged.base.clock import SystemClock
from edged.base.config import parse
from edged.capture.picamera import PiCamera
from edged.capture.settings import CameraSettings
from edged.cli import main

_CALLED = (
    "global_camera_info",
    "create_video_configuration",
    "configure",
    "camera_configuration",
    "start",
    "start_encoder",
    "stop_encoder",
    "capture_request",
    "cancel_all_and_flush",
    "close",
)


def _read(settings: str, seconds: float, target: Path) -> None:
    clock = SystemClock()
    camera = PiCamera("pi", parse(json.loads(settings), CameraSettings), clock=clock, epochs=itertools.count(1))
    camera.open()
    end, taken = clock.mono() + seconds, []
    for item in camera.read():
        taken.append(item)
        if clock.mono() > end:
            break
    camera.close()
    target.write_bytes(pickle.dumps(taken))


def _signatures() -> dict[str, list[str]]:
    """Return the names of the parameters of what edged calls."""
    picamera2 = importlib.import_module("picamera2").Picamera2
    outputs = importlib.import_module("picamera2.outputs")
    encoders = importlib.import_module("picamera2.encoders")
    called = {
        "Picamera2": picamera2.__init__,
        "Encoder": encoders.LibavH264Encoder.__init__,
        "outputframe": outputs.Output.outputframe,
        **{name: getattr(picamera2, name) for name in _CALLED},
    }
    return {name: list(inspect.signature(function).parameters) for name, function in called.items()}


if __name__ == "__main__":
    importlib.import_module("virtual_pi")  # makes picamera2 work on this machine; it lies beside picamera2
    if sys.argv[1] == "read":
        _read(sys.argv[2], float(sys.argv[3]), Path(sys.argv[4]))
        sys.stdout.flush()
        os._exit(0)  # as edged leaves: it does not wait for a library's threads
    if sys.argv[1] == "signatures":
        sys.stdout.write(json.dumps(_signatures()) + "\n")
        sys.stdout.flush()
        os._exit(0)
    main(sys.argv[2:])
