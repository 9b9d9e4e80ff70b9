"""Stills: one picture decoded from recorded packets, as a colour JPEG. The camera is not asked, so nothing can hang.

Colours: video keeps luma and chroma mostly in limited range by BT.601 or BT.709; where the stream does not say which,
the picture's height decides, as players do (720 lines and more are BT.709). OpenCV writes JPEG by its own standard
(JFIF: BT.601, full range) from RGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import av.error
import cv2
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace, Interpolation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.video.frame import VideoFrame

    from edged.model import Packet

_HD_LINES = 720
_COLORSPACES = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601}  # ITU-T H.273 table 4


class NoPictureError(Exception):
    """The packets give no picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Still:
    """A JPEG and what it shows: `mono` is when it was taken."""

    jpeg: bytes
    width: int
    height: int
    mono: float


def still(packets: Sequence[Packet], *, width: int, quality: int) -> Still:
    """Decode the picture of the last of `packets`, which begin with its key frame, to a JPEG at most `width` wide.

    Blocks for a few milliseconds a packet. NoPictureError when nothing can be decoded.
    """
    if not packets:
        raise NoPictureError("the camera has given no picture yet")
    wanted = packets[-1]
    frame = min(_decode(packets), key=lambda frame: abs((frame.pts or 0) - wanted.pts), default=None)
    if frame is None:
        raise NoPictureError("none of the packets can be decoded")
    jpeg, size = _jpeg(frame, width, quality)
    return Still(jpeg=jpeg, width=size[0], height=size[1], mono=wanted.mono)


def _decode(packets: Sequence[Packet]) -> Iterator[VideoFrame]:
    """Yield the pictures near the last packet's; earlier ones are decoded, since they are referred to, and dropped."""
    stream = packets[0].stream
    decoder = av.CodecContext.create(stream.codec, "r")
    if not isinstance(decoder, VideoCodecContext):
        raise NoPictureError(f"{stream.codec} is no video")
    if stream.extradata:
        decoder.extradata = stream.extradata
    decoder.thread_count = 1  # with frame threads PyAV 18.1 deadlocks when it frees a decoder whose threads hold frames
    for packet in (*packets, None):
        try:
            yield from decoder.decode(None if packet is None else _unit(packet))
        except av.error.FFmpegError:  # a damaged packet costs its own picture
            continue


def _unit(packet: Packet) -> av.Packet[av.VideoStream]:
    unit = cast("av.Packet[av.VideoStream]", av.Packet(packet.data))
    unit.pts, unit.dts, unit.time_base = packet.pts, packet.dts, packet.stream.time_base
    return unit


def _jpeg(frame: VideoFrame, widest: int, quality: int) -> tuple[bytes, tuple[int, int]]:
    scale = min(Fraction(1), Fraction(widest, frame.width))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    colorspace = _COLORSPACES.get(
        frame.colorspace, Colorspace.ITU709 if frame.height >= _HD_LINES else Colorspace.ITU601
    )
    picture = frame.reformat(
        width=width,
        height=height,
        format="bgr24",
        src_colorspace=colorspace,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.AREA,
    )
    done, jpeg = cv2.imencode(".jpg", picture.to_ndarray(), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise NoPictureError(f"a picture of {width} x {height} can't be written as JPEG")
    return jpeg.tobytes(), (width, height)
