"""The tests' own disks lose what a power cut loses, and nothing else."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.disks import FileSystem, loop_disk, needs_disks

if TYPE_CHECKING:
    from pathlib import Path


@needs_disks
@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_a_cut_keeps_what_was_synced_and_loses_the_rest(tmp_path: Path, fs: FileSystem) -> None:
    """Synced bytes and names are there after the next mount, others are not, and the disk itself is sound."""
    with loop_disk(tmp_path, fs) as disk:
        synced, unsynced = disk.mount / "synced", disk.mount / "unsynced"
        for path in (synced, unsynced):
            path.write_bytes(b"kept" * 5000)
        descriptor = os.open(synced, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        late = disk.mount / "late"
        late.write_bytes(b"never on the disk")
        disk.cut()
        with pytest.raises(OSError, match="Input/output error"):
            (disk.mount / "after").write_bytes(b"")
        disk.remount()
        assert synced.read_bytes() == b"kept" * 5000
        assert not unsynced.exists() or not unsynced.read_bytes()
        assert not late.exists()
        disk.check()
    assert not list(tmp_path.iterdir())


@needs_disks
def test_a_disk_turns_read_only_is_taken_out_and_put_in_again(tmp_path: Path) -> None:
    """The other means: read-only and back, out and in with what was on it, and a disk in use is let go by force."""
    with loop_disk(tmp_path) as disk:
        note = disk.mount / "note"
        note.write_text("here")
        disk.set_read_only(True)
        with pytest.raises(OSError, match="Read-only"):
            note.write_text("there")
        disk.set_read_only(False)
        disk.take_out()
        assert not note.exists()
        disk.put_in()
        assert note.read_text() == "here"
        with note.open():
            disk.take_out(by_force=True)
            assert not note.exists()


@needs_disks
def test_a_disk_is_out_though_a_process_has_mounts_of_its_own(tmp_path: Path) -> None:
    """A copy of the mounts, as each network namespace has one, does not keep a disk in use that was cut off."""
    with loop_disk(tmp_path) as disk:
        command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", "echo there; read line"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"there\n"
            disk.cut()
            disk.remount()
            (disk.mount / "after").write_bytes(b"")
            other.communicate(b"\n")


@needs_disks
def test_what_the_card_was_given_is_counted(tmp_path: Path) -> None:
    """Bytes that only wait in memory are among them, and so is what the file system writes beside them."""
    with loop_disk(tmp_path) as disk:
        before = disk.written()
        assert disk.written() - before < 100_000
        (disk.mount / "file").write_bytes(os.urandom(1_000_000))
        assert 1_000_000 <= disk.written() - before < 1_300_000
