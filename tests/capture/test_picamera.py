from __future__ import annotations

import atexit
import queue
import subprocess
import sys
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

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
        self.threads = 0
        self.keys_asked = 0
        self._stream: Any = None

    def _start(self) -> None:
        """Make the encoder itself, as picamera2 does when it is started."""
        self._stream = object()

    def force_key_frame(self) -> None:
        """Make the next picture a key frame."""
        self.keys_asked += 1


class _HardwareEncoder(FakeEncoder):
    """The Pi 4's."""


class _LibavEncoder(FakeEncoder):
    """The Pi 5's."""


class FakeManager:
    """picamera2's manager of libcamera's manager."""

    def __init__(self) -> None:
        self.resets = 0

    def reset(self) -> None:
        """Look for cameras anew."""
        self.resets += 1


class FakeMapped:
    """picamera2's view of a request's buffer."""

    def __init__(self, request: Any, stream: str, *, write: bool) -> None:
        assert (stream, write) == ("lores", False)
        self.array: Any = request.buffer

    def __enter__(self) -> Self:
        """Map it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmap it: from here on the sensor writes there again."""
        self.array.fill(0)


class PiClass:
    """The class Picamera2: one sensor is connected, and calling it opens that."""

    def __init__(self, pi: FakePi) -> None:
        self._pi = pi
        self._cm = pi.manager

    def __call__(self, camera_num: int = 0, *, tuning: str | None = None) -> FakePi:
        """Open the sensor."""
        assert camera_num == 0
        assert not self._pi.held
        self._pi.tuning = tuning
        atexit.register(self._pi.close)  # as picamera2 does
        return self._pi

    def global_camera_info(self) -> list[dict[str, Any]]:
        """List the sensors."""
        return [{"Num": 0, "Id": "/base/i2c/imx219@10"}]


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
        self.held = False
        self.manager = FakeManager()
        self.board: type[FakeEncoder] = _HardwareEncoder  # what picamera2 takes for the board's
        self.mirrors = True  # whether the sensor can
        self.buffers: list[Any] = []
        self.tuning: str | None = None
        self.camera_controls = dict.fromkeys(
            ["FrameDurationLimits", "ExposureTime", "AnalogueGain", "AwbMode"], (0, 1, 0)
        )

    def load(self, name: str) -> Any:
        """Stand in for import_module."""
        return {
            "libcamera": SimpleNamespace(
                Transform=lambda *, hflip, vflip: SimpleNamespace(hflip=hflip, vflip=vflip),
                ColorSpace=SimpleNamespace(Rec709=lambda: "709", Smpte170m=lambda: "601"),
                CameraManager=SimpleNamespace(singleton=lambda: SimpleNamespace(get=self._sensor)),
            ),
            "picamera2": SimpleNamespace(Picamera2=PiClass(self), MappedArray=FakeMapped),
            "picamera2.encoders": SimpleNamespace(H264Encoder=self.board, LibavH264Encoder=_LibavEncoder),
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
        """Take the configuration, as far as the sensor can do it."""
        self.config = config
        if not self.mirrors:
            config["transform"] = SimpleNamespace(hflip=False, vflip=False)

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
        encoder._start()
        self.calls.append("start_encoder")

    def capture_request(self, wait: float) -> Any:
        """Return the next completed request; TimeoutError when none comes within `wait` seconds."""
        try:
            at = self.requests.get(timeout=min(wait, 0.05))
        except queue.Empty:
            raise TimeoutError from None
        luma = np.full((270, STRIDE), 90, np.uint8)
        luma[:, 320:] = 255  # what lies between the lines
        self.buffers.append(luma)
        return SimpleNamespace(
            get_metadata=lambda: {"SensorTimestamp": (BOOT + at) * 1000 + 321, "Lux": 88.0, "ExposureTime": 20_000},
            config=self.config,
            buffer=luma,
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

    def _sensor(self, name: str) -> Any:
        """Return libcamera's own camera."""
        assert name == "/base/i2c/imx219@10"
        return SimpleNamespace(acquire=self._acquire, release=self._let_go)

    def _acquire(self) -> None:
        if self.busy:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        self.held = True

    def _let_go(self) -> None:
        self.held = False


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
    assert not any(np.shares_memory(frame.luma, buffer) for frame in frames for buffer in pi.buffers)
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
    assert pi.config["raw"] is None
    assert pi.config["colour_space"] == "709"
    assert vars(pi.config["transform"]) == {"hflip": False, "vflip": False}
    assert pi.tuning is None
    assert (pi.encoder.bitrate, pi.encoder.iperiod, pi.encoder.framerate, pi.encoder.repeat) == (
        4_000_000,
        40,
        20,
        True,
    )


@pytest.mark.parametrize(
    ("size", "rate", "kind", "threads"),
    [
        ("1280x720", 15.0, _HardwareEncoder, 1),
        ("1920x1080", 30.0, _HardwareEncoder, 1),
        ("2304x1296", 10.0, _LibavEncoder, 1),
        ("2304x1296", 30.0, _LibavEncoder, 2),
    ],
)
def test_a_hardware_encoder_is_used_where_there_is_one(
    tmp_path: Path, size: str, rate: float, kind: type[FakeEncoder], threads: int
) -> None:
    """The device of the Pi 4's encoder decides, and the size that it takes; libav's gets a core per 1080p at 30."""
    pi = FakePi()
    settings = CameraSettings(source="picamera", size=size, rate=rate)
    PiCamera("cam", settings, clock=StepClock(), epochs=count(1), load=pi.load, hardware=tmp_path).open()
    assert isinstance(pi.encoder, kind)
    assert pi.encoder.threads == threads


def test_a_small_picture_has_the_colours_of_standard_definition() -> None:
    """Players take them for such below 720 lines, and the stream does not say."""
    pi = FakePi()
    camera(pi, CameraSettings(source="picamera", size="1280x704")).open()
    assert pi.config["colour_space"] == "601"


def test_a_key_frame_is_asked_for_when_pictures_come_slowly(tmp_path: Path) -> None:
    """Encoders count them in pictures: at two a second in the dark they would be many seconds apart."""
    pi = FakePi()
    settings = CameraSettings(source="picamera", rate=10.0)
    PiCamera("cam", settings, clock=StepClock(), epochs=count(1), load=pi.load, hardware=tmp_path).open()
    asked = []
    for number, key in enumerate([True, *[False] * 11, True, False]):
        pi.shoot(number, key=key)
        asked.append(pi.encoder.keys_asked)
    assert asked == [0] * 10 + [1, 2, 2, 2]


def test_a_picamera2_that_takes_no_such_wish_is_used_all_the_same(tmp_path: Path) -> None:
    """The hardware's encoder of older versions counts pictures, and that is all."""

    class Older(FakeEncoder):
        force_key_frame = property()  # as if it were not there

    pi = FakePi()
    pi.board = Older
    settings = CameraSettings(source="picamera", rate=10.0)
    PiCamera("cam", settings, clock=StepClock(), epochs=count(1), load=pi.load, hardware=tmp_path).open()
    for number in range(30):
        pi.shoot(number, key=not number)
    assert pi.encoder.keys_asked == 0


def test_on_a_pi_5_both_names_are_libavs(tmp_path: Path) -> None:
    """Its second camera makes devices up to the hardware encoder's; a key frame must be asked for in libav's way."""
    pi = FakePi()
    pi.board = _LibavEncoder
    settings = CameraSettings(source="picamera", rate=10.0)
    PiCamera("cam", settings, clock=StepClock(), epochs=count(1), load=pi.load, hardware=tmp_path).open()
    pi.encoder.force_key_frame()
    assert pi.encoder.keys_asked == 0  # picamera2's own way, which PyAV refuses


def test_a_frame_waits_for_the_packet_of_its_picture() -> None:
    """A hardware encoder is some pictures behind the sensor; whoever reads gets the packet first all the same."""
    pi = FakePi()
    mine = camera(pi)
    mine.open()
    for number in range(6):
        pi.shoot(number, key=not number)
    pi.requests.get()
    pi.requests.get()
    taken = list(islice(mine.read(), 7))
    kinds = [(type(item).__name__, item.pts // 100_000) for item in taken]
    packets = [("Packet", number) for number in range(5)]
    assert kinds == [*packets[:3], ("Frame", 2), packets[3], ("Frame", 3), packets[4]]


def test_pictures_that_were_not_read_in_time_are_told() -> None:
    """What comes after a missing picture could not be shown, so the camera is opened anew and the gap entered."""
    pi = FakePi()
    mine = camera(pi)
    mine.open()
    for number in range(101):
        pi.shoot(number, key=not number)
    with pytest.raises(CameraError, match="not read in time; the machine is overloaded"):
        next(mine.read())


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
    assert vars(pi.config["transform"]) == {"hflip": False, "vflip": True}
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


def test_a_sensor_that_does_not_turn_its_picture_is_refused() -> None:
    """Libcamera would leave it as it is without a word."""
    pi = FakePi()
    pi.mirrors = False
    with pytest.raises(CameraError, match=r"can't be mirrored or turned like this; see \[cameras.cam.pi\]"):
        camera(pi, CameraSettings(source="picamera", pi=PiSettings(rotation=180))).open()


def test_a_camera_in_use_is_told_as_such() -> None:
    """What libcamera says of another program's camera is passed on."""
    pi = FakePi()
    pi.busy = True
    with pytest.raises(CameraError, match="Device or resource busy; another program uses it, which must be stopped"):
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


def test_the_end_of_the_process_does_not_wait_for_a_camera() -> None:
    """picamera2 would close it then, which may last for ever; whoever opened it has closed it or has left it behind."""
    script = (
        "from tests.capture.test_picamera import FakePi, camera\n"
        "pi = FakePi()\n"
        "pi.close = lambda: print('closed')\n"
        "camera(pi).open()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not done.stdout


def test_a_camera_that_is_not_there_is_told_by_its_number() -> None:
    """The message says which sensor is missing and how to list them."""
    pi = FakePi()
    with pytest.raises(CameraError, match="no Pi camera 3; see: rpicam-hello"):
        camera(pi, CameraSettings(source="picamera", url="3")).open()
    assert pi.manager.resets == 1


def test_without_picamera2_the_message_says_how_to_install_it() -> None:
    """On a machine that is no Pi, the import that fails is told as such."""
    mine = PiCamera("cam", CameraSettings(source="picamera"), clock=StepClock(), epochs=count(1))
    with pytest.raises(CameraError, match="apt install python3-picamera2"):
        mine.open()
    mine.close()


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (
            ValueError("numpy.dtype size changed, may indicate binary incompatibility"),
            "can't be loaded; .* size changed",
        ),
        (ImportError("numpy.core.multiarray failed to import", name="pidng"), "can't be loaded; .* failed to import"),
    ],
)
def test_a_picamera2_that_does_not_fit_is_told(error: Exception, word: str) -> None:
    """Debian's packages were compiled for Debian's numpy; beside another they refuse to load, each in its way."""

    def load(_: str) -> Any:
        raise error

    mine = PiCamera("cam", CameraSettings(source="picamera"), clock=StepClock(), epochs=count(1), load=load)
    with pytest.raises(CameraError, match=word):
        mine.open()
