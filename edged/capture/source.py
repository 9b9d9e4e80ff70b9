"""Opening what PyAV demuxes: RTSP and other network streams, V4L2 devices, files. No error text shows a password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlsplit, urlunsplit

import av

from edged.base.errors import CameraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.video.stream import VideoStream

    from edged.capture.settings import CameraSettings

# H.264 first, for it is copied; then what every USB camera compresses to; then whatever it gives by itself
_DEVICE_FORMATS = {"auto": ("h264", "mjpeg", ""), "h264": ("h264",), "mjpeg": ("mjpeg",), "raw": ("yuyv422",)}
_NON_BLOCKING = "+4"  # AVFMT_FLAG_NONBLOCK, which has no name there: a hung device would keep a blocked read for ever
_TITLES = "replace"  # titles that are not UTF-8 must not cost the pictures
_LATE = "500000"  # microseconds that UDP packets may be out of order


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """An open source and the one video stream of it that is used."""

    container: InputContainer
    stream: VideoStream
    name: str  # for messages: without user and password


def open_source(settings: CameraSettings, url: str, password: str) -> Source:
    """Open `url` with the time-outs of `settings`; CameraError says why it can't be."""
    name = display_name(url)
    try:
        container = _open(settings, url, password)
    except (av.FFmpegError, OSError) as error:
        raise CameraError(explain(error, name)) from None  # the cause's text may contain the URL with the password
    if not container.streams.video:
        container.close()
        raise CameraError(f"{name} has no video stream; choose another stream of the camera")
    if getattr(container.streams.video[0], "codec_context", None) is None:  # PyAV's types know only sound streams
        container.close()
        raise CameraError(f"{name} sends video of a kind that is not known here; set it to H.264 or HEVC")
    return Source(container=container, stream=container.streams.video[0], name=name)


def display_name(url: str) -> str:
    """Return `url` as messages may show it: without user, password and query."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def with_password(url: str, password: str) -> str:
    """Return `url` with the password put in after its user."""
    parts = urlsplit(url)
    if not password or not parts.username:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def explain(error: Exception, name: str) -> str:
    """Return a sentence on what libav reported about the source `name`."""
    if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
        return f"{name} refuses the user or the password; check the user in `url` and `password`"
    if isinstance(error, av.error.ExitError):
        return f"{name} did not answer in time"
    if isinstance(error, av.error.InvalidDataError):
        return f"{name} did not send video that can be read"
    reason = getattr(error, "strerror", None) or type(error).__name__
    return f"{name} can't be read: {reason}"


def _open(settings: CameraSettings, url: str, password: str) -> InputContainer:
    timeout = (float(settings.open_timeout), float(settings.read_timeout))
    if settings.is_device:
        return _open_device(settings, url)
    if "://" in url:
        options = dict(_network_options(settings, url))
        return _input(av.open(with_password(url, password), options=options, timeout=timeout, metadata_errors=_TITLES))
    return _input(av.open(url, metadata_errors=_TITLES))


def _network_options(settings: CameraSettings, url: str) -> Iterator[tuple[str, str]]:
    # Microseconds; opening takes 0.1 to 0.3 s, without it 2 to 3 s. (`fflags=nobuffer` saves as much, but throws
    # away what was read meanwhile: the first key frame, and the next one may be a minute off.)
    yield "analyzeduration", "100000"
    if urlsplit(url).scheme in {"rtsp", "rtsps"}:
        yield "rtsp_transport", settings.transport
        yield "allowed_media_types", "video"
        yield "max_delay", _LATE
    else:
        yield "merge_pmt_versions", "1"  # MPEG-TS: a stream that changes stays the stream that is read


def _open_device(settings: CameraSettings, url: str) -> InputContainer:
    *others, last = _DEVICE_FORMATS[settings.format]
    for wanted in others:
        try:
            return _device(settings, url, wanted)
        except (av.error.InvalidDataError, av.error.ArgumentError):  # it does not offer this format
            continue
    return _device(settings, url, last)


def _device(settings: CameraSettings, url: str, wanted: str) -> InputContainer:
    options = _device_options(settings, wanted)
    return _input(av.open(url, format="v4l2", options=options, timeout=float(settings.open_timeout)))


def _device_options(settings: CameraSettings, wanted: str) -> dict[str, str]:
    options = {"video_size": settings.size, "framerate": f"{settings.rate:g}", "fflags": _NON_BLOCKING}
    return options | ({"input_format": wanted} if wanted else {})


def _input(container: object) -> InputContainer:
    return cast("InputContainer", container)
