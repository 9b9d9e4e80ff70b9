"""Small videos made on the spot, and cameras that follow a script."""

from __future__ import annotations

import queue
from dataclasses import replace
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, cast

import av
import numpy as np

from edged.base.clock import SystemClock
from edged.base.errors import CameraError
from edged.capture.stream import StreamCamera
from edged.model import Frame, Packet, StreamInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.video.stream import VideoStream

    from edged.base.clock import Clock
    from edged.capture.settings import CameraSettings

SIZE = (160, 120)
RATE = 10


def picture(number: int, size: tuple[int, int] = SIZE) -> av.VideoFrame:
    """Draw a bar that moves over a ramp: every picture differs from every other."""
    width, height = size
    luma = np.tile(np.linspace(40, 200, width).astype(np.uint8), (height, 1))
    luma[:, (number * 7) % (width - 8) : (number * 7) % (width - 8) + 8] = 235
    luma[:8, : number % width] = 16
    colour = np.full((height // 2, width), 128, np.uint8)
    return av.VideoFrame.from_ndarray(np.vstack((luma, colour)), format="yuv420p")


def make_clip(
    path: Path,
    codec: str = "libx264",
    *,
    frames: int = 40,
    size: tuple[int, int] = SIZE,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    first: int = 0,
) -> Path:
    """Write `frames` pictures at 10 a second to `path`."""
    with av.open(str(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=RATE, options=options or {}))
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for number in range(first, first + frames):
            drawn = picture(number, size)
            drawn.pts, drawn.time_base = number - first, Fraction(1, RATE)
            container.mux(stream.encode(drawn))
        container.mux(stream.encode(None))
    return path


def read_all(
    settings: CameraSettings, *, limit: int = 10_000, clock: SystemClock | None = None
) -> tuple[list[Packet], list[Frame]]:
    """Read a stream camera until it ends or `limit` packets have come."""
    camera = StreamCamera("cam", settings, password="", clock=clock or SystemClock(), epochs=count(1))
    packets: list[Packet] = []
    frames: list[Frame] = []
    camera.open()
    try:
        for item in camera.read():
            if isinstance(item, Packet):
                packets.append(item)
            else:
                frames.append(item)
            if len(packets) >= limit:
                break
    finally:
        camera.close()
    return packets, frames


class StepClock(SystemClock):
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def mono(self) -> float:
        """Return the test's time."""
        return self.now

    def wall(self) -> float:
        """Return the test's time, as of a day in 2026."""
        return self.now + 1_780_000_000.0


INFO = StreamInfo(
    camera="cam",
    epoch=1,
    codec="h264",
    extradata=b"",
    width=160,
    height=120,
    time_base=Fraction(1, 1000),
    rate=10.0,
)


PACKET = Packet(stream=INFO, data=b"x", pts=0, dts=0, duration=1, key=True, mono=0.0)


class ScriptedCamera:
    """A camera that does what the test puts into `script`.

    That is "picture", "same", "dark", "late" (taken long ago), "packet", "end", or the text of an error to raise.
    `script.join()` returns when everything put in was carried out; "hang" is never carried out.
    """

    def __init__(self, clock: Clock, refuses: str = "") -> None:
        self._clock = clock
        self.script: queue.Queue[str] = queue.Queue()
        self.refuses = refuses
        self.closed = False
        self._number = 0
        self._wake = queue.Queue[str]()

    def open(self) -> None:
        """Open, or refuse to."""
        if self.refuses:
            raise CameraError(self.refuses)

    def read(self) -> Iterator[Packet | Frame]:
        """Follow the script."""
        while True:
            order = self.script.get()
            match order:
                case "picture" | "same" | "dark" | "late":
                    self._number += order != "same"
                    taken = self._clock.mono() - 6.0 * (order == "late")
                    yield replace(self._packet(), mono=taken)
                    yield replace(self._frame(16 if order == "dark" else 60 + self._number % 100), mono=taken)
                case "packet":
                    yield self._packet()
                case "hang":
                    self._wake.get()
                case "end":
                    return
                case _:
                    raise CameraError(order)
            self.script.task_done()

    def wake(self) -> None:
        """Let a hung call return."""
        self._wake.put("")

    def close(self) -> None:
        """Note that the camera was closed."""
        self.closed = True

    def _packet(self) -> Packet:
        return replace(PACKET, pts=self._number, dts=self._number, mono=self._clock.mono())

    def _frame(self, level: int) -> Frame:
        luma = np.full((12, 16), level, np.uint8)
        return Frame(camera="cam", epoch=1, pts=self._number, mono=self._clock.mono(), luma=luma)
