"""Clip parts: playable, hashed and synced at every fragment, cut back to what is safe when the disk refuses."""

from __future__ import annotations

import errno
import hashlib
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import pytest

from edged.base.clock import Stamp
from edged.record.clip import DiskFile, Label, Part, Sealed, read_label
from edged.record.nal import BadBitstreamError
from tests.record.disks import FailingFile
from tests.record.footage import RATE, packets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edged.model import Packet

LABEL = Label(incident="a" * 32, camera="Türe", part=1, start=Stamp(wall=1.8e9, mono=100.0, boot="boot-1", synced=True))


def record(path: Path, units: Sequence[Packet]) -> Sealed:
    """Write a whole part."""
    part = Part(path, units[0], LABEL, fragment=0.5)
    write_all(part, units)
    return part.seal()


def write_all(part: Part, units: Sequence[Packet]) -> None:
    """Write packets one after the other, as they come from a camera."""
    for unit in units:
        part.write(unit)
        part.sync()


def pictures(path: Path) -> list[float]:
    """Decode a file and return when each of its pictures is shown, in seconds."""
    with av.open(str(path), "r") as file:
        return [float(frame.time or 0.0) for frame in file.decode(video=0)]


@pytest.mark.parametrize("annex_b", [False, True], ids=["records", "in-band"])
@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_part_plays_from_its_first_to_its_last_picture(
    tmp_path: Path, codec: str, bframes: int, annex_b: bool
) -> None:
    """Either codec, either framing, with pictures out of order or not: all are there, evenly spaced, from zero."""
    units = packets(seconds=3, codec=codec, bframes=bframes, annex_b=annex_b)
    sealed = record(tmp_path / "part-001.mp4", units)
    shown = pictures(sealed.path)
    assert len(shown) == 3 * RATE
    steps = [late - early for early, late in pairwise(shown)]
    assert steps == pytest.approx([1 / RATE] * (3 * RATE - 1), abs=0.001)
    assert shown[0] <= (bframes + 1) / RATE
    assert sealed.seconds == pytest.approx(3.0, abs=0.01)
    assert (sealed.codec, sealed.width, sealed.height) == (codec, 160, 96)


