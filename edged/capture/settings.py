"""The `[cameras.NAME]` and `[recovery]` sections: sources of pictures, their time-outs, health and recovery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from edged.base.config import Duration, Rate, Secret
from edged.capture.pisettings import PiSettings

_MOST_PIXELS = 8192  # a side; beyond it is no camera but a mistake
_HIGHEST_RATE = 120.0
_X264_WORST = 51


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthSettings:
    """When a camera counts as ill."""

    silence: Duration = Duration(5)  # no picture, or nothing recorded, for so long is an outage
    stuck: Duration = Duration(8)  # silent for so long: its thread is given up and the camera opened anew
    first_picture: Duration = Duration(15)  # allowed from the start of opening to the first picture
    frozen: Duration = Duration(60)  # identical pictures for so long, from a sensor; "0s" switches it off
    dark: Duration = Duration(30)  # nothing brighter than `dark_level` for so long
    dark_level: int = 32  # of 255; black is 16 in most video
    covered: Duration = Duration(
        30
    )  # another view than was learnt, or nothing of it, for so long; "0s" switches it off

    def __post_init__(self) -> None:
        """Refuse figures that contradict each other; ValueError names the key."""
        if self.silence <= 0:
            raise ValueError("silence: must be longer than 0s")
        if self.stuck < self.silence:
            raise ValueError("stuck: must not be shorter than silence")
        if not 0 <= self.dark_level <= 255:  # noqa: PLR2004 -- the range of a luma value
            raise ValueError("dark_level: must be between 0 and 255")


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticSettings:
    """The drawn scene: its known truth is `walks` and `lamps`, in seconds from the start of each round of `period`."""

    seed: int = 1
    period: Duration = Duration(60)
    walks: tuple[float, ...] = (10.0, 35.0)  # a figure enters and crosses the view
    walk: Duration = Duration(6)  # how long it takes to cross
    lamps: tuple[float, ...] = (50.0,)  # the lamp changes between dim and bright
    noise: float = 2.0  # standard deviation of the sensor's noise, in luma steps

    def __post_init__(self) -> None:
        """Refuse a truth that does not fit into its round; ValueError names the key."""
        if self.period <= 0:
            raise ValueError("period: must be longer than 0s")
        if any(not 0 <= start <= self.period - self.walk for start in self.walks):
            raise ValueError("walks: each must begin at 0 or later and end within the period")
        if any(not 0 <= instant < self.period for instant in self.lamps):
            raise ValueError("lamps: each must lie within the period")


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraSettings:
    """One camera."""

    source: Literal["stream", "picamera", "synthetic"] = "stream"
    url: str = ""  # stream: rtsp://USER@HOST/PATH, /dev/video0, or a video file; picamera: "" or the sensor's number
    password: Secret | None = None  # of the user in `url`
    substream: str = ""  # a smaller stream of the same camera, decoded for detection instead of `url`
    transport: Literal["tcp", "udp"] = "tcp"  # RTSP
    loop: bool = False  # a file: begin again at its end
    speed: Literal["real", "full"] = "real"  # a file: at its own pace, or as fast as detection takes it
    size: str = "1280x720"  # asked of USB, Pi and synthetic cameras; RTSP and files bring their own
    rate: float = 15.0  # frames a second, likewise
    format: Literal["auto", "h264", "mjpeg", "raw"] = "auto"  # what a USB camera is asked for
    bitrate: Rate = Rate(500_000)  # of the Pi's encoder: 4 Mbit/s
    quality: int = 24  # of x264 where edged encodes: 0 lossless to 51 worst
    keyframes: Duration = Duration(1)  # between key frames where edged encodes
    analysis_rate: float = 8.0  # frames a second that detection gets, at most
    open_timeout: Duration = Duration(5)
    read_timeout: Duration = Duration(3)  # a silent read ends after about twice this, as libav does it
    reset: bool = False  # ask the privileged helper to reset its power when opening anew did not help
    health: HealthSettings = field(default_factory=HealthSettings)
    synthetic: SyntheticSettings = field(default_factory=SyntheticSettings)
    pi: PiSettings = field(default_factory=PiSettings)

    def __post_init__(self) -> None:
        """Refuse what can't work; ValueError names the key and never shows the URL."""
        for key in ("url", "substream"):
            _refuse_inline_password(key, getattr(self, key))
        if self.source == "stream" and not self.url:
            raise ValueError('url: is missing; write "rtsp://USER@HOST/PATH", "/dev/video0" or the path of a file')
        if self.source != "stream" and self.substream:
            raise ValueError('substream: only a camera with source = "stream" has one')
        if self.password is not None and not _user(self.url):
            raise ValueError("password: the url names no user; write it like rtsp://USER@HOST/PATH")
        parse_size(self.size)
        _in_range("rate", self.rate, 1.0, _HIGHEST_RATE)
        _in_range("analysis_rate", self.analysis_rate, 1.0, _HIGHEST_RATE)
        _in_range("quality", self.quality, 0, _X264_WORST)
        _in_range("keyframes", self.keyframes, 0.1, 60.0)
        _in_range("open_timeout", self.open_timeout, 0.1, 120.0)
        _in_range("read_timeout", self.read_timeout, 0.1, 120.0)
        if self.speed == "full" and not (self.is_file or self.source == "synthetic"):
            raise ValueError('speed: only a file or a synthetic camera can be read at "full" speed')
        if self.source != "synthetic" and self.synthetic != SyntheticSettings():
            raise ValueError('synthetic: only a camera with source = "synthetic" draws a scene')
        self._check_pi()
        if self.loop and not self.is_file:
            raise ValueError("loop: only a file begins again at its end")

    def _check_pi(self) -> None:
        if self.source == "picamera" and not (self.url == "" or self.url.isdecimal()):
            raise ValueError('url: of a picamera is the number of its sensor, or left out for the first: url = "1"')
        if self.source != "picamera" and self.pi != PiSettings():
            raise ValueError('pi: only a camera with source = "picamera" has a sensor of the Pi')
        if self.pi.night_rate > self.rate:
            raise ValueError("pi: night_rate must not be above `rate`")
        slowest = 1 / (self.pi.night_rate or self.rate)
        if self.pi.shutter > slowest:  # libcamera would shorten it without a word
            raise ValueError("pi: shutter must not last longer than a picture; lower `rate`, or set night_rate")
        if self.pi.night_rate and 2 * slowest > min(self.read_timeout, self.health.silence):
            raise ValueError("pi: night_rate is too low for read_timeout and health.silence; raise one or the others")

    @property
    def is_device(self) -> bool:
        """Whether the source is a local video device (V4L2)."""
        return self.source == "stream" and self.url.startswith("/dev/")

    @property
    def is_file(self) -> bool:
        """Whether the source is a video file."""
        return self.source == "stream" and "://" not in self.url and not self.is_device

    @property
    def ends(self) -> bool:
        """Whether the source honestly ends: a file played once."""
        return self.is_file and not self.loop

    @property
    def patience(self) -> float:
        """Seconds without a picture after which a read is given up, as long as libav waits for a silent network."""
        return 2 * float(self.read_timeout)

    @property
    def has_sensor(self) -> bool:
        """Whether a real sensor makes the pictures, of which no two are identical."""
        return self.source == "picamera" or (self.source == "stream" and not self.is_file)


