"""What becomes of a demuxed stream: H.264 and HEVC are copied, anything else is encoded to H.264."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import av

from edged.base.errors import CameraError
from edged.capture.analysis import Picker, shrink
from edged.capture.decoder import LumaDecoder, luma_plane, picture_size
from edged.capture.encoder import Encoder, planar, ticks
from edged.capture.parameters import is_foreign, parameter_sets
from edged.model import Frame, Packet, StreamInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.packet import Packet as RawPacket
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from edged.capture.settings import CameraSettings
    from edged.capture.timeline import Timeline

_FOREIGN = 5  # packets in a row of another codec: damage is not that consistent
_DAMAGED = 100  # packets in a row that can't be decoded: this is no video


class Track(Protocol):
    """Turns demuxed packets into the camera's packets and frames."""

    def feed(self, raw: RawPacket[VideoStream], *, analyse: bool) -> Iterator[Packet | Frame]:
        """Yield what one packet (stamps complete) gives: frames only with `analyse`."""
        ...

    def drain(self) -> Iterator[Packet | Frame]:
        """Yield what is still held at the end of a pass; the next packet fed begins another."""
        ...


def track_for(
    camera: str, stream: VideoStream, settings: CameraSettings, timeline: Timeline, epochs: Iterator[int]
) -> Track:
    """Return the track that suits the stream's codec."""
    if stream.codec_context.name in {"h264", "hevc"}:
        return Copy(camera, stream, settings, timeline, epochs)
    return Transcode(camera, stream, settings, timeline, epochs)


class Copy:
    """Packets as they are; decoded only for analysis."""

    def __init__(
        self, camera: str, stream: VideoStream, settings: CameraSettings, timeline: Timeline, epochs: Iterator[int]
    ) -> None:
        self._camera = camera
        self._stream = stream
        self._timeline = timeline
        self._epochs = epochs
        self._codec = stream.codec_context.name
        self._time_base = stream.time_base or Fraction(1, 90_000)
        self._rate = float(stream.average_rate or 0)
        self._decoder = LumaDecoder(camera, stream, timeline, settings.analysis_rate)
        self._sets = b""
        self._foreign = 0
        self._info = self._describe(stream.codec_context.extradata or b"")

    def feed(self, raw: RawPacket[VideoStream], *, analyse: bool) -> Iterator[Packet | Frame]:
        """Yield the packet, and the frames that become due with it; CameraError when the camera changed its codec."""
        data = bytes(raw)
        if self._is_foreign(data):
            return
        if raw.is_keyframe:
            self._look_for_change(raw, data)
        pts, dts = raw.pts or 0, raw.dts or 0
        mono = self._timeline.arrive(float(pts * raw.time_base), float(dts * raw.time_base))
        duration = raw.duration or 0
        yield Packet(stream=self._info, data=data, pts=pts, dts=dts, duration=duration, key=raw.is_keyframe, mono=mono)
        if analyse:
            yield from self._decoder.feed(raw, self._info.epoch)
        else:
            self._decoder.pause()

    def drain(self) -> Iterator[Packet | Frame]:
        """Yield the frames that the decoder still holds."""
        yield from self._decoder.drain(self._info.epoch)

    def _is_foreign(self, data: bytes) -> bool:
        """Return whether the packet is of no use to a decoder of this stream."""
        if not is_foreign(self._codec, data):
            self._foreign = 0
            return False
        self._foreign += 1
        if self._foreign >= _FOREIGN:
            raise CameraError(f"the camera no longer sends {self._codec}")
        return True

    def _look_for_change(self, raw: RawPacket[VideoStream], data: bytes) -> None:
        """Begin a new epoch when the parameter sets at a key frame are others than before."""
        if raw.has_sidedata("new_extradata"):
            self._info = self._describe(bytes(raw.get_sidedata("new_extradata")), data)
            return
        sets = parameter_sets(self._codec, data)
        if not sets or sets == self._sets:
            return
        first, self._sets = not self._sets, sets
        if not first or not self._info.extradata:
            self._info = self._describe(sets, data)

    def _describe(self, extradata: bytes, data: bytes = b"") -> StreamInfo:
        context = self._stream.codec_context
        width, height = picture_size(self._codec, extradata, data) if data else (context.width, context.height)
        return StreamInfo(
            camera=self._camera,
            epoch=next(self._epochs),
            codec=self._codec,
            extradata=extradata,
            width=width,
            height=height,
            time_base=self._time_base,
            rate=self._rate,
        )


class Transcode:
    """Everything decoded, and encoded anew to H.264."""

    def __init__(
        self, camera: str, stream: VideoStream, settings: CameraSettings, timeline: Timeline, epochs: Iterator[int]
    ) -> None:
        self._camera = camera
        self._timeline = timeline
        self._context = stream.codec_context
        self._context.thread_count = 1
        self._time_base = stream.time_base or Fraction(1, 90_000)
        self._picker = Picker(settings.analysis_rate)
        rate = float(stream.average_rate or settings.rate)
        self._encoder = Encoder(
            camera, epochs=epochs, rate=rate, quality=settings.quality, keyframes=float(settings.keyframes)
        )
        self._damaged = 0

    def feed(self, raw: RawPacket[VideoStream], *, analyse: bool) -> Iterator[Packet | Frame]:
        """Yield an encoded packet for each picture, and the frame of it when it is due."""
        for picture in self._decode(raw):
            yield from self._both(picture, analyse=analyse)

    def drain(self) -> Iterator[Packet | Frame]:
        """Yield what the decoder still holds; the encoder holds nothing back."""
        for picture in self._decode(None):
            yield from self._both(picture, analyse=True)
        self._context.flush_buffers()

    def _both(self, picture: VideoFrame, *, analyse: bool) -> Iterator[Packet | Frame]:
        if picture.pts is None:
            return
        seconds = float(picture.pts * self._time_base)
        mono = self._timeline.arrive(seconds, seconds)
        picture = planar(picture)
        packet = self._encoder.encode(picture, ticks(seconds), mono)
        if packet is None:
            return
        yield packet
        if analyse and self._picker.take(seconds):
            luma = shrink(luma_plane(picture))
            yield Frame(camera=self._camera, epoch=packet.stream.epoch, pts=packet.pts, mono=mono, luma=luma)

    def _decode(self, raw: RawPacket[VideoStream] | None) -> list[VideoFrame]:
        try:
            pictures = self._context.decode(raw)
        except av.error.InvalidDataError:
            self._damaged += 1
            if self._damaged >= _DAMAGED:
                raise CameraError(f"{self._context.name} video can't be decoded") from None
            return []
        self._damaged = 0
        return pictures
