"""What a fragmented MP4 holds up to its last whole fragment, read from its boxes alone.

For files that a crash cut off anywhere: a fragment (moof and mdat) counts when both are there in full, the samples that
the moof lists fill the mdat exactly, and the units inside them add up. A fragment whose last pages never reached the
disk reads as zeros and fails the last test. Sources: ISO/IEC 14496-12 (2022) sections 4.2, 8.4.2, 8.5.2 and 8.8;
14496-15 section 5.4 (sample entries). Made for the files of `record.clip`: one track, one run a fragment, offsets
relative to the fragment.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edged.record.nal import BadBitstreamError, length_prefixed_units, length_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_HEADER_LIMIT = 1 << 20  # bytes of a moov or moof: ours have a few hundred, so more is damage
_ENTRY = 78  # bytes of a visual sample entry before its inner boxes
_CODECS = {b"avc1": ("h264", b"avcC"), b"hvc1": ("hevc", b"hvcC"), b"hev1": ("hevc", b"hvcC")}
_MOST_SAMPLES = 100_000  # in a fragment; one of ours has some dozens
_DURATION, _SIZE, _FLAGS, _OFFSET = 0x100, 0x200, 0x400, 0x800  # fields of a trun's samples


class BadFileError(ValueError):
    """The file does not even have a whole header."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """A file's whole part: `whole` bytes that hold `fragments` fragments and `seconds` of video."""

    whole: int
    fragments: int
    seconds: float
    codec: str
    width: int
    height: int
    comment: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Header:
    codec: str
    width: int
    height: int
    timescale: int
    prefix: int  # bytes of a unit's length
    sample_duration: int  # from trex, when a fragment names none
    sample_size: int
    comment: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fragment:
    end: int  # offset in the file
    data: int  # offset of the mdat's content
    sizes: tuple[int, ...]
    until: int  # decoding time of its end, in the track's timescale


def contents(file: BinaryIO, size: int) -> Contents:
    """Read what a file of `size` bytes holds; BadFileError when it has no whole header, OSError from the disk."""
    header, fragments, end = _scan(file, size)
    while fragments and not _sound(file, fragments[-1], header.prefix):
        fragments.pop()
        end = None
    last = fragments[-1] if fragments else None
    return Contents(
        whole=end or (last.end if last else 0),
        fragments=len(fragments),
        seconds=last.until / header.timescale if last else 0.0,
        codec=header.codec,
        width=header.width,
        height=header.height,
        comment=header.comment,
    )


def _scan(file: BinaryIO, size: int) -> tuple[_Header, list[_Fragment], int | None]:
    """Return the header, the fragments that are there, and the file's end when it was closed in good order."""
    header: _Header | None = None
    fragments: list[_Fragment] = []
    moof, moof_at = b"", 0
    for kind, at, start, end in _top_boxes(file, size):
        if kind == b"moov":
            header = _read_header(_content(file, start, end))
        elif kind == b"moof":
            moof, moof_at = _content(file, start, end), at
        elif kind == b"mdat" and header is not None and moof:
            fragment = _read_fragment(moof, moof_at, start, end, header)
            if fragment is None:
                break
            fragments.append(fragment)
            moof = b""
        elif kind == b"mfra" and end == size:
            return _known(header), fragments, size
    return _known(header), fragments, None


def _known(header: _Header | None) -> _Header:
    if header is None:
        raise BadFileError("it has no whole header")
    return header


def _top_boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield (kind, offset, offset of the content, end) of each box that is there in full."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        start = at + 8
        if length == 1 and len(head) == 16:  # noqa: PLR2004 -- a 64-bit length follows
            (length,) = struct.unpack(">Q", head[8:])
            start = at + 16
        end = at + length
        if end < start or end > size:
            return
        yield kind, at, start, end
        at = end


def _content(file: BinaryIO, start: int, end: int) -> bytes:
    if end - start > _HEADER_LIMIT:
        return b""
    file.seek(start)
    return file.read(end - start)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length < 8 or at + length > len(data):  # noqa: PLR2004 -- a box's own header
            return
        yield kind, data[at + 8 : at + length]
        at += length


