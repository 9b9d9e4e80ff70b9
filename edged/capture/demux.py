"""Demuxing: the video packets of a source, with stamps that can be relied on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import av

from edged.base.errors import CameraError
from edged.capture.source import explain
from edged.capture.stamps import Stamper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.packet import Packet as RawPacket
    from av.video.stream import VideoStream

    from edged.base.clock import Clock
    from edged.capture.source import Source


_USUAL_RATE = 25  # pictures a second, of a source that does not say
_NAP = 0.01  # seconds between two looks at a device that has no picture yet

# Pictures one after the other without any time: libav makes stamps up, at 25 a second whatever the camera's rate
_TIMELESS = frozenset({"mpjpeg"})


class Demuxer:
    """The video packets of an open source, pass by pass; the stamps of all passes are one run.

    A source that gives no picture for `patience` seconds breaks off: whoever waits in a read can't be interrupted, and
    would keep the device or the connection for ever.
    """

    def __init__(self, source: Source, clock: Clock, patience: float) -> None:
        self._source = source
        self._clock = clock
        self._patience = patience
        self._stamper = _stamper(source.stream)
        self._first: int | None = None  # pts of the first packet of this pass

    def packets(self) -> Iterator[RawPacket[VideoStream]]:
        """Yield packets with complete stamps until the source ends; CameraError when it breaks off."""
        try:
            for raw in self._raws():
                if raw.size:  # the one at the end is empty
                    yield self._stamped(raw)
            if self._first is None:
                raise CameraError(f"{self._source.name} holds no picture that can be read")
        except (av.FFmpegError, OSError) as error:
            raise CameraError(explain(error, self._source.name)) from None  # the cause's text may contain the URL

    def rewind(self) -> None:
        """Go back to the beginning of a file, after a pass that gave packets."""
        if self._first is not None:
            self._stamper.rewind(self._first)
        self._first = None
        self._source.container.seek(0)

    def _raws(self) -> Iterator[RawPacket[VideoStream]]:
        """Yield the packets of the video stream as they come."""
        heard = self._clock.mono()
        while True:
            try:
                # Of all streams, though one is wanted: where only the sound goes on this must be noticed.
                for raw in self._source.container.demux():
                    if raw.stream.index == self._source.stream.index:
                        yield cast("RawPacket[VideoStream]", raw)
                        heard = self._clock.mono()
                    elif self._clock.mono() - heard > self._patience:
                        raise CameraError(f"{self._source.name} sends sound but no picture")
            except BlockingIOError:  # of a device, which is not waited for but asked
                if self._clock.mono() - heard > self._patience:
                    raise CameraError(f"{self._source.name} did not answer in time") from None
                time.sleep(_NAP)
            else:
                return

    def _stamped(self, raw: RawPacket[VideoStream]) -> RawPacket[VideoStream]:
        if self._first is None:
            self._first = raw.pts if raw.pts is not None else raw.dts or 0
        now = self._clock.mono()
        if self._source.container.format.name in _TIMELESS:
            raw.pts = raw.dts = round(now / raw.time_base)
        stamps = self._stamper.stamp(raw.pts, raw.dts, raw.duration, now)
        raw.pts, raw.dts, raw.duration = stamps.pts, stamps.dts, stamps.duration
        return raw


def _stamper(stream: VideoStream) -> Stamper:
    """Return a stamper for the stream's time base and rate."""
    second = float(1 / stream.time_base) if stream.time_base else 1.0
    usual = round(second / float(stream.average_rate or _USUAL_RATE))
    return Stamper(second=second, usual=usual, reorder=stream.codec_context.reorder_depth)
