"""Making files last: what is on the disk when these functions return survives a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def require_mounted(path: Path, *, wanted: bool = True) -> None:
    """Raise OSError where `path`, or what exists above it, lies on the system's own disk: nothing is mounted there."""
    existing = next(place for place in (path, *path.parents) if place.exists())
    if wanted and existing.stat().st_dev == Path("/").stat().st_dev:
        advice = "nothing is mounted here; mount the disk, or set require_mount = false for the system's own"
        raise OSError(errno.ENODEV, advice, str(path))


class Place:
    """A directory as it is now. Once its disk is unmounted another one bears its name, on the disk beneath."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = self._look()

    def gone(self) -> bool:
        """Return whether this directory is not to be found under its name any more."""
        try:
            return self._look() != self._identity
        except OSError:
            return True

    def _look(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_dev, status.st_ino


def sync_directory(path: Path) -> None:
    """Make the names in directory `path` last; OSError if the disk refuses."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make `path` (mode 0700) with its missing parents, each synced into its own parent; OSError if refused."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file (mode 0600) and make it last with its name; a file of that name is overwritten.

    Nothing is left of a file that the disk refuses: half of one would lie there for ever.
    """
    with _gone_if_refused(path):
        _write(path, data)
        sync_directory(path.parent)


def replace_synced(path: Path, data: bytes) -> None:
    """Put `data` at `path` so that at every moment either the old or the new content is there, whole."""
    new = path.with_name(path.name + ".new")
    with _gone_if_refused(new):
        _write(new, data)
        new.replace(path)
    sync_directory(path.parent)


@contextlib.contextmanager
def _gone_if_refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
