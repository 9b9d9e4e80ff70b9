from __future__ import annotations

import queue
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edged.base.config import Duration
from edged.base.errors import CameraError
from edged.capture.picamera import PiCamera
from edged.capture.pisettings import PiSettings
from edged.capture.settings import CameraSettings
from edged.model import Frame, Packet, Sensor
from tests.capture.clips import StepClock

SETS = b"\0\0\0\1\x67AB\0\0\0\1\x68C"
BOOT = 77_000_000  # microseconds: the sensor's clock at the first picture
STRIDE = 384  # bytes in a line of the small stream, more than its width


class FakeEncoder:
    """An encoder with the options it was made with."""

    def __init__(self, *, bitrate: int, repeat: bool, iperiod: int, framerate: float) -> None:
        self.bitrate, self.repeat, self.iperiod, self.framerate = bitrate, repeat, iperiod, framerate
        self.firsttimestamp: int | None = None


class _HardwareEncoder(FakeEncoder):
    """The Pi 4's."""


class _LibavEncoder(FakeEncoder):
    """The Pi 5's."""


class PiClass:
    """The class Picamera2: one sensor is connected, and calling it opens that."""

    def __init__(self, pi: FakePi) -> None:
        self._pi = pi

    def __call__(self, camera_num: int = 0, *, tuning: str | None = None) -> FakePi:
        """Open the sensor."""
        if self._pi.busy:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        assert camera_num == 0
        self._pi.tuning = tuning
        return self._pi

    def global_camera_info(self) -> list[dict[str, Any]]:
        """List the sensors."""
        return [{"Num": 0}]


class FakePi:
    """picamera2 as far as edged uses it, after version 0.3.38: one picture for each call of `shoot`."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.config: dict[str, Any] = {}
        self.encoder: Any = None
        self.output: Any = None
        self.requests: queue.Queue[int] = queue.Queue()
        self.released = 0
        self.busy = False
        self.tuning: str | None = None
        self.camera_controls = dict.fromkeys(
            ["FrameDurationLimits", "ExposureTime", "AnalogueGain", "AwbMode"], (0, 1, 0)
        )

    def load(self, name: str) -> Any:
        """Stand in for import_module."""
        return {
            "libcamera": SimpleNamespace(Transform=lambda *, hflip, vflip: (hflip, vflip)),
            "picamera2": SimpleNamespace(Picamera2=PiClass(self)),
            "picamera2.encoders": SimpleNamespace(H264Encoder=_HardwareEncoder, LibavH264Encoder=_LibavEncoder),
            "picamera2.outputs": SimpleNamespace(Output=object),
        }[name]

    def shoot(self, number: int, *, key: bool) -> None:
        """Take picture `number` of ten a second: the encoder gets it, and a request for it completes."""
        at = number * 100_000
        self.encoder.firsttimestamp = BOOT
        self.output.outputframe((SETS if key else b"") + b"\0\0\1\x65slice", key, at, packet=None)
        self.requests.put(at)

    def create_video_configuration(self, **config: Any) -> dict[str, Any]:
        """Return what will be configured."""
        return config

    def configure(self, config: dict[str, Any]) -> None:
        """Take the configuration."""
        self.config = config

    def camera_configuration(self) -> dict[str, Any]:
        """Return the configuration."""
        return self.config

    def start(self) -> None:
        """Start the sensor."""
        self.calls.append("start")

    def start_encoder(self, encoder: Any, output: Any, name: str) -> None:
        """Start the encoder."""
        assert name == "main"
        self.encoder, self.output = encoder, output
        self.calls.append("start_encoder")

    def capture_request(self, wait: float) -> Any:
        """Return the next completed request; TimeoutError when none comes within `wait` seconds."""
        try:
            at = self.requests.get(timeout=min(wait, 0.05))
        except queue.Empty:
            raise TimeoutError from None
        luma = np.full((270, STRIDE), 90, np.uint8)
        luma[:, 320:] = 255  # what lies between the lines
        return SimpleNamespace(
            get_metadata=lambda: {"SensorTimestamp": (BOOT + at) * 1000 + 321, "Lux": 88.0, "ExposureTime": 20_000},
            config=self.config,
            make_array=lambda _: luma,
            release=self._release,
        )

    def cancel_all_and_flush(self) -> None:
        """Cancel what is pending."""
        self.calls.append("cancel_all_and_flush")

    def stop_encoder(self) -> None:
        """Stop the encoder."""
        self.calls.append("stop_encoder")

    def close(self) -> None:
        """Stop and close the sensor."""
        self.calls.append("close")

    def _release(self) -> None:
        self.released += 1


def camera(pi: FakePi, settings: CameraSettings | None = None) -> PiCamera:
    """Make an unopened camera of the fake."""
    settings = settings or CameraSettings(source="picamera", rate=10.0, analysis_rate=10.0, read_timeout=Duration(0.1))
    return PiCamera("cam", settings, clock=StepClock(), epochs=count(1), load=pi.load)


def test_packets_and_frames_of_a_picture_have_the_same_stamp() -> None:
    """The encoder's packets carry the parameter sets, and the small stream's luma comes without its padding."""
    pi = FakePi()
    mine = camera(pi)
    mine.open()
    for number in range(4):
        pi.shoot(number, key=number % 2 == 0)
    taken = list(islice(mine.read(), 8))
    packets = [item for item in taken if isinstance(item, Packet)]
    frames = [item for item in taken if isinstance(item, Frame)]
    assert [packet.pts for packet in packets] == [0, 100_000, 200_000, 300_000]
    assert [packet.key for packet in packets] == [True, False, True, False]
    assert [(frame.pts, frame.mono) for frame in frames] == [(packet.pts, packet.mono) for packet in packets]
    assert {frame.sensor for frame in frames} == {Sensor(lux=88.0, exposure=0.02)}
    info = packets[0].stream
    assert {packet.stream.epoch for packet in packets} == {1}
    assert (info.codec, info.extradata, info.width, info.height) == ("h264", SETS, 1280, 720)
    assert {(frame.luma.shape, int(frame.luma.max())) for frame in frames} == {((180, 320), 90)}
    assert pi.released == 4


def test_the_camera_is_asked_for_what_the_settings_say() -> None:
    """Size, rate, bit rate and key frames reach picamera2 in its own units."""
    pi = FakePi()
    mine = camera(pi, CameraSettings(source="picamera", size="1920x1080", rate=20.0, keyframes=Duration(2)))
    mine.open()
    assert isinstance(pi.encoder, _LibavEncoder)
    assert pi.config["main"] == {"size": (1920, 1080), "format": "YUV420"}
    assert pi.config["lores"] == {"size": (320, 180), "format": "YUV420"}
    assert pi.config["controls"] == {"FrameDurationLimits": (50_000, 50_000)}
    assert pi.config["transform"] == (False, False)
    assert pi.tuning is None
    assert (pi.encoder.bitrate, pi.encoder.iperiod, pi.encoder.framerate, pi.encoder.repeat) == (
        4_000_000,
        40,
        20,
        True,
    )


def test_a_hardware_encoder_is_used_where_there_is_one(tmp_path: Path) -> None:
    """The device of the Pi 4's encoder decides."""
    pi = FakePi()
    settings = CameraSettings(source="picamera")
    PiCamera("cam", settings, clock=StepClock(), epochs=count(1), load=pi.load, hardware=tmp_path).open()
    assert isinstance(pi.encoder, _HardwareEncoder)


