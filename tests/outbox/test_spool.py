from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edged.base.errors import AlreadyRunningError
from edged.outbox.spool import SIDECAR, Space, Spool, digest_of
from tests.outbox.world import HandClock

if TYPE_CHECKING:
    from pathlib import Path

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # sha256 of "hello"

_HOLDER = """
import sys
from pathlib import Path
from edged.outbox.spool import Spool
with Spool(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A prepared state directory."""
    made = Spool(tmp_path / "deep" / "state")
    made.prepare()
    return made


def test_directories_are_for_this_user_alone(spool: Spool) -> None:
    """Everything that prepare makes has mode 0700, and preparing twice is the same as once."""
    spool.prepare()
    for directory in (spool.root, spool.clips, spool.documents):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_one_process_holds_the_directory(spool: Spool) -> None:
    """A second process is refused with the first one's number and the path, until the first is killed outright."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(spool.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunningError, match=rf"{spool.root} .*process {holder.pid}\)"), spool.lock():
            pass
        holder.kill()
        holder.wait()
        with spool.lock():
            assert (spool.root / "lock").read_text().split() == [str(os.getpid())]


def test_the_lock_is_given_back(spool: Spool) -> None:
    """After the block another one may hold it; within it, nobody."""
    for _ in range(2):
        with spool.lock(), pytest.raises(AlreadyRunningError), Spool(spool.root).lock():
            pass


def test_an_incident_lies_under_its_day(spool: Spool) -> None:
    """The day is that of UTC, and asking again gives the same directory."""
    directory = spool.incident_directory("ab" * 16, 1_780_056_000.0)
    assert directory == spool.clips / "2026-05-29" / ("ab" * 16)
    assert spool.incident_directory("ab" * 16, 1_780_056_000.0) == directory
    assert spool.incident_directories() == (directory,)


def test_a_document_is_copied_and_hashed(spool: Spool, tmp_path: Path) -> None:
    """The spool's copy is whole and independent of the source."""
    source = tmp_path / "log.txt"
    source.write_text("hello")
    document = spool.take_document(source, HandClock())
    source.unlink()
    assert (document.name, document.size, document.sha256) == ("log.txt", 5, HELLO)
    assert document.path == spool.documents / document.id / "log.txt"
    assert digest_of(document.path) == (5, HELLO)
    assert spool.found_documents() == (document.path,)


def test_a_document_that_can_not_be_read_leaves_nothing(spool: Spool, tmp_path: Path) -> None:
    """A missing file and a directory are refused, and no trace is left in the spool."""
    for source in (tmp_path / "missing", tmp_path):
        with pytest.raises(OSError, match=r"missing|directory"):
            spool.take_document(source, HandClock())
    assert list(spool.documents.iterdir()) == []


def test_a_document_s_odd_name_becomes_text(spool: Spool, tmp_path: Path) -> None:
    """A name that is not UTF-8 can still be entered into a row."""
    source = tmp_path / os.fsdecode(b"caf\xe9.txt")
    source.write_text("hello")
    document = spool.take_document(source, HandClock())
    document.name.encode()
    assert document.path.read_text() == "hello"


def test_the_last_file_takes_its_directory_along(spool: Spool) -> None:
    """The sidecar stays while something else does, and goes with the last file; other incidents' files stay."""
    first, second = (spool.incident_directory(name * 32, 1_780_056_000.0) for name in "ab")
    for directory in (first, second):
        for name in ("part-001.mp4", "snapshot-1.jpg", SIDECAR):
            (directory / name).write_text("x")
    (first / f"{SIDECAR}.new").write_text("half")  # a power cut while it was written
    spool.delete(first / "part-001.mp4")
    assert (first / SIDECAR).exists()
    spool.delete(first / "snapshot-1.jpg")
    assert not first.exists()
    assert len(list(second.iterdir())) == 3
    spool.delete(second / "part-001.mp4")
    spool.delete(second / "snapshot-1.jpg")
    assert list(spool.clips.iterdir()) == []


def test_deleting_what_is_gone_or_lies_elsewhere_does_no_harm(spool: Spool, tmp_path: Path) -> None:
    """A file that is missing already is fine, and no directory outside the spool is ever removed."""
    spool.delete(spool.clips / "2026-05-29" / "x" / "part-001.mp4")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("x")
    spool.delete(elsewhere / "file")
    assert elsewhere.is_dir()
    assert spool.clips.is_dir()


def test_space_is_that_of_the_disk(spool: Spool) -> None:
    """Free is at most total, and a disk without blocks has no free share."""
    space = spool.space()
    assert 0 <= space.free <= space.total
    assert 0.0 <= space.share <= 1.0
    assert Space(free=0, total=0).share == 0.0
