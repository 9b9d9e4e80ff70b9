"""Disks of a test's own: ext4 or XFS in a file, on a loop device; power can be cut, and the rest of root's means used.

A cut is the kernel's own shutdown of a file system without flushing (an ioctl that both have for exactly this test):
what was synced is in the file, what was not is gone, and the next mount replays the journal as after a power cut.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from edged.base.disk import sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

FileSystem = Literal["ext4", "xfs"]

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)
_NO_FLUSH = 2  # EXT4_GOING_FLAGS_NOLOGFLUSH, XFS_FSOP_GOING_FLAGS_NOLOGFLUSH
_LEAST_XFS = 300 << 20  # mkfs.xfs makes none that is smaller
# whole at once: what the kernel would write later on its own is nobody's
_EXT4 = ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0")
_SECTOR = 512  # bytes, as /sys/block counts
_BUSY = 20.0  # seconds; a killed process' files are closed a moment after it

_TRIES, _PAUSE = 80, 0.25  # seconds: a container that just starts has a copy of every mount for a moment

can_mount = os.geteuid() == 0 and all(map(shutil.which, ("mount", "mkfs.ext4", "mkfs.xfs")))
needs_disks = pytest.mark.skipif(not can_mount, reason="mounting a disk needs root, e2fsprogs and xfsprogs")


class LoopDisk:
    """A mounted disk. Its folder for the test is `mount`; `image` is the file that plays the card."""

    def __init__(self, image: Path, mount: Path, fs: FileSystem) -> None:
        self.image, self.mount, self.fs = image, mount, fs

    def cut(self) -> None:
        """Cut the power: nothing more reaches the card, and whoever uses the disk from now on gets EIO."""
        descriptor = os.open(self.mount, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_FLUSH))
        finally:
            os.close(descriptor)

    def remount(self) -> None:
        """Take the disk out and put it in again, as a boot does; those who had files on it must have ended."""
        for _ in range(_TRIES):
            self.take_out()
            with contextlib.suppress(OSError):
                self.put_in()
                return
            time.sleep(_PAUSE)
        raise OSError(f"{self.mount} is not really out: somebody has a copy of its mount")

    def put_in(self) -> None:
        """Mount it; what a cut left behind is replayed from the journal. OSError (EIO) when it was not really out."""
        _run("mount", "-t", self.fs, "-o", "loop,nodev,nosuid", str(self.image), str(self.mount))
        sync_directory(self.mount)

    def take_out(self, *, by_force: bool = False) -> None:
        """Unmount it. By force also while somebody still uses it, who keeps what is open but finds nothing new."""
        if by_force:
            _run("umount", "--lazy", str(self.mount))
        else:
            _run(
                "timeout", str(_BUSY), "sh", "-c", 'until umount "$0" 2>/dev/null; do sleep 0.05; done', str(self.mount)
            )

    def written(self) -> int:
        """Return the bytes that the card was given since it was made, with all that waits in memory now."""
        _run("sync", "-f", str(self.mount))
        device = Path(_run("findmnt", "-no", "SOURCE", str(self.mount)).strip()).name
        return int(Path(f"/sys/block/{device}/stat").read_text(encoding="ascii").split()[6]) * _SECTOR

    def set_read_only(self, wanted: bool) -> None:
        """Make it read-only as the kernel does after errors, or writable again, while it stays in use.

        OSError while a file on it is open for writing.
        """
        try:
            _run("mount", "-o", f"remount,{'ro' if wanted else 'rw'}", str(self.mount))
        except subprocess.CalledProcessError as error:
            raise OSError(f"{self.mount} was not remounted: {error.stderr.decode().strip()}") from error

    def check(self) -> None:
        """Hold that the file system itself is sound (unmounted meanwhile); CalledProcessError when it is not."""
        self.take_out()
        if self.fs == "ext4":
            _run("e2fsck", "-f", "-n", str(self.image))
        else:
            _run("xfs_repair", "-n", str(self.image))
        self.put_in()


@contextlib.contextmanager
def loop_disk(folder: Path, fs: FileSystem = "ext4", *, size: int = 64 << 20, name: str = "disk") -> Iterator[LoopDisk]:
    """Make a disk of `size` bytes (XFS: at least 300 MiB; the file is sparse), mounted below folder/name.

    At the end it is unmounted and gone, whatever happened; processes that use it must have ended.
    """
    outer = folder / name
    outer.mkdir(parents=True)
    with _shared(outer):
        disk = LoopDisk(outer / "image", outer / "mount", fs)
        disk.mount.mkdir()
        with disk.image.open("xb") as file:
            file.truncate(max(size, _LEAST_XFS) if fs == "xfs" else size)
        _run(*(_EXT4 if fs == "ext4" else ("mkfs.xfs", "-q")), str(disk.image))
        disk.put_in()
        try:
            yield disk
        finally:
            while os.path.ismount(disk.mount):
                _finish(disk)
    shutil.rmtree(outer)


@contextlib.contextmanager
def _shared(outer: Path) -> Iterator[None]:
    """Have what is unmounted below `outer` go everywhere.

    A process with mounts of its own (`ip netns exec` makes such) has a copy of each, which would keep a disk in use.
    """
    _run("mount", "--bind", str(outer), str(outer))
    try:
        _run("mount", "--make-shared", str(outer))
        yield
    finally:
        _run("umount", "--lazy", str(outer))


@contextlib.contextmanager
def small_disk(mount: Path, size: int = 16 << 20) -> Iterator[Path]:
    """Mount a disk of `size` bytes in memory at `mount`: it fills up at once. Gone at the end."""
    mount.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(mount))
    try:
        yield mount
    finally:
        while os.path.ismount(mount):
            _run("umount", "--lazy", str(mount))


def _finish(disk: LoopDisk) -> None:
    """Unmount at the end, by force when a test left a process behind."""
    try:
        disk.take_out()
    except subprocess.CalledProcessError:
        disk.take_out(by_force=True)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True).stdout.decode()
