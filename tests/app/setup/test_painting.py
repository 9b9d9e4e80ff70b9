"""Pictures in a terminal: its size, its colours, and where none is tried."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from edged.app.setup.painting import colours, paint


def jpeg(width: int, height: int) -> bytes:
    """Return a picture, red above and blue below."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, :, 2] = 255
    picture[height // 2 :, :, 0] = 255
    done, data = cv2.imencode(".jpg", picture)
    assert done
    return data.tobytes()


@pytest.mark.parametrize(
    ("environ", "encoding", "wanted"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "utf-8", 1 << 24),
        ({"TERM": "xterm-direct"}, "UTF-8", 1 << 24),
        ({"TERM": "xterm-256color"}, "utf8", 256),
        ({"TERM": "screen"}, "utf-8", 256),
        ({"TERM": "linux", "COLORTERM": "truecolor"}, "utf-8", 0),
        ({"TERM": "vt220"}, "utf-8", 0),
        ({"TERM": "dumb"}, "utf-8", 0),
        ({}, "utf-8", 0),
        ({"TERM": "xterm-256color"}, "iso-8859-1", 0),
    ],
)
def test_a_terminal_gets_what_it_can_show(environ: dict[str, str], encoding: str, wanted: int) -> None:
    """Over ssh COLORTERM seldom arrives; consoles and old terminals get no picture."""
    assert colours(environ, encoding) == wanted


@pytest.mark.parametrize(
    ("depth", "red", "blue"),
    [(1 << 24, r"2;2(4|5)\d;\d;\d", r"2;\d;\d;2(4|5)\d"), (256, "5;196", "5;21")],
)
def test_a_picture_keeps_its_shape_and_colours(depth: int, red: str, blue: str) -> None:
    """Two pixels a character, so 16:9 is about 64 x 18; red is above and blue below."""
    lines = paint(jpeg(1280, 720), depth, columns=200).split("\n")
    assert len(lines) == 18
    assert {line.count("\N{UPPER HALF BLOCK}") for line in lines} == {64}
    assert re.match(rf"\x1b\[38;{red};48;{red}m", lines[0])
    assert re.match(rf"\x1b\[38;{blue};48;{blue}m", lines[-1])
    assert all(line.endswith("\x1b[0m") for line in lines)


def test_a_narrow_terminal_and_a_tiny_picture() -> None:
    """No line is longer than the terminal, no pixel is made up."""
    assert {line.count("▀") for line in paint(jpeg(640, 480), 256, columns=20).split("\n")} == {20}
    assert {line.count("▀") for line in paint(jpeg(8, 8), 256, columns=80).split("\n")} == {8}


def test_what_can_t_be_painted_is_left_out() -> None:
    """No colours, or no picture."""
    assert paint(jpeg(64, 64), 0) == ""
    assert paint(b"no picture", 256) == ""
