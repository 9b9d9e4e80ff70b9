"""A note that is overwritten in place: after a power cut the last one that was acknowledged counts, or the next."""

from __future__ import annotations

import random
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.note import NoNoteError, read_note, write_note
from tests.powercut.card import cuts
from tests.powercut.recorder import needs_strace, record

_NOTES = st.binary(max_size=600)
_WRITER = """
import sys
from pathlib import Path
from edged.base.note import write_note
for number, length in enumerate((30, 30, 4000, 30, 9000, 30, 30)):
    write_note(Path(sys.argv[1]) / "note", f"{number} ".encode().ljust(length, b"."))
    print(number, flush=True)
"""


@given(st.lists(_NOTES, min_size=1, max_size=8))
def test_the_last_note_is_read(notes: list[bytes]) -> None:
    """However many were written before it, and whatever is in them."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "note"
        for note in notes:
            write_note(path, note)
            assert read_note(path) == note
        assert path.stat().st_size == 8192


@given(st.lists(_NOTES, min_size=1, max_size=5), st.binary(min_size=1, max_size=600), st.data())
def test_a_note_torn_at_any_byte_leaves_the_one_before(notes: list[bytes], last: bytes, data: st.DataObject) -> None:
    """Of the bytes that the last write changed any may be missing: the note before it counts, or the last one whole."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "note"
        for note in notes:
            write_note(path, note)
        before = path.read_bytes()
        write_note(path, last)
        after = path.read_bytes()
        changed = [at for at in range(len(after)) if before[at] != after[at]]
        assert changed, "two notes are never the same bytes: each has its number"
        kept = set(data.draw(st.one_of(_beginnings(changed), _ends(changed), st.sets(st.sampled_from(changed)))))
        path.write_bytes(bytes(after[at] if at in kept else byte for at, byte in enumerate(before)))
        assert read_note(path) == (last if kept == set(changed) else notes[-1])
        write_note(path, b"next")
        assert read_note(path) == b"next"


def _beginnings(changed: list[int]) -> st.SearchStrategy[list[int]]:
    return st.integers(0, len(changed)).map(lambda count: changed[:count])


def _ends(changed: list[int]) -> st.SearchStrategy[list[int]]:
    return st.integers(0, len(changed)).map(lambda count: changed[count:])


@needs_strace
def test_a_power_cut_after_any_operation_leaves_the_last_note_or_the_next(tmp_path: Path) -> None:
    """Also while the file is made, and made anew for a note that has outgrown it."""
    root = tmp_path / "state"
    root.mkdir()
    recording = record(["-c", _WRITER, str(root)], root)
    for seed in range(20):
        for cut in cuts(recording, tmp_path, random.Random(seed)):
            acknowledged = int(cut.said[-1]) if cut.said else -1
            try:
                found = int(read_note(cut.root / "note").split()[0])
            except FileNotFoundError:
                found = -1
            assert acknowledged <= found <= acknowledged + 1


def test_a_note_costs_no_new_file(tmp_path: Path) -> None:
    """The file stays what it is, private and of the same length, until a note does not fit."""
    path = tmp_path / "note"
    write_note(path, b"first")
    made = path.stat()
    assert stat.S_IMODE(made.st_mode) == 0o600
    for number in range(5):
        write_note(path, b"x" * 1000 * number)
    assert (path.stat().st_ino, path.stat().st_size) == (made.st_ino, made.st_size)
    write_note(path, b"x" * 5000)
    assert read_note(path) == b"x" * 5000
    assert [each.name for each in tmp_path.iterdir()] == ["note"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 8192, b'{"cameras": {}}' * 1000, b"\xff" * 101])
def test_what_is_no_note_is_told_and_overwritten(tmp_path: Path, content: bytes) -> None:
    """A damaged file, or another one under its name."""
    path = tmp_path / "note"
    path.write_bytes(content)
    with pytest.raises(NoNoteError, match="holds no whole note"):
        read_note(path)
    write_note(path, b"new")
    assert read_note(path) == b"new"


def test_a_note_that_the_disk_refuses_is_an_error(tmp_path: Path) -> None:
    """Whoever writes it must know."""
    with pytest.raises(FileNotFoundError):
        write_note(tmp_path / "away" / "note", b"x")
    with pytest.raises(FileNotFoundError):
        read_note(tmp_path / "note")