def _find(data: bytes, *path: bytes) -> bytes:
    """Return the content of the first box at `path`; BadFileError when there is none."""
    for kind in path:
        found = next((content for name, content in _boxes(data) if name == kind), None)
        if found is None:
            raise BadFileError(f"it has no {b'/'.join(path).decode('latin-1')}")
        data = found
    return data


def _read_header(moov: bytes) -> _Header:
    try:
        entry, body = next(_boxes(_find(moov, b"trak", b"mdia", b"minf", b"stbl", b"stsd")[8:]))
        codec, record = _CODECS[entry]
        width, height = struct.unpack_from(">HH", body, 24)
        mdhd = _find(moov, b"trak", b"mdia", b"mdhd")
        (timescale,) = struct.unpack_from(">I", mdhd, 20 if mdhd[0] else 12)
        duration, sample_size = struct.unpack_from(">II", _find(moov, b"mvex", b"trex"), 12)
        return _Header(
            codec=codec,
            width=width,
            height=height,
            timescale=timescale or 1,
            prefix=length_size(codec, _find(body[_ENTRY:], record)),
            sample_duration=duration,
            sample_size=sample_size,
            comment=_comment(moov),
        )
    except (struct.error, IndexError, KeyError, StopIteration, BadBitstreamError) as error:
        raise BadFileError(f"its header is damaged: {error!r}") from error


def _comment(moov: bytes) -> str:
    try:
        data = _find(_find(moov, b"udta", b"meta")[4:], b"ilst", b"\xa9cmt", b"data")
    except BadFileError:
        return ""
    return data[8:].decode(errors="replace")


def _read_fragment(moof: bytes, moof_at: int, start: int, end: int, header: _Header) -> _Fragment | None:
    """Return the fragment of `moof` and the mdat from `start` to `end`; None when the two don't fit together."""
    try:
        traf = _find(moof, b"traf")
        duration, size = _defaults(_find(traf, b"tfhd"), header)
        tfdt = _find(traf, b"tfdt")
        (begin,) = struct.unpack_from(">Q" if tfdt[0] else ">I", tfdt, 4)
        offset, samples = _run(_find(traf, b"trun"), duration, size)
    except (BadFileError, struct.error, IndexError):
        return None
    sizes = tuple(sample[1] for sample in samples)
    # without the last condition some bytes could claim thousands of empty samples, and a small file fill the memory
    if moof_at + offset != start or sum(sizes) != end - start or not all(sizes):
        return None
    return _Fragment(end=end, data=start, sizes=sizes, until=begin + sum(sample[0] for sample in samples))


def _defaults(tfhd: bytes, header: _Header) -> tuple[int, int]:
    """Return duration and size of a sample whose run names none."""
    flags = int.from_bytes(tfhd[1:4], "big")
    at = 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
    duration, size = header.sample_duration, header.sample_size
    if flags & 8:
        (duration,) = struct.unpack_from(">I", tfhd, at)
        at += 4
    if flags & 16:
        (size,) = struct.unpack_from(">I", tfhd, at)
    return duration, size


def _run(trun: bytes, duration: int, size: int) -> tuple[int, list[tuple[int, int]]]:
    """Return the offset of the run's data from its moof, and duration and size of each sample."""
    flags = int.from_bytes(trun[1:4], "big")
    count, offset = struct.unpack_from(">Ii", trun, 4)
    at = 12 + 4 * bool(flags & 4)
    fields = [flag for flag in (_DURATION, _SIZE, _FLAGS, _OFFSET) if flags & flag]
    if count > _MOST_SAMPLES:
        raise BadFileError(f"a fragment names {count} samples")
    samples = []
    for _ in range(count):
        values = dict(zip(fields, struct.unpack_from(f">{len(fields)}I", trun, at), strict=True))
        samples.append((values.get(_DURATION, duration), values.get(_SIZE, size)))
        at += 4 * len(fields)
    return offset, samples


def _sound(file: BinaryIO, fragment: _Fragment, prefix: int) -> bool:
    """Return whether the fragment's samples are whole units."""
    file.seek(fragment.data)
    try:
        for size in fragment.sizes:
            for _ in length_prefixed_units(file.read(size), prefix):
                pass
    except BadBitstreamError:
        return False
    return True