@dataclass(frozen=True, kw_only=True, slots=True)
class LastResortSettings:
    """The `[recovery]` section. A box with one healthy camera is left alone whatever ails the others."""

    leave_after: Duration = Duration(3600)  # no camera delivers for so long: end, for systemd to start edged anew
    reboot: bool = False  # ask the privileged helper for a reboot of the machine
    reboot_after: Duration = Duration(3 * 3600)  # no camera delivers for so long, also after a new start

    def __post_init__(self) -> None:
        """Refuse figures without a meaning; ValueError names the key."""
        if self.leave_after <= 0:
            raise ValueError("leave_after: must be longer than 0s")
        if self.reboot_after <= 0:
            raise ValueError("reboot_after: must be longer than 0s")


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height of "1280x720"; ValueError names the key."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ValueError(f'size: {text!r} is no size; write it like "1280x720"')
    size = int(width), int(height)
    if any(side % 2 or not 0 < side <= _MOST_PIXELS for side in size):
        raise ValueError(f"size: {text!r} must have even sides from 2 to {_MOST_PIXELS}")
    return size


def _user(url: str) -> str:
    try:
        return urlsplit(url).username or "" if "://" in url else ""
    except ValueError:
        return ""


def _refuse_inline_password(key: str, url: str) -> None:
    if "://" not in url:
        return
    try:
        has_password = urlsplit(url).password is not None
    except ValueError:
        raise ValueError(f"{key}: is no URL; write it like rtsp://USER@HOST/PATH") from None
    if has_password:
        raise ValueError(f"{key}: must not contain the password; write rtsp://USER@HOST/PATH and name it in `password`")


def _in_range(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{key}: must be between {low:g} and {high:g}")
