"""The Raspberry Pi camera, through picamera2: its encoder makes the packets, the ISP's small stream the frames.

picamera2 belongs to Raspberry Pi OS together with its libcamera, so it is imported only when a camera is opened.
"""

from __future__ import annotations

import queue
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edged.base.errors import CameraError
from edged.capture.analysis import Picker, analysis_size, shrink
from edged.capture.parameters import parameter_sets
from edged.capture.pisettings import controls, unknown
from edged.capture.settings import parse_size
from edged.capture.timeline import LiveTimeline
from edged.model import Frame, Packet, Sensor, StreamInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edged.base.clock import Clock
    from edged.capture.settings import CameraSettings

_MICRO = 1_000_000  # the encoders' time base
_HARDWARE = Path("/dev/video11")  # the encoder of the Pi 4 and older, as picamera2 opens it
_MISSING = "picamera2 is not installed; run: sudo apt install python3-picamera2"
_HELD = 256  # encoded pictures not yet read: some ten seconds, then the newest are lost and the ladder acts


@dataclass(frozen=True, kw_only=True, slots=True)
class _Encoded:
    data: bytes
    key: bool
    pts: int


class PiCamera:
    """One sensor. The encoder is the hardware's up to the Pi 4, and libav's on the Pi 5 and where there is no other.

    Only its waits with a time limit are used, and a pending one is cancelled before the camera is stopped:
    picamera2's `stop` would wait for it for ever.
    """

    def __init__(
        self,
        name: str,
        settings: CameraSettings,
        *,
        clock: Clock,
        epochs: Iterator[int],
        load: Callable[[str], Any] = import_module,
        hardware: Path = _HARDWARE,
    ) -> None:
        self._load = load
        self._hardware = hardware
        self._name = name
        self._settings = settings
        self._clock = clock
        self._epochs = epochs
        self._camera: Any = None
        self._encoder: Any = None
        self._encoded: queue.Queue[_Encoded] = queue.Queue(_HELD)

    def open(self) -> None:
        """Configure and start sensor and encoder; CameraError says why they can't be."""
        try:
            picamera2 = self._load("picamera2")
        except ImportError:
            raise CameraError(_MISSING) from None
        number = int(self._settings.url or 0)
        try:
            if number >= len(picamera2.Picamera2.global_camera_info()):
                raise CameraError(f"there is no Pi camera {number}; see: rpicam-hello --list-cameras")
            self._start(picamera2.Picamera2(number, tuning=self._tuning()))
        except (RuntimeError, OSError, TimeoutError) as error:
            raise CameraError(f"the Pi camera can't be started: {error}") from error

    def read(self) -> Iterator[Packet | Frame]:
        """Yield packets and frames for ever; CameraError when the camera falls silent."""
        timeline = LiveTimeline(self._clock)
        picker = Picker(self._settings.analysis_rate)
        info: StreamInfo | None = None
        while True:
            encoded = self._next()
            if encoded.key and (sets := parameter_sets("h264", encoded.data)) and (not info or sets != info.extradata):
                info = self._describe(sets)
            if info is None:
                continue  # nothing can be decoded before the first parameter sets
            seconds = encoded.pts / _MICRO
            mono = timeline.arrive(seconds, seconds)
            yield self._packet(info, encoded, mono)
            if picker.take(seconds):
                yield self._frame(info.epoch, timeline)

    def close(self) -> None:
        """Stop encoder and sensor, each as far as it was started."""
        camera, self._camera = self._camera, None
        if camera is None:
            return
        camera.cancel_all_and_flush()
        if self._encoder is not None:
            with suppress(RuntimeError):  # it did not start, or stopped by itself
                camera.stop_encoder()
        camera.close()

    def _tuning(self) -> str | None:
        path = self._settings.pi.tuning
        if path is not None and not path.is_file():
            raise CameraError(f"there is no tuning file {path}; correct or leave out `tuning`")
        return None if path is None else str(path)

    def _start(self, camera: Any) -> None:
        settings, self._camera = self._settings, camera
        width, height = parse_size(settings.size)
        small = tuple(side & ~1 for side in analysis_size(width, height))
        hflip, vflip = settings.pi.mirrored
        camera.configure(
            camera.create_video_configuration(
                main={"size": (width, height), "format": "YUV420"},
                lores={"size": small, "format": "YUV420"},
                controls=self._controls(camera.camera_controls),
                transform=self._load("libcamera").Transform(hflip=hflip, vflip=vflip),
            )
        )
        self._encoder = self._encoder_class()(
            bitrate=round(settings.bitrate * 8),
            repeat=True,  # parameter sets at each key frame
            iperiod=max(1, round(settings.rate * settings.keyframes)),
            framerate=round(settings.rate),
        )
        camera.start()
        output = _output(self._load("picamera2.outputs").Output, self._encoded)
        camera.start_encoder(self._encoder, output, name="main")

    def _encoder_class(self) -> Any:
        """Return the board's encoder where it has one: picamera2 believes that of every board but the Pi 5."""
        encoders = self._load("picamera2.encoders")
        return encoders.H264Encoder if self._hardware.exists() else encoders.LibavH264Encoder

    def _controls(self, known: Mapping[str, Any]) -> dict[str, Any]:
        told = controls(self._settings.pi, self._settings.rate)
        if lacking := unknown(told, self._settings.pi, known):
            raise CameraError(f"the sensor lacks {', '.join(lacking)}; see [cameras.{self._name}.pi]")
        return {name: value for name, value in told.items() if name in known}

    def _next(self) -> _Encoded:
        try:
            return self._encoded.get(timeout=self._settings.read_timeout)
        except queue.Empty:
            raise CameraError(f"the Pi camera gave no picture for {self._settings.read_timeout:g} s") from None

    def _frame(self, epoch: int, timeline: LiveTimeline) -> Frame:
        """Take the luma of the newest picture; its pts is the one that the encoder gives the same picture."""
        try:
            request = self._camera.capture_request(wait=float(self._settings.read_timeout))
        except TimeoutError:
            raise CameraError(f"the Pi camera gave no picture for {self._settings.read_timeout:g} s") from None
        try:
            metadata = request.get_metadata()
            taken = int(metadata["SensorTimestamp"] / 1000)
            width, height = request.config["lores"]["size"]
            luma = np.asarray(request.make_array("lores"), dtype=np.uint8)[:height, :width]
        finally:
            request.release()
        pts = taken - (self._encoder.firsttimestamp or taken)
        mono = timeline.at(pts / _MICRO)
        sensor = _sensor(metadata)
        return Frame(camera=self._name, epoch=epoch, pts=pts, mono=mono, luma=shrink(luma), sensor=sensor)

    def _packet(self, info: StreamInfo, encoded: _Encoded, mono: float) -> Packet:
        return Packet(
            stream=info,
            data=encoded.data,
            pts=encoded.pts,
            dts=encoded.pts,  # neither encoder makes B-frames
            duration=round(_MICRO / self._settings.rate),
            key=encoded.key,
            mono=mono,
        )

    def _describe(self, sets: bytes) -> StreamInfo:
        width, height = self._camera.camera_configuration()["main"]["size"]
        return StreamInfo(
            camera=self._name,
            epoch=next(self._epochs),
            codec="h264",
            extradata=sets,
            width=width,
            height=height,
            time_base=Fraction(1, _MICRO),
            rate=self._settings.rate,
        )


def _sensor(metadata: Mapping[str, Any]) -> Sensor:
    exposure = metadata.get("ExposureTime")
    return Sensor(
        lux=metadata.get("Lux"),
        exposure=None if exposure is None else exposure / _MICRO,
        gain=metadata.get("AnalogueGain"),
        temperature=metadata.get("SensorTemperature"),
    )


def _output(base: Any, encoded: queue.Queue[_Encoded]) -> Any:
    """Make the object that picamera2 hands encoded pictures to, on its own thread."""

    class _Output(base):  # type: ignore[misc]
        def outputframe(
            self,
            frame: bytes,
            keyframe: bool = True,
            timestamp: int | None = None,
            packet: object = None,  # noqa: ARG002 -- picamera2's signature
            audio: bool = False,
        ) -> None:
            if audio or timestamp is None:
                return
            with suppress(queue.Full):
                encoded.put_nowait(_Encoded(data=bytes(frame), key=keyframe, pts=timestamp))

    return _Output()
