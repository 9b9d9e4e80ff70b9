"""Parameter sets inside the stream: how a change of resolution or profile shows (ITU-T H.264 7.3, H.265 7.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_START = b"\x00\x00\x01"
_H264_SETS = frozenset({7, 8})  # sequence and picture parameter sets
_HEVC_SETS = frozenset({32, 33, 34})  # video, sequence and picture parameter sets
_UNUSED = frozenset({0, 2, 3, 4})
_NEVER_REFERENCES = frozenset({6, 9, 10, 11, 12})
_HEVC_BASE = 1  # second byte of a header: base layer, lowest temporal sub-layer
_HEVC_SLICES = 32  # types below are slices


def is_annex_b(data: bytes) -> bool:
    """Return whether `data` is in the byte stream format: start codes, not lengths, part the units."""
    return data.startswith((_START, b"\x00" + _START))


def is_foreign(codec: str, data: bytes) -> bool:
    """Return whether the byte stream packet `data` can't be of `codec`, by the header of its first unit.

    H.264 (7.4.1): forbidden_zero_bit, types that no camera sends, and a nal_ref_idc that must be 0, there with HEVC's
    second byte, for some cameras are careless. HEVC (7.4.2.2): forbidden_zero_bit, a layer, no temporal id.
    """
    start = data.find(_START) + len(_START)
    if not is_annex_b(data) or len(data) < start + 2:
        return False
    first, second = data[start], data[start + 1]
    if first & 0x80:
        return True
    if codec == "h264":
        kind, reference = first & 0x1F, first >> 5
        return kind in _UNUSED or (kind in _NEVER_REFERENCES and reference > 0 and second == _HEVC_BASE)
    return bool(first & 1 or second >> 3 or not second & 7)


def parameter_sets(codec: str, data: bytes) -> bytes:
    """Return the parameter sets ahead of the first slice of a byte stream packet, b"" when there are none."""
    if not is_annex_b(data):
        return b""
    found = []
    for unit in _units(data):
        kind = _kind(codec, unit)
        if _is_set(codec, kind):
            found.append(b"\x00" + _START + unit)
        elif _is_slice(codec, kind):
            break
    return b"".join(found)


def _units(data: bytes) -> Iterator[bytes]:
    begin = data.find(_START) + len(_START)
    while True:
        end = data.find(_START, begin)
        if end < 0:
            yield data[begin:]
            return
        yield data[begin:end].rstrip(b"\x00")
        begin = end + len(_START)


def _kind(codec: str, unit: bytes) -> int:
    if not unit:
        return -1
    return unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F


def _is_set(codec: str, kind: int) -> bool:
    return kind in (_H264_SETS if codec == "h264" else _HEVC_SETS)


def _is_slice(codec: str, kind: int) -> bool:
    return 1 <= kind <= 5 if codec == "h264" else 0 <= kind < _HEVC_SLICES  # noqa: PLR2004 -- slice types of H.264
