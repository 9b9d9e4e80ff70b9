"""NAL units of H.264 and HEVC: parameter sets found, and both ways of framing turned into the one with start codes.

A camera's access units come framed in one of two ways, told by its extradata: "Annex B" (each unit behind a start
code 00 00 01, extradata likewise or empty) or length-prefixed as MP4 keeps them (extradata is an avcC or hvcC record,
first byte 1). Sources: ITU-T H.264 (2021) table 7-1 and annex B; H.265 (2021) table 7-1; ISO/IEC 14496-15 section 5.3.3
(avcC) and 8.3.3 (hvcC).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edged.model import StreamInfo

_START = b"\x00\x00\x01"
_H264_SETS = frozenset({7, 8})  # SPS, PPS
_H264_PICTURE = 5  # highest type of a coded slice; 1 is the lowest
_HEVC_SETS = frozenset({32, 33, 34})  # VPS, SPS, PPS
_HEVC_PICTURE = 31  # highest type of a coded slice, with the reserved ones


class BadBitstreamError(ValueError):
    """Bytes that should be H.264 or HEVC are not."""


def is_record(extradata: bytes) -> bool:
    """Return whether `extradata` is an avcC or hvcC record, so that packets are length-prefixed."""
    return extradata[:1] == b"\x01"


def parameter_sets(stream: StreamInfo) -> bytes:
    """Return the parameter sets in the stream's extradata behind start codes; b"" when it holds none."""
    if not is_record(stream.extradata):
        return _framed(unit for unit in annex_b_units(stream.extradata) if _is_set(stream.codec, unit))
    try:
        return _framed(_avcc_sets(stream.extradata) if stream.codec == "h264" else _hvcc_sets(stream.extradata))
    except (IndexError, struct.error) as error:
        raise BadBitstreamError(f"the {stream.codec} configuration record is cut off") from error


def in_band_sets(stream: StreamInfo, data: bytes) -> bytes:
    """Return the parameter sets that come before the picture in access unit `data`, behind start codes."""
    found = []
    for unit in units(stream, data):
        if _is_set(stream.codec, unit):
            found.append(unit)
        elif _is_picture(stream.codec, unit):
            break
    return _framed(found)


def to_annex_b(stream: StreamInfo, data: bytes) -> bytes:
    """Return access unit `data` framed by start codes."""
    return _framed(units(stream, data)) if is_record(stream.extradata) else data


def units(stream: StreamInfo, data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of access unit `data`; BadBitstreamError when it is cut off."""
    if is_record(stream.extradata):
        return length_prefixed_units(data, length_size(stream.codec, stream.extradata))
    return annex_b_units(data)


def length_size(codec: str, record: bytes) -> int:
    """Return the bytes of each length prefix, as an avcC or hvcC record says: 1 to 4."""
    at = 4 if codec == "h264" else 21
    if len(record) <= at:
        raise BadBitstreamError(f"the {codec} configuration record is cut off")
    return (record[at] & 3) + 1


def length_prefixed_units(data: bytes, size: int) -> Iterator[bytes]:
    """Yield units that each stand behind their length of `size` bytes; BadBitstreamError when the last is cut off."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + size], "big")
        at += size
        if length == 0 or at + length > len(data):
            raise BadBitstreamError(f"a unit of {length} bytes does not fit at byte {at} of {len(data)}")
        yield data[at : at + length]
        at += length


def annex_b_units(data: bytes) -> Iterator[bytes]:
    """Yield the units between start codes."""
    start = data.find(_START)
    while start >= 0:
        start += len(_START)
        end = data.find(_START, start)
        unit = data[start : end if end >= 0 else None].rstrip(b"\x00")  # a longer start code, or trailing zeros
        if unit:
            yield unit
        start = end


def _is_set(codec: str, unit: bytes) -> bool:
    return unit[0] & 0x1F in _H264_SETS if codec == "h264" else unit[0] >> 1 & 0x3F in _HEVC_SETS


def _is_picture(codec: str, unit: bytes) -> bool:
    return 1 <= unit[0] & 0x1F <= _H264_PICTURE if codec == "h264" else unit[0] >> 1 & 0x3F <= _HEVC_PICTURE


def _framed(found: Iterable[bytes]) -> bytes:
    return b"".join(b"\x00" + _START + unit for unit in found)


def _avcc_sets(record: bytes) -> Iterator[bytes]:
    at = 5
    for mask in (0x1F, 0xFF):  # SPS, then PPS
        count = record[at] & mask
        at += 1
        for _ in range(count):
            unit, at = _sized(record, at)
            yield unit


def _hvcc_sets(record: bytes) -> Iterator[bytes]:
    at = 23
    for _ in range(record[22]):
        (count,) = struct.unpack_from(">H", record, at + 1)
        at += 3
        for _ in range(count):
            unit, at = _sized(record, at)
            if _is_set("hevc", unit):
                yield unit


def _sized(record: bytes, at: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from(">H", record, at)
    end = at + 2 + size
    if size == 0 or end > len(record):
        raise IndexError(at)
    return record[at + 2 : end], end
