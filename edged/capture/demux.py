"""Demuxing: the video packets of a source, with stamps that can be relied on."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def stamped(source: Source, clock: Clock, *, loop: bool) -> Iterator[RawPacket[VideoStream]]:
    """Yield the video packets with their stamps complete; with `loop` a file goes on with its beginning."""
    stamper = _stamper(source.stream)
    while True:
        first: int | None = None
        for raw in _demux(source):
            if first is None:
                first = raw.pts if raw.pts is not None else raw.dts
            stamps = stamper.stamp(raw.pts, raw.dts, raw.duration, clock.mono())
            raw.pts, raw.dts, raw.duration = stamps.pts, stamps.dts, stamps.duration
            yield raw
        if not loop or first is None:
            return
        stamper.rewind(first)
        source.container.seek(0)


def _stamper(stream: VideoStream) -> Stamper:
    """Return a stamper for the stream's time base and rate."""
    second = float(1 / stream.time_base) if stream.time_base else 1.0
    usual = round(second / float(stream.average_rate or _USUAL_RATE))
    return Stamper(second=second, usual=usual, reorder=stream.codec_context.reorder_depth)


def _demux(source: Source) -> Iterator[RawPacket[VideoStream]]:
    """Yield the video packets as the source gives them, without the empty one at its end."""
    try:
        for raw in source.container.demux(source.stream):
            if raw.size:
                yield raw
    except (av.FFmpegError, OSError) as error:
        raise CameraError(explain(error, source.name)) from None  # the cause's text may contain the URL
