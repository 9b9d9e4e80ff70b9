"""Stills: the right picture, in its true colours, at a size that travels."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from edged.model import Packet, StreamInfo
from edged.record.snapshot import NoPictureError, still
from tests.record.footage import packets


def decoded(jpeg: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a JPEG's picture as OpenCV reads it (BGR)."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8)


@pytest.mark.parametrize("annex_b", [False, True], ids=["records", "in-band"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("bframes", [0, 2])
def test_the_wanted_picture_is_the_one_shown(codec: str, bframes: int, annex_b: bool) -> None:
    """Also among pictures out of order, the still shows the moment that was asked for."""
    units = packets(seconds=1, codec=codec, bframes=bframes, annex_b=annex_b)
    order = sorted(unit.pts for unit in units)
    for number in (0, 3, 7):
        last = next(index for index, unit in enumerate(units) if unit.pts == order[number])
        picture = decoded(still(units[: last + 1], width=1280, quality=95).jpeg)
        bright = np.flatnonzero(picture[40, :, 0] > 235)
        assert number * 3 - 2 <= bright[0] <= number * 3 + 2


# luma and chroma of a colour, as ITU-R BT.601 and BT.709 code it
COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200), "skin": (224, 172, 140)}
WEIGHTS = {"601": (0.299, 0.114), "709": (0.2126, 0.0722)}


@pytest.mark.parametrize("colour", list(COLOURS))
@pytest.mark.parametrize(
    ("matrix", "full", "told", "height"),
    [
        pytest.param("601", False, True, 96, id="601 limited"),
        pytest.param("709", False, True, 96, id="709 limited"),
        pytest.param("601", True, True, 96, id="601 full"),
        pytest.param("709", True, True, 96, id="709 full"),
        pytest.param("601", False, False, 96, id="small and untold is 601"),
        pytest.param("709", False, False, 720, id="large and untold is 709"),
    ],
)
def test_colours_are_those_of_the_scene(colour: str, matrix: str, full: bool, told: bool, height: int) -> None:
    """Whatever matrix and range the camera codes with, red is that red."""
    unit = flat(COLOURS[colour], matrix, full=full, told=told, height=height)
    blue, green, red = decoded(still([unit], width=1280, quality=95).jpeg)[height // 2, 40].astype(int)
    assert (red, green, blue) == pytest.approx(COLOURS[colour], abs=5)


def flat(rgb: tuple[int, int, int], matrix: str, *, full: bool, told: bool, height: int) -> Packet:
    """Encode a picture of one colour, converted here by the standard's own formula."""
    kr, kb = WEIGHTS[matrix]
    red, green, blue = (value / 255 for value in rgb)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    parts = luma, (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    scale, offset, chroma = (255, 0, 255) if full else (219, 16, 224)
    values = [round(parts[0] * scale + offset), *(round(part * chroma + 128) for part in parts[1:])]
    frame = av.VideoFrame(160, height, "yuv420p")
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.pts, frame.time_base = 0, Fraction(1, 10)
    params = f"colormatrix={'smpte170m' if matrix == '601' else 'bt709'}:fullrange={'on' if full else 'off'}:qp=4"
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "x264-params": params if told else "qp=4"}
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as source:
        video = source.streams.video[0]
        unit = next(unit for unit in source.demux(video) if unit.size)
        info = StreamInfo(
            camera="door",
            epoch=1,
            codec="h264",
            extradata=bytes(video.codec_context.extradata or b""),
            width=160,
            height=height,
            time_base=Fraction(1, 10),
            rate=10.0,
        )
        return Packet(stream=info, data=bytes(unit), pts=0, dts=0, duration=1, key=True, mono=1.0)


def test_a_large_picture_is_scaled_down_and_a_small_one_left() -> None:
    """The greatest width holds, in proportion; nothing is blown up."""
    units = packets(seconds=0.1, size=(640, 384))
    assert [
        (got.width, got.height) for got in (still(units, width=320, quality=80), still(units, width=1280, quality=80))
    ] == [
        (320, 192),
        (640, 384),
    ]


def test_without_a_decodable_packet_there_is_no_picture() -> None:
    """No packets, or noise: told as such, so that the alert goes out without a picture."""
    (unit,) = packets(seconds=0.1)
    for nothing in ([], [replace(unit, data=b"\0\0\0\4abcd")]):
        with pytest.raises(NoPictureError):
            still(nothing, width=1280, quality=80)


def test_a_damaged_packet_costs_its_own_picture() -> None:
    """The nearest picture that can be decoded stands in."""
    units = packets(seconds=1)
    picture = still([*units[:5], replace(units[5], data=b"\0\0\0\4abcd")], width=1280, quality=95)
    bright = np.flatnonzero(decoded(picture.jpeg)[40, :, 0] > 235)
    assert 10 <= bright[0] <= 14
