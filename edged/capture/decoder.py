"""Decodes packets to luma for analysis, and no more of them than it needs."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import numpy as np

from edged.capture.analysis import Picker, shrink
from edged.model import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.packet import Packet as RawPacket
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from edged.capture.timeline import Timeline

_TRIAL = 2.0  # seconds of stream after which skipping is judged
_ENOUGH = 0.9  # of the wanted frames


class LumaDecoder:
    """Frames of one H.264 or HEVC stream, at most `rate` a second.

    Pictures that no other refers to are left out while the rest is enough: with B-frames that spares half of the
    work or more. One thread: frame threads would cost latency and memory and save no CPU.
    """

    def __init__(self, camera: str, stream: VideoStream, timeline: Timeline, rate: float) -> None:
        source_rate = float(stream.average_rate or 0)
        self._camera = camera
        self._context = context = stream.codec_context
        self._time_base = stream.time_base or Fraction(1, 90_000)
        self._timeline = timeline
        self._rate = rate
        self._picker = Picker(rate)
        self._trial_from: float | None = None
        self._given = self._got = 0
        self._waiting_for_key = True
        context.thread_count = 1
        self._skips = source_rate == 0.0 or source_rate >= 2 * rate  # else every picture is needed anyway
        context.skip_frame = "NONREF" if self._skips else "DEFAULT"

    def feed(self, packet: RawPacket[VideoStream], epoch: int) -> Iterator[Frame]:
        """Decode one packet and yield what is due; damaged pictures are passed over."""
        if self._waiting_for_key and not packet.is_keyframe:
            return
        self._waiting_for_key = False
        self._judge_skipping(float((packet.dts or 0) * packet.time_base))
        try:
            pictures = self._context.decode(packet)
        except av.error.InvalidDataError:
            return
        self._got += len(pictures)
        for picture in pictures:
            yield from self._frame(picture, epoch)

    def drain(self, epoch: int) -> Iterator[Frame]:
        """Yield what is due of the pictures still held, at the end of the stream; a key frame may follow."""
        if self._waiting_for_key:
            return
        for picture in self._context.decode(None):
            yield from self._frame(picture, epoch)
        self.pause()

    def pause(self) -> None:
        """Forget what was decoded: packets are left out from here on, and the next one fed must be a key frame."""
        if not self._waiting_for_key:
            self._context.flush_buffers()
            self._waiting_for_key = True

    def _frame(self, picture: VideoFrame, epoch: int) -> Iterator[Frame]:
        if picture.pts is None or picture.is_corrupt:
            return
        seconds = float(picture.pts * self._time_base)
        if self._picker.take(seconds):
            luma = shrink(luma_plane(picture))
            yield Frame(camera=self._camera, epoch=epoch, pts=picture.pts, mono=self._timeline.at(seconds), luma=luma)

    def _judge_skipping(self, seconds: float) -> None:
        if not self._skips:
            return
        if self._trial_from is None or seconds < self._trial_from:
            self._trial_from, self._given, self._got = seconds, 0, 0
        self._given += 1
        if (span := seconds - self._trial_from) < _TRIAL:
            return
        if self._got < _ENOUGH * min(self._rate * span, self._given):
            self._skips = False
            self._context.skip_frame = "DEFAULT"
        self._trial_from = None


def luma_plane(picture: VideoFrame) -> NDArray[np.uint8]:
    """Return the luma of a planar picture as an array of shape (height, width): a view, for 8 bits a sample."""
    plane = picture.planes[0]
    samples = memoryview(plane)
    depth = picture.format.components[0].bits
    if depth > 8:  # noqa: PLR2004 -- bits of a byte
        wide = np.frombuffer(samples, np.uint16).reshape(-1, plane.line_size // 2)
        return (wide[: picture.height, : picture.width] >> (depth - 8)).astype(np.uint8, copy=False)
    return np.frombuffer(samples, np.uint8).reshape(-1, plane.line_size)[: picture.height, : picture.width]


def picture_size(codec: str, extradata: bytes, data: bytes) -> tuple[int, int]:
    """Return width and height of the key frame `data`, decoded by itself; (0, 0) when it can't be."""
    context = cast("VideoCodecContext", av.CodecContext.create(codec, "r"))
    context.extradata = extradata
    context.thread_count = 1
    try:
        pictures = context.decode(av.Packet(data)) + context.decode(None)
    except av.error.InvalidDataError:
        return 0, 0
    return (pictures[0].width, pictures[0].height) if pictures else (0, 0)
