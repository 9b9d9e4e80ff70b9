"""Encoded packets made on the spot: a drawn scene, with the codec, the GOP and the B-frames that a test wants."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from functools import cache

import av
import numpy as np

from edged.model import Packet, StreamInfo

RATE = 10


def packets(
    *,
    seconds: float,
    start: float = 100.0,
    codec: str = "h264",
    gop: int = RATE,
    bframes: int = 0,
    size: tuple[int, int] = (160, 96),
    epoch: int = 1,
    annex_b: bool = False,
    level: int = 40,
) -> list[Packet]:
    """Return `seconds` of video whose first picture arrives at `start` (mono), in decoding order."""
    stream, units = _encoded(codec, round(seconds * RATE), gop, bframes, size, annex_b, level)
    stream = replace(stream, epoch=epoch)
    first = min(unit.pts for unit in units)
    return [replace(unit, stream=stream, mono=start + float((unit.pts - first) * stream.time_base)) for unit in units]


@cache
def _encoded(  # noqa: PLR0917 -- a cache keyed by all of them
    codec: str, count: int, gop: int, bframes: int, size: tuple[int, int], annex_b: bool, level: int
) -> tuple[StreamInfo, tuple[Packet, ...]]:
    """Encode once for all tests that want the same."""
    buffer = io.BytesIO()
    # MP4 keeps its units length-prefixed with a configuration record, MPEG-TS behind start codes without one
    with av.open(buffer, "w", format="mpegts" if annex_b else "mp4") as out:
        stream = out.add_stream("libx264" if codec == "h264" else "libx265", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.gop_size = gop
        stream.options = (
            {"preset": "ultrafast", "bf": str(bframes), "sc_threshold": "0", "keyint_min": str(gop)}
            if codec == "h264"
            else {"preset": "ultrafast", "x265-params": f"log-level=none:bframes={bframes}:keyint={gop}:scenecut=0"}
        )
        stream.codec_context.max_b_frames = bframes
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(_drawn(number, size, level), format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as source:
        video = source.streams.video[0]
        info = StreamInfo(
            camera="door",
            epoch=1,
            codec=codec,
            extradata=b"" if annex_b else bytes(video.codec_context.extradata or b""),
            width=size[0],
            height=size[1],
            time_base=Fraction(video.time_base or 0),
            rate=float(RATE),
        )
        return info, tuple(
            Packet(
                stream=info,
                data=bytes(unit),
                pts=unit.pts or 0,
                dts=unit.dts,
                duration=unit.duration or 0,
                key=unit.is_keyframe,
                mono=0.0,
            )
            for unit in source.demux(video)
            if unit.dts is not None
        )


def _drawn(number: int, size: tuple[int, int], level: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Draw a square that moves over a slope of grey, so that each picture differs from the one before."""
    width, height = size
    picture = np.tile(np.linspace(level, 200, width, dtype=np.uint8), (height, 1))
    left = number * 3 % (width - 16)
    picture[height // 3 : height // 3 + 16, left : left + 16] = 250
    return picture


def padded(unit: Packet, size: int) -> Packet:
    """Return a packet that decodes to the same picture and weighs `size` bytes, by a unit of filler data."""
    filler = b"\x0c" + b"\xff" * (size - len(unit.data) - 6) + b"\x80"
    return replace(unit, data=unit.data + len(filler).to_bytes(4, "big") + filler)
