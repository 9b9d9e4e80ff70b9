from __future__ import annotations

import pytest

from edged.capture.parameters import is_foreign

H264 = ["09f0", "0605", "6764", "6588", "4188", "6101", "2701", "2588", "0188", "6605", "29f0"]
HEVC = ["4001", "4201", "4601", "2601", "2801", "2a01", "0201", "0001", "4e01", "0202"]


@pytest.mark.parametrize(
    ("codec", "header", "foreign"),
    [
        *(("h264", header, False) for header in H264),
        *(("hevc", header, False) for header in HEVC),
        *(("h264", header, True) for header in ("4001", "4601", "2601", "2a01", "0201", "0001")),
        *(("hevc", header, True) for header in ("09f0", "6764", "6588", "4188", "0188")),
        ("h264", "b600", True),  # MPEG-4: a picture
        ("hevc", "b600", True),
        ("h264", "", False),
    ],
)
def test_another_codec_shows_in_the_first_header(codec: str, header: str, foreign: bool) -> None:
    """What the one sends can't be the other's, while headers of careless cameras are let through."""
    assert is_foreign(codec, b"\0\0\0\1" + bytes.fromhex(header)) is foreign
    assert is_foreign(codec, b"\0\0\1" + bytes.fromhex(header)) is foreign


def test_lengths_instead_of_start_codes_are_not_judged() -> None:
    """A file's units have their lengths in front: there is no header where one is looked for."""
    assert not is_foreign("h264", b"\0\0\x10\0\xb6\0")
