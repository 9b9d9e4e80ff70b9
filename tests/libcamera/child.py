"""A process with picamera2 and libcamera's virtual cameras: libcamera's threads may hang, and must not hang a test.

python -m tests.libcamera.child read SETTINGS SECONDS FILE    reads one camera, pickles what it gave
python -m tests.libcamera.child metadata SETTINGS             opens a camera and prints what libcamera tells of it
python -m tests.libcamera.child again SETTINGS TIMES          opens and closes it, prints what that leaves open
python -m tests.libcamera.child pending SETTINGS FILE         has it hang by that file, asks for a picture, closes it
python -m tests.libcamera.child await SETTINGS                opens it once it is there, and says when it is not yet
python -m tests.libcamera.child hold CAMERA                   keeps it until its input ends
python -m tests.libcamera.child signatures                    prints what picamera2's methods take, as JSON
python -m tests.libcamera.child edged WORD...                 runs edged's command
"""

from __future__ import annotations

import gc
import importlib
import inspect
import itertools
import json
import os
import pickle
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged.base.clock import SystemClock
from edged.base.config import parse
from edged.base.errors import CameraError
from edged.capture.picamera import PiCamera
from edged.capture.settings import CameraSettings
from edged.capture.timeline import LiveTimeline
from edged.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

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


def _camera(settings: str) -> PiCamera:
    return PiCamera("pi", parse(json.loads(settings), CameraSettings), clock=SystemClock(), epochs=itertools.count(1))


def _read(settings: str, seconds: str, target: str) -> None:
    clock, camera = SystemClock(), _camera(settings)
    camera.open()
    end, taken = clock.mono() + float(seconds), []
    for item in camera.read():
        taken.append(item)
        if clock.mono() > end:
            break
    camera.close()
    Path(target).write_bytes(pickle.dumps(taken))


def _metadata(settings: str) -> None:
    camera = _camera(settings)
    camera.open()
    told = [camera._camera.capture_metadata(wait=30) for _ in range(3)][-1]  # the first may be older than the controls
    _tell({name: value for name, value in told.items() if isinstance(value, (int, float, bool, tuple))})
    camera.close()


def _again(settings: str, times: str) -> None:
    """Let the first opening fill what is filled only once, then count; at the end wait for threads that are ending."""
    counts: list[tuple[int, int]] = []
    for _ in range(int(times)):
        camera = _camera(settings)
        with suppress(CameraError):
            camera.open()
            next(camera.read())
        camera.close()
        gc.collect()
        counts.append(_open_now())
    for _ in range(200):
        if all(now <= before for now, before in zip(_open_now(), counts[1], strict=True)):
            break
        time.sleep(0.1)
    _tell([*counts, _open_now()])


def _open_now() -> tuple[int, int]:
    """Return how many descriptors are open, and how many threads run."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def _pending(settings: str, order: str) -> None:
    camera = _camera(settings)
    camera.open()
    next(camera.read())
    Path(order).touch()
    try:
        while True:  # what was under way still comes
            camera._frame(1, LiveTimeline(SystemClock()))
    except CameraError as error:
        camera.close()
        _tell(str(error))


def _await(settings: str) -> None:
    camera = _camera(settings)
    while True:
        try:
            camera.open()
        except CameraError as error:
            _tell(str(error))
            time.sleep(0.2)
        else:
            _tell("open")
            camera.close()
            return


def _hold(name: str) -> None:
    camera = importlib.import_module("libcamera").CameraManager.singleton().get(name)
    camera.acquire()
    _tell(camera.id)
    sys.stdin.read()


def _signatures() -> None:
    """Print the names of the parameters of what edged calls."""
    module = importlib.import_module("picamera2")
    outputs = importlib.import_module("picamera2.outputs")
    encoders = importlib.import_module("picamera2.encoders")
    called = {
        "Picamera2": module.Picamera2.__init__,
        "MappedArray": module.MappedArray.__init__,
        "Encoder": encoders.LibavH264Encoder.__init__,
        "outputframe": outputs.Output.outputframe,
        "force_key_frame": encoders.LibavH264Encoder.force_key_frame,
        "reset": type(module.Picamera2._cm).reset,
        **{name: getattr(module.Picamera2, name) for name in _CALLED},
    }
    _tell({name: list(inspect.signature(function).parameters) for name, function in called.items()})


def _edged(*words: str) -> None:
    """Run edged; while the file named by EDGED_TEST_BREAK exists each picture's encoding fails on libcamera's side."""
    if path := os.environ.get("EDGED_TEST_BREAK"):
        encoder = importlib.import_module("picamera2.encoders").LibavH264Encoder
        encode = encoder._encode

        def fail(self: Any, stream: Any, request: Any) -> None:
            if Path(path).exists():
                raise RuntimeError("the encoder was broken by a test")
            encode(self, stream, request)

        encoder._encode = fail
    main(words)


def _tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    importlib.import_module("virtual_pi")  # makes picamera2 work on this machine; it lies beside picamera2
    mode, *arguments = sys.argv[1:]
    if mode == "edged":
        _edged(*arguments)
    run: dict[str, Callable[..., None]] = {
        "read": _read,
        "metadata": _metadata,
        "again": _again,
        "pending": _pending,
        "await": _await,
        "hold": _hold,
        "signatures": _signatures,
    }
    run[mode](*arguments)
    sys.stdout.flush()
    os._exit(0)  # as edged leaves: it does not wait for a library's threads
