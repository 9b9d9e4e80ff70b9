"""Which backend a camera's settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.capture.picamera import PiCamera
from edged.capture.stream import StreamCamera
from edged.capture.synthetic import SyntheticCamera

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edged.base.clock import Clock
    from edged.capture.camera import Camera
    from edged.capture.settings import CameraSettings


def backend(name: str, settings: CameraSettings, *, password: str, clock: Clock) -> Callable[[Iterator[int]], Camera]:
    """Return what makes unopened cameras of `settings`, each numbering its epochs from the iterator it is given.

    `password` is the revealed `settings.password`, "" without one.
    """

    def make(epochs: Iterator[int]) -> Camera:
        match settings.source:
            case "picamera":
                return PiCamera(name, settings, clock=clock, epochs=epochs)
            case "synthetic":
                return SyntheticCamera(name, settings, clock=clock, epochs=epochs)
            case _:
                return StreamCamera(name, settings, password=password, clock=clock, epochs=epochs)

    return make
