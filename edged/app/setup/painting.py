"""A picture in a terminal: two pixels a character, the upper half block's own colour and its background's."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_WIDEST = 64  # characters
_HALF = "\N{UPPER HALF BLOCK}"
_RESET = "\x1b[0m"
_PLAIN = {"", "dumb", "linux", "unknown"}  # the Linux console has 16 colours


def colours(environ: Mapping[str, str], encoding: str) -> int:
    """Return how many colours a terminal shows: 2**24, 256, or 0 where pictures are not to be tried.

    ssh passes TERM on and COLORTERM seldom, so 256 is what most people see.
    """
    terminal = environ.get("TERM", "")
    if terminal in _PLAIN or terminal.startswith("vt") or encoding.lower().replace("-", "") != "utf8":
        return 0
    if environ.get("COLORTERM") in {"truecolor", "24bit"} or terminal.endswith("-direct"):
        return 1 << 24
    return 256


def paint(jpeg: bytes, depth: int, columns: int = 0) -> str:
    """Return a picture as lines of text with colour codes; "" where `depth` is 0 or the JPEG can't be read."""
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None or not depth:
        return ""
    width = min(columns or shutil.get_terminal_size().columns, _WIDEST, decoded.shape[1])
    height = max(2, round(width * decoded.shape[0] / decoded.shape[1] / 2) * 2)
    picture = cv2.resize(decoded, (width, height), interpolation=cv2.INTER_AREA)[:, :, ::-1].astype(int)
    rows = zip(picture[0::2], picture[1::2], strict=True)
    return "\n".join(
        "".join(
            f"\x1b[{_code(38, above, depth)};{_code(48, below, depth)}m{_HALF}"
            for above, below in zip(*row, strict=True)
        )
        + _RESET
        for row in rows
    )


def own_colours(environ: Mapping[str, str]) -> int:
    """Return the colours of the terminal that standard output is."""
    return colours(environ, sys.stdout.encoding or "") if sys.stdout.isatty() else 0


def _code(layer: int, pixel: NDArray[np.int64], depth: int) -> str:
    """Return the SGR code of a colour: direct (ISO 8613-6), or of xterm's cube of 6 x 6 x 6 and its greys."""
    red, green, blue = (int(part) for part in pixel)
    if depth > 256:  # noqa: PLR2004 -- xterm's palette
        return f"{layer};2;{red};{green};{blue}"
    if max(red, green, blue) - min(red, green, blue) < 12:  # noqa: PLR2004 -- near enough to grey, of which there are more
        return f"{layer};5;{232 + min(23, (red + green + blue) // 32)}"
    steps = [min(5, round(part / 51)) for part in (red, green, blue)]
    return f"{layer};5;{16 + 36 * steps[0] + 6 * steps[1] + steps[2]}"
