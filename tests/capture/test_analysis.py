from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.analysis import PIXELS, Picker, analysis_size, shrink
from edged.capture.parameters import is_annex_b, parameter_sets


@pytest.mark.parametrize(
    ("size", "small"),
    [((1920, 1080), (320, 180)), ((640, 480), (277, 207)), ((480, 640), (207, 277)), ((160, 120), (160, 120))],
)
def test_the_analysis_keeps_the_aspect_and_never_enlarges(size: tuple[int, int], small: tuple[int, int]) -> None:
    """Landscape and portrait come to the same number of pixels; a small picture stays as it is."""
    assert analysis_size(*size) == small


@given(st.integers(16, 8192), st.integers(16, 8192))
def test_the_analysis_is_never_too_large(width: int, height: int) -> None:
    """Whatever the camera's size, analysis costs no more than planned."""
    small = analysis_size(width, height)
    assert small[0] * small[1] <= max(PIXELS, 1)
    assert min(small) >= 1


def test_a_small_picture_is_the_mean_of_its_areas_and_read_only() -> None:
    """A checkerboard of single pixels becomes an even grey; nobody can change what others look at."""
    board = (np.indices((360, 640)).sum(axis=0) % 2 * 200).astype(np.uint8)
    small = shrink(board)
    assert small.shape == (180, 320)
    assert np.all(abs(small.astype(int) - 100) <= 1)
    assert not small.flags.writeable
    tiny = np.zeros((12, 16), np.uint8)
    assert not np.shares_memory(shrink(tiny), tiny)


@pytest.mark.parametrize(
    ("source", "wanted", "taken"),
    [(25, 8, 8), (30, 10, 10), (15, 8, 8), (10, 8, 8), (8, 8, 8), (5, 8, 5), (12, 6, 6)],
)
def test_frames_come_at_the_wanted_rate(source: float, wanted: float, taken: float) -> None:
    """Over a minute the rate is met to within 3 %, whatever the source's; a slow source gives all it has."""
    picker = Picker(wanted)
    count = sum(picker.take(number / source) for number in range(int(60 * source)))
    assert count == pytest.approx(60 * taken, rel=0.03)


def test_the_picker_survives_a_jump_of_time() -> None:
    """After a pause, or a clock that starts anew, the next picture is taken."""
    picker = Picker(8)
    assert picker.take(100.0)
    assert picker.take(500.0)
    assert picker.take(3.0)
    assert not picker.take(3.01)


H264 = b"\0\0\0\1\x67AB\0\0\0\1\x68C\0\0\1\x65slice\0\0\1\x67later"
HEVC = b"\0\0\0\1\x40\1V\0\0\0\1\x42\1S\0\0\0\1\x44\1P\0\0\1\x28\1slice"


@pytest.mark.parametrize(
    ("codec", "data", "sets"),
    [
        ("h264", H264, b"\0\0\0\1\x67AB\0\0\0\1\x68C"),
        ("hevc", HEVC, b"\0\0\0\1\x40\1V\0\0\0\1\x42\1S\0\0\0\1\x44\1P"),
        ("h264", b"\0\0\0\1\x65slice", b""),
        ("h264", b"\0\0\x02\x67length and unit", b""),
        ("h264", b"\0\0\1", b""),
        ("h264", b"", b""),
    ],
)
def test_parameter_sets_are_those_ahead_of_the_first_slice(codec: str, data: bytes, sets: bytes) -> None:
    """Start codes of three and four bytes are understood, and units with lengths left alone."""
    assert parameter_sets(codec, data) == sets


@given(st.binary(max_size=80), st.sampled_from(["h264", "hevc"]))
def test_no_bytes_break_the_search_for_parameter_sets(data: bytes, codec: str) -> None:
    """Whatever a camera sends, what is found is a byte stream or nothing."""
    found = parameter_sets(codec, data)
    assert found == b"" or is_annex_b(found)
