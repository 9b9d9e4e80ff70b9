"""A JPEG's comment: what a snapshot says of itself, as a clip part does in its MP4.

Source: ITU-T T.81 (JPEG), B.1.1 and B.2.4.5; JFIF 1.02 wants its own segment first, so the comment follows it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_START = b"\xff\xd8"
_JFIF, _COMMENT, _SCAN = 0xE0, 0xFE, 0xDA  # second bytes of the markers APP0, COM and SOS
_LONGEST = 0xFFFF - 2  # bytes of a segment, whose length counts itself


def with_comment(jpeg: bytes, text: str) -> bytes:
    """Return `jpeg` with the comment `text`; ValueError when it is too long for one, or `jpeg` is no JPEG."""
    data = text.encode()
    if len(data) > _LONGEST or not jpeg.startswith(_START):
        raise ValueError(f"a comment of {len(data)} bytes can't be put into these {len(jpeg)} bytes")
    at = next((end for kind, _, end in _segments(jpeg) if kind == _JFIF), len(_START))
    return jpeg[:at] + struct.pack(">BBH", 0xFF, _COMMENT, len(data) + 2) + data + jpeg[at:]


def comment_of(jpeg: bytes) -> str:
    """Return the first comment of a JPEG, "" when it has none or can't be read."""
    for kind, start, end in _segments(jpeg):
        if kind == _COMMENT:
            return jpeg[start:end].decode(errors="replace")
    return ""


def _segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (kind, offset of the content, end) of each segment before the picture's own data."""
    at = len(_START)
    while jpeg.startswith(_START) and at + 4 <= len(jpeg):
        mark, kind, length = struct.unpack_from(">BBH", jpeg, at)
        end = at + 2 + length
        if mark != 0xFF or kind == _SCAN or length < 2 or end > len(jpeg):  # noqa: PLR2004 -- the length counts itself
            return
        yield kind, at + 4, end
        at = end
