"""Reading what a crash left: never a byte of a torn fragment, never a whole one given up."""

from __future__ import annotations

import io
import struct
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.clock import Stamp
from edged.record.clip import Label, Part
from edged.record.mp4 import BadFileError, contents
from tests.record.footage import RATE, packets


@cache
def sample(codec: str = "h264", bframes: int = 0) -> tuple[bytes, float]:
    """Return a sealed part of three seconds, and its length as the writer told it."""
    units = packets(seconds=3, codec=codec, bframes=bframes)
    start = Stamp(wall=1.8e9, mono=100.0, boot="boot-1", synced=True)
    with TemporaryDirectory() as directory:
        label = Label(incident="a" * 32, camera="door", part=1, start=start)
        part = Part(Path(directory) / "part-001.mp4", units[0], label, fragment=0.5)
        for unit in units:
            part.write(unit)
        sealed = part.seal()
        return sealed.path.read_bytes(), sealed.seconds


def ends(data: bytes) -> list[int]:
    """Return where the header and each fragment end, found by walking the boxes as a player does."""
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        at += size
        if kind in {b"moov", b"mdat"}:
            found.append(at)
    return found


def read(data: bytes) -> tuple[int, int, float]:
    """Return whole bytes, fragments and seconds of a file."""
    held = contents(io.BytesIO(data), len(data))
    return held.whole, held.fragments, held.seconds


@pytest.mark.parametrize(("codec", "bframes"), [("h264", 0), ("h264", 2), ("hevc", 0), ("hevc", 2)])
def test_a_sealed_file_is_whole(codec: str, bframes: int) -> None:
    """A file that was closed in good order loses nothing, and tells what the writer told."""
    data, seconds = sample(codec, bframes)
    held = contents(io.BytesIO(data), len(data))
    assert held.whole == len(data)
    assert held.fragments == len(ends(data)) - 1
    assert held.seconds == pytest.approx(seconds, abs=0.001)
    assert (held.codec, held.width, held.height) == (codec, 160, 96)
    assert '"camera":"door"' in held.comment


@given(st.data())
def test_a_cut_file_is_whole_up_to_its_last_fragment(data: st.DataObject) -> None:
    """Wherever the file ends, what counts ends at the last fragment before, and no earlier."""
    whole, _ = sample()
    header, *fragments = ends(whole)
    cut = data.draw(st.integers(header, len(whole) - 1))
    before = [end for end in fragments if end <= cut]
    expected = before[-1] if before else 0
    got, count, _ = read(whole[:cut])
    assert (got, count) == (expected, len(before))


def test_what_is_kept_of_a_cut_file_plays() -> None:
    """A player shows every picture of the fragments that count."""
    whole, _ = sample(bframes=2)
    for end in ends(whole)[1:]:
        size, _, seconds = read(whole[: end + 100])
        with av.open(io.BytesIO(whole[:size]), "r") as file:
            assert sum(1 for _ in file.decode(video=0)) == pytest.approx(seconds * RATE, abs=0.5)


@given(st.data())
def test_pages_that_never_reached_the_disk_are_not_kept(data: st.DataObject) -> None:
    """A file as long as it should be, whose end reads as zeros, is cut before the first torn fragment's pictures."""
    whole, _ = sample()
    fragments = ends(whole)
    last_start = fragments[-2]
    torn_from = data.draw(st.integers(last_start + 8, fragments[-1] - 64))
    torn = whole[:torn_from] + b"\0" * (fragments[-1] - torn_from)
    assert read(torn)[0] == last_start


def test_a_fragment_that_is_not_what_its_list_says_ends_the_file() -> None:
    """A byte that is missing in the middle is found by the sums, and what comes after is not trusted."""
    whole, _ = sample()
    before, end = ends(whole)[2:4]
    mdat = whole.index(b"mdat", before) - 4
    shorter = struct.pack(">I", end - mdat - 1)
    assert read(whole[:mdat] + shorter + whole[mdat + 4 : end - 1] + whole[end:])[:2] == (before, 2)


def test_a_file_without_a_whole_header_is_told() -> None:
    """Nothing can be kept of a file whose header is torn."""
    whole, _ = sample()
    for cut in (0, 7, 40, ends(whole)[0] - 1):
        with pytest.raises(BadFileError, match="header"):
            read(whole[:cut])


@given(st.data())
def test_damage_anywhere_never_crashes_the_reader(data: st.DataObject) -> None:
    """Flipped bytes yield a shorter clip or an error of its own, and never more than the file."""
    whole = bytearray(sample()[0])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        size, _, seconds = read(bytes(whole))
    except BadFileError:
        return
    assert 0 <= size <= len(whole)
    assert seconds >= 0.0
