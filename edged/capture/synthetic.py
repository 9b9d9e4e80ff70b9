"""The backend that draws its pictures: for tests, and for a laptop without a camera."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import av
import numpy as np

from edged.capture.analysis import Picker, shrink
from edged.capture.encoder import Encoder, ticks
from edged.capture.scene import Scene
from edged.capture.settings import parse_size
from edged.capture.timeline import FileTimeline
from edged.model import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from edged.base.clock import Clock
    from edged.capture.settings import CameraSettings
    from edged.model import Packet

_GREY = 128


class SyntheticCamera:
    """A drawn scene at its own pace, encoded by x264. The picture at `t` is of the scene at `t` since the opening."""

    def __init__(self, name: str, settings: CameraSettings, *, clock: Clock, epochs: Iterator[int]) -> None:
        self._name = name
        self._settings = settings
        self._clock = clock
        self._epochs = epochs

    def open(self) -> None:
        """Do nothing: a drawing can't be missing."""

    def read(self) -> Iterator[Packet | Frame]:
        """Yield packets and frames for ever."""
        settings = self._settings
        width, height = parse_size(settings.size)
        scene = Scene(settings.synthetic, width, height)
        encoder = Encoder(
            self._name,
            epochs=self._epochs,
            rate=settings.rate,
            quality=settings.quality,
            keyframes=float(settings.keyframes),
        )
        timeline = FileTimeline(self._clock, paced=settings.speed == "real")
        picker = Picker(settings.analysis_rate)
        for number in count():
            seconds = number / settings.rate
            luma = scene.draw(number, seconds)
            mono = timeline.arrive(seconds, seconds)
            packet = encoder.encode(_picture(luma), ticks(seconds), mono)
            if packet is None:
                continue
            yield packet
            if picker.take(seconds):
                yield Frame(camera=self._name, epoch=packet.stream.epoch, pts=packet.pts, mono=mono, luma=shrink(luma))

    def close(self) -> None:
        """Do nothing: there is no device to give back."""


def _picture(luma: NDArray[np.uint8]) -> VideoFrame:
    height, width = luma.shape
    colour = np.full((height // 2, width), _GREY, np.uint8)
    return av.VideoFrame.from_ndarray(np.vstack((luma, colour)), format="yuv420p")