def test_the_hash_and_the_size_are_the_files(tmp_path: Path) -> None:
    """What is told to the receiver is what lies on the disk."""
    sealed = record(tmp_path / "part-001.mp4", packets(seconds=2))
    data = sealed.path.read_bytes()
    assert (sealed.size, sealed.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert sealed.path.stat().st_mode & 0o777 == 0o600


def test_the_file_says_itself_what_it_is(tmp_path: Path) -> None:
    """Incident, camera, part and start are in the file, for the day on which everything else is lost."""
    sealed = record(tmp_path / "part-001.mp4", packets(seconds=1))
    with av.open(str(sealed.path), "r") as file:
        assert read_label(file.metadata["comment"]) == LABEL


@pytest.mark.parametrize(
    "text", ["", "holiday", "[]", '{"incident":"a"}', '{"incident":"a","camera":"b","part":1,"start":{}}']
)
def test_a_comment_of_someone_else_is_no_label(text: str) -> None:
    """Only what edged wrote is believed."""
    assert read_label(text) is None


def test_hevc_is_tagged_for_browsers(tmp_path: Path) -> None:
    """Browsers and Apple's players take hvc1, not hev1."""
    sealed = record(tmp_path / "part-001.mp4", packets(seconds=1, codec="hevc"))
    with av.open(str(sealed.path), "r") as file:
        assert file.streams.video[0].codec_context.codec_tag == "hvc1"


def test_every_fragment_can_be_synced_before_the_next_packet(tmp_path: Path) -> None:
    """At no moment do more than a fragment and a picture wait for the disk; without a new fragment nothing is done."""
    units = packets(seconds=4)
    file: list[FailingFile] = []

    def make(path: Path) -> FailingFile:
        file.append(FailingFile(path))
        return file[0]

    part = Part(tmp_path / "part-001.mp4", units[0], LABEL, fragment=0.5, make_file=make)
    for number, unit in enumerate(units):
        part.write(unit)
        part.sync()
        assert number < RATE or file[0].calls[-1] == "sync"
        with_pictures = tmp_path / "copy.mp4"
        with_pictures.write_bytes((tmp_path / "part-001.mp4").read_bytes())
        if number >= RATE:
            assert len(pictures(with_pictures)) >= number - RATE // 2
    part.seal()
    assert file[0].calls[-3:] == ["write", "sync", "close"]


@pytest.mark.parametrize("fault", [{"write": 6}, {"sync": 4}], ids=["full while writing", "sync fails"])
def test_after_a_disk_error_the_part_is_what_was_synced(tmp_path: Path, fault: dict[str, int]) -> None:
    """The part ends with the last fragment that is safe, and a sync that failed is never repeated."""
    units = packets(seconds=4)
    file: list[FailingFile] = []

    def make(path: Path) -> FailingFile:
        file.append(FailingFile(path, error=errno.EIO, **fault))
        return file[0]

    part = Part(tmp_path / "part-001.mp4", units[0], LABEL, fragment=0.5, make_file=make)
    with pytest.raises(OSError, match="Input/output error"):
        write_all(part, units)
    kept = part.cut()
    assert kept is not None
    data = kept.path.read_bytes()
    assert (kept.size, kept.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert 0.5 <= kept.seconds < 4.0
    assert len(pictures(kept.path)) == round(kept.seconds * RATE)
    assert file[0].calls[-2:] == ["truncate", "close"]
    assert file[0].calls.count("sync") <= 4


def test_what_the_disk_does_not_give_back_is_not_kept(tmp_path: Path) -> None:
    """A write that failed took synced bytes along, as a card does that loses a whole block: the part is given up."""
    units = packets(seconds=4)
    part = Part(tmp_path / "part-001.mp4", units[0], LABEL, fragment=0.5, make_file=_LosingBlocks)
    with pytest.raises(OSError, match="Input/output error"):
        write_all(part, units)
    assert part.cut() is None
    assert list(tmp_path.iterdir()) == []


class _LosingBlocks(FailingFile):
    """A file whose fourth sync fails, after which its beginning reads as zeros."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, sync=4, error=errno.EIO)
        self._path = path

    def sync(self) -> None:
        """Sync; at the failure a block is gone."""
        try:
            super().sync()
        except OSError:
            with self._path.open("r+b") as file:
                file.write(bytes(512))
            raise


def test_many_packets_are_one_sync(tmp_path: Path) -> None:
    """A recorder that is behind, for a slow disk, catches up: it waits once for all that had come meanwhile."""
    units = packets(seconds=8)
    file: list[FailingFile] = []

    def make(path: Path) -> FailingFile:
        file.append(FailingFile(path))
        return file[0]

    part = Part(tmp_path / "part-001.mp4", units[0], LABEL, fragment=0.5, make_file=make)
    for unit in units:
        part.write(unit)
    part.sync()
    assert file[0].calls.count("sync") == 1
    copy = tmp_path / "copy.mp4"
    copy.write_bytes((tmp_path / "part-001.mp4").read_bytes())
    assert len(pictures(copy)) >= len(units) - RATE // 2 - 1
    part.seal()


def test_a_part_of_which_nothing_is_safe_leaves_no_file(tmp_path: Path) -> None:
    """A disk that is full from the start keeps no empty shell."""
    units = packets(seconds=1)
    part = Part(
        tmp_path / "part-001.mp4", units[0], LABEL, fragment=0.5, make_file=lambda path: FailingFile(path, write=1)
    )
    with pytest.raises(OSError, match="No space left"):
        part.write(units[0])
    assert part.cut() is None
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_never_written_over(tmp_path: Path) -> None:
    """Whatever lies there may be evidence."""
    (tmp_path / "part-001.mp4").write_bytes(b"evidence")
    with pytest.raises(FileExistsError):
        Part(tmp_path / "part-001.mp4", packets(seconds=1)[0], LABEL, fragment=0.5)
    assert (tmp_path / "part-001.mp4").read_bytes() == b"evidence"


def test_a_key_frame_that_no_decoder_could_start_at_begins_nothing(tmp_path: Path) -> None:
    """Without parameter sets, or with noise for a picture, no file is made."""
    first, second = packets(seconds=1, annex_b=True)[:2]
    for broken in (replace(second, key=True), replace(first, data=b"\x00" * 100), replace(first, data=b"")):
        with pytest.raises(BadBitstreamError):
            Part(tmp_path / "part-001.mp4", broken, LABEL, fragment=0.5)
    assert list(tmp_path.iterdir()) == []


def test_a_key_frame_with_other_sets_does_not_continue_the_part(tmp_path: Path) -> None:
    """A camera that changes its picture's size without saying so needs a new header."""
    small, large = packets(seconds=1, annex_b=True), packets(seconds=1, annex_b=True, size=(320, 192))
    part = Part(tmp_path / "part-001.mp4", small[0], LABEL, fragment=0.5)
    assert part.continues_with(small[0])
    assert not part.continues_with(large[0])


def test_a_closed_file_never_touches_the_one_that_took_its_number(tmp_path: Path) -> None:
    """A part whose seal failed at the very end is cut afterwards: by then the descriptor may be the database's."""
    file = DiskFile(tmp_path / "part-001.mp4")
    file.write(b"clip")
    file.close()
    with (tmp_path / "other").open("w+b", buffering=0) as other:  # the lowest free number: the one just given up
        other.write(b"precious")
        with pytest.raises(OSError, match="Bad file descriptor"):
            file.truncate(0)
        with pytest.raises(OSError, match="Bad file descriptor"):
            file.sync()
        with pytest.raises(OSError, match="Bad file descriptor"):
            file.write(b"x")
        file.close()
        other.seek(0)
        assert other.read() == b"precious"
