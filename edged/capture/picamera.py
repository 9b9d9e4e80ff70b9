"""The Raspberry Pi camera, through picamera2: its encoder makes the packets, the ISP's small stream the frames.

picamera2 belongs to Raspberry Pi OS together with its libcamera, so it is imported only when a camera is opened.
"""

from __future__ import annotations

import atexit
import os
from contextlib import suppress
from fractions import Fraction
from importlib import import_module
from typing import TYPE_CHECKING, Any

from edged.base.errors import CameraError
from edged.capture.analysis import Picker, analysis_size, shrink
from edged.capture.frozen import ends_if_frozen
from edged.capture.parameters import parameter_sets
from edged.capture.piencoder import HARDWARE, MICRO, Encoded, Outlet, make_encoder, make_output
from edged.capture.pisettings import controls, unknown
from edged.capture.settings import parse_size
from edged.capture.timeline import LiveTimeline
from edged.model import Frame, Packet, Sensor, StreamInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.capture.settings import CameraSettings

_MISSING = "picamera2 is not installed; run: sudo apt install python3-picamera2"
_UNFIT = "picamera2 can't be loaded; run ./scripts/install again, for it needs the system's own numpy: "
_HD_LINES = 720  # from here on players take the colours of a stream that does not say for BT.709's
_FROZEN = 4.0  # times open_timeout: so long libcamera may keep all of edged from running, and at least ...
_FROZEN_LEAST = 5.0  # seconds


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
        hardware: Path = HARDWARE,
    ) -> None:
        self._load = load
        self._hardware = hardware
        self._name = name
        self._settings = settings
        self._clock = clock
        self._epochs = epochs
        self._camera: Any = None
        self._encoder: Any = None
        self._outlet: Outlet | None = None
        self._patience = float(settings.read_timeout)
        self._frozen = max(_FROZEN_LEAST, _FROZEN * settings.open_timeout)

    def open(self) -> None:
        """Configure and start sensor and encoder; CameraError says why they can't be."""
        tuning = self._tuning()
        if tuning is not None:  # read when libcamera first looks for sensors, which is before picamera2 would say it
            os.environ["LIBCAMERA_RPI_TUNING_FILE"] = tuning
        with ends_if_frozen(self._frozen):
            picamera2 = self._picamera2()
            try:
                self._check_free(picamera2, number := int(self._settings.url or 0))
                self._start(picamera2.Picamera2(number, tuning=tuning))
            except (RuntimeError, OSError, TimeoutError) as error:
                raise CameraError(f"the Pi camera can't be started: {_reason(error)}") from error

    def read(self) -> Iterator[Packet | Frame]:
        """Yield packets and frames for ever; CameraError when the camera falls silent."""
        timeline = LiveTimeline(self._clock)
        picker = Picker(self._settings.analysis_rate)
        info: StreamInfo | None = None
        frame: Frame | None = None
        while self._outlet is not None:
            encoded = self._outlet.take(self._patience)
            if encoded.key and (sets := parameter_sets("h264", encoded.data)) and (not info or sets != info.extradata):
                info = self._describe(sets)
            if info is None:
                continue  # nothing can be decoded before the first parameter sets
            seconds = encoded.pts / MICRO
            mono = timeline.arrive(seconds, seconds)
            yield self._packet(info, encoded, mono)
            if frame is None and picker.take(seconds):
                frame = self._frame(info.epoch, timeline)
            if frame is not None and frame.pts <= encoded.pts:  # the encoder may be some pictures behind the sensor
                yield frame
                frame = None

    def close(self) -> None:
        """Stop encoder and sensor, each as far as it was started."""
        camera, self._camera = self._camera, None
        if camera is None:
            return
        with ends_if_frozen(self._frozen):
            camera.cancel_all_and_flush()
            if self._encoder is not None:
                with suppress(RuntimeError):  # it did not start, or stopped by itself
                    camera.stop_encoder()
            camera.close()

    def _picamera2(self) -> Any:
        try:
            return self._load("picamera2")
        except (ImportError, ValueError) as error:  # what was compiled for another numpy says so by ValueError
            missing = isinstance(error, ImportError) and error.name == "picamera2"
            raise CameraError(_MISSING if missing else f"{_UNFIT}{error}") from None

    def _check_free(self, picamera2: Any, number: int) -> None:
        """Take hold of the sensor for a moment: picamera2's constructor leaks a file descriptor each time it fails."""
        sensors = picamera2.Picamera2.global_camera_info()
        if number >= len(sensors):
            picamera2.Picamera2._cm.reset()  # noqa: SLF001 -- otherwise it never looks again while this process lives
            raise CameraError(f"there is no Pi camera {number}; see: rpicam-hello --list-cameras")
        sensor = self._load("libcamera").CameraManager.singleton().get(sensors[number]["Id"])
        sensor.acquire()
        sensor.release()

    def _tuning(self) -> str | None:
        path = self._settings.pi.tuning
        if path is not None and not path.is_file():
            raise CameraError(f"there is no tuning file {path}; correct or leave out `tuning`")
        return None if path is None else str(path)

    def _start(self, camera: Any) -> None:
        self._camera = camera
        atexit.unregister(camera.close)  # at the end of the process that would wait for a camera that hangs
        libcamera = self._load("libcamera")
        width, height = parse_size(self._settings.size)
        hflip, vflip = self._settings.pi.mirrored
        colours = libcamera.ColorSpace.Rec709() if height >= _HD_LINES else libcamera.ColorSpace.Smpte170m()
        camera.configure(
            camera.create_video_configuration(
                main={"size": (width, height), "format": "YUV420"},
                lores={"size": tuple(side & ~1 for side in analysis_size(width, height)), "format": "YUV420"},
                raw=None,  # nobody looks at it, and its buffers are the largest of all
                colour_space=colours,
                controls=self._controls(camera.camera_controls),
                transform=libcamera.Transform(hflip=hflip, vflip=vflip),
            )
        )
        seen = camera.camera_configuration()["transform"]
        if (bool(seen.hflip), bool(seen.vflip)) != (hflip, vflip):
            raise CameraError(f"the sensor can't be mirrored or turned like this; see [cameras.{self._name}.pi]")
        self._encoder = make_encoder(self._load("picamera2.encoders"), self._settings, hardware=self._hardware)
        self._outlet = Outlet(self._encoder, self._settings)
        camera.start()
        output = make_output(self._load("picamera2.outputs").Output, self._outlet)
        camera.start_encoder(self._encoder, output, name="main")

    def _controls(self, known: Mapping[str, Any]) -> dict[str, Any]:
        told = controls(self._settings.pi, self._settings.rate)
        if lacking := unknown(told, self._settings.pi, known):
            raise CameraError(f"the sensor lacks {', '.join(lacking)}; see [cameras.{self._name}.pi]")
        return {name: value for name, value in told.items() if name in known}

    def _frame(self, epoch: int, timeline: LiveTimeline) -> Frame:
        """Take the luma of the newest picture; its pts is the one that the encoder gives the same picture."""
        try:
            request = self._camera.capture_request(wait=self._patience)
        except TimeoutError:
            raise CameraError(f"the Pi camera gave no picture for {self._patience:g} s") from None
        try:
            metadata = request.get_metadata()
            width, height = request.config["lores"]["size"]
            # Y, U and V lie one below the other, in lines that may be longer than the picture is wide
            with self._load("picamera2").MappedArray(request, "lores", write=False) as small:
                luma = shrink(small.array[:height, :width])
        finally:
            request.release()
        taken = int(metadata["SensorTimestamp"] / 1000)
        pts = taken - (self._encoder.firsttimestamp or taken)
        mono = timeline.at(pts / MICRO)
        return Frame(camera=self._name, epoch=epoch, pts=pts, mono=mono, luma=luma, sensor=_sensor(metadata))

    def _packet(self, info: StreamInfo, encoded: Encoded, mono: float) -> Packet:
        return Packet(
            stream=info,
            data=encoded.data,
            pts=encoded.pts,
            dts=encoded.pts,  # neither encoder makes B-frames
            duration=round(MICRO / self._settings.rate),
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
            time_base=Fraction(1, MICRO),
            rate=self._settings.rate,
        )


def _sensor(metadata: Mapping[str, Any]) -> Sensor:
    exposure = metadata.get("ExposureTime")
    return Sensor(
        lux=metadata.get("Lux"),
        exposure=None if exposure is None else exposure / MICRO,
        gain=metadata.get("AnalogueGain"),
        temperature=metadata.get("SensorTemperature"),
    )


def _reason(error: BaseException) -> str:
    """Return what happened: picamera2 says the same of all that fails at first, and what it was in a cause of that."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error)
    return f"{text}; another program uses it, which must be stopped" if "busy" in text else text
