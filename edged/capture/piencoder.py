"""The Pi's H.264 encoder: which one a board has, what it is told, and how its pictures come out of picamera2."""

from __future__ import annotations

import math
import queue
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av.video.frame import PictureType

from edged.base.errors import CameraError
from edged.capture.settings import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    import av
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from edged.capture.settings import CameraSettings

HARDWARE = Path("/dev/video11")  # the encoder of the Pi 4 and older, as picamera2 opens it
MICRO = 1_000_000  # the encoders' time base
_LARGEST = 1920  # pixels a side that the hardware's driver takes (bcm2835-codec)
_PIXELS = 1920 * 1080 * 30  # a second that one core of the boards without a hardware encoder is good for
_HELD = 10.0  # seconds of encoded pictures not yet read


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """One encoded picture; `pts` in microseconds since the encoder's first."""

    data: bytes
    key: bool
    pts: int


def make_encoder(encoders: Any, settings: CameraSettings, *, hardware: Path = HARDWARE) -> Any:
    """Return the board's hardware encoder where it has one that is large enough, libav's otherwise.

    `encoders` is picamera2's module of them, which believes in a hardware encoder on every board but the Pi 5.
    """
    width, height = parse_size(settings.size)
    on_chip = hardware.exists() and max(width, height) <= _LARGEST
    kind = encoders.H264Encoder if on_chip else encoders.LibavH264Encoder
    # a Pi 5 with two cameras has a device of the hardware's name, too, and libav's encoder by either name
    encoder = (_keyed(kind) if kind is encoders.LibavH264Encoder else kind)(
        bitrate=round(settings.bitrate * 8),
        repeat=True,  # parameter sets at each key frame
        iperiod=max(1, round(settings.rate * settings.keyframes)),
        framerate=round(settings.rate),
    )
    # Left to itself libav takes half as many again as there are cores. Each delays the stream by a picture, keeps
    # another in memory, and has to be waited for.
    encoder.threads = math.ceil(width * height * settings.rate / _PIXELS)
    return encoder


class Outlet:
    """Where an encoder's thread puts its pictures and the camera's thread takes them.

    Its key frames are counted in pictures: in low light, when pictures come slowly, one is asked for in time.
    """

    def __init__(self, encoder: Any, settings: CameraSettings) -> None:
        # older versions of picamera2 have no such call
        self._ask_for_key: Callable[[], None] | None = getattr(encoder, "force_key_frame", None)
        self._apart = round(MICRO * settings.keyframes)
        self._key_due = 0
        self._queue: queue.Queue[Encoded] = queue.Queue(max(1, round(_HELD * settings.rate)))
        self._overrun = False

    def put(self, data: bytes, pts: int, *, key: bool) -> None:
        """Take a picture; called by the encoder, which must not wait."""
        if key:
            self._key_due = pts + self._apart
        elif pts >= self._key_due and self._ask_for_key is not None:
            self._ask_for_key()
        try:
            self._queue.put_nowait(Encoded(data=bytes(data), key=key, pts=pts))
        except queue.Full:
            self._overrun = True

    def take(self, patience: float) -> Encoded:
        """Return the next picture; CameraError when none comes for `patience` seconds, or when some were lost."""
        if self._overrun:  # without them nothing up to the next key frame could be shown
            raise CameraError("the Pi camera's pictures were not read in time; the machine is overloaded")
        try:
            return self._queue.get(timeout=patience)
        except queue.Empty:
            raise CameraError(f"the Pi camera gave no picture for {patience:g} s") from None


def _keyed(base: Any) -> Any:
    """Return picamera2's libav encoder with a way to ask for a key frame that PyAV understands; its own does not."""

    class _Keyed(base):  # type: ignore[misc]
        _stream: Any

        def _start(self) -> None:
            super()._start()
            self._stream = _KeyedStream(self._stream)

        def force_key_frame(self) -> None:
            self._stream.key_asked = True

    return _Keyed


class _KeyedStream:
    """A stream of PyAV's whose next picture is made a key frame when that was asked."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self.key_asked = False

    def encode(self, frame: VideoFrame | None = None) -> list[av.Packet[VideoStream]]:
        if frame is not None and self.key_asked:
            self.key_asked = False
            frame.pict_type = PictureType.I
        return self._stream.encode(frame)


def make_output(base: Any, outlet: Outlet) -> Any:
    """Make the object that picamera2 hands encoded pictures to, of its class `base`."""

    class _Output(base):  # type: ignore[misc]
        def outputframe(
            self,
            frame: bytes,
            keyframe: bool = True,
            timestamp: int | None = None,
            packet: object = None,  # noqa: ARG002 -- picamera2's signature
            audio: bool = False,
        ) -> None:
            if not audio and timestamp is not None:
                outlet.put(frame, timestamp, key=keyframe)

    return _Output()