def test_the_sensor_is_asked_for_what_its_section_says(tmp_path: Path) -> None:
    """Exposure, gain, white balance, the way it hangs and its tuning file reach picamera2."""
    (tmp_path / "noir.json").write_text("{}")
    pi = FakePi()
    asked = PiSettings(
        rotation=180, hflip=True, shutter=Duration(0.02), gain=2.0, white="daylight", tuning=tmp_path / "noir.json"
    )
    camera(pi, CameraSettings(source="picamera", rate=10.0, pi=asked)).open()
    assert pi.config["controls"] == {
        "FrameDurationLimits": (100_000, 100_000),
        "ExposureTime": 20_000,
        "AnalogueGain": 2.0,
        "AwbMode": 5,
    }
    assert pi.config["transform"] == (False, True)
    assert pi.tuning == str(tmp_path / "noir.json")


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (PiSettings(focus="manual", distance=2.0), "lacks AfMode, LensPosition"),
        (PiSettings(hdr="single"), "lacks HdrMode"),
        (PiSettings(tuning=Path("/nowhere.json")), "no tuning file /nowhere.json"),
    ],
)
def test_what_the_sensor_lacks_is_refused(asked: PiSettings, word: str) -> None:
    """A setting that would do nothing is told when the camera is opened."""
    mine = camera(FakePi(), CameraSettings(source="picamera", pi=asked))
    with pytest.raises(CameraError, match=word):
        mine.open()
    mine.close()


def test_a_camera_in_use_is_told_as_such() -> None:
    """What libcamera says of another program's camera is passed on."""
    pi = FakePi()
    pi.busy = True
    with pytest.raises(CameraError, match="can't be started: Failed to acquire camera: Device or resource busy"):
        camera(pi).open()


def test_packets_before_the_first_parameter_sets_are_left_out() -> None:
    """Nothing could be decoded from them."""
    pi = FakePi()
    mine = camera(pi)
    mine.open()
    pi.shoot(0, key=False)
    pi.shoot(1, key=True)
    (first,) = islice(mine.read(), 1)
    assert isinstance(first, Packet)
    assert first.pts == 100_000


def test_a_silent_camera_is_told_and_closed_in_the_order_that_does_not_hang() -> None:
    """Pending captures are cancelled before anything is stopped; closing twice is harmless."""
    pi = FakePi()
    mine = camera(pi)
    mine.open()
    with pytest.raises(CameraError, match=r"no picture for 0\.1 s"):
        next(mine.read())
    pi.shoot(0, key=True)
    pi.requests.get()
    reading = mine.read()
    assert isinstance(next(reading), Packet)
    with pytest.raises(CameraError, match=r"no picture for 0\.1 s"):
        next(reading)
    mine.close()
    mine.close()
    assert pi.calls == ["start", "start_encoder", "cancel_all_and_flush", "stop_encoder", "close"]


def test_a_camera_that_is_not_there_is_told_by_its_number() -> None:
    """The message says which sensor is missing and how to list them."""
    with pytest.raises(CameraError, match="no Pi camera 3; see: rpicam-hello"):
        camera(FakePi(), CameraSettings(source="picamera", url="3")).open()


def test_without_picamera2_the_message_says_how_to_install_it() -> None:
    """On a machine that is no Pi, the import that fails is told as such."""
    mine = PiCamera("cam", CameraSettings(source="picamera"), clock=StepClock(), epochs=count(1))
    with pytest.raises(CameraError, match="apt install python3-picamera2"):
        mine.open()
    mine.close()
