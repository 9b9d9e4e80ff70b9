"""Making files last: what is on the disk when these functions return survives a power cut."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
    """Write a new file (mode 0600) and make it last with its name; a file of that name is overwritten."""
    _write(path, data)
    sync_directory(path.parent)


def replace_synced(path: Path, data: bytes) -> None:
    """Put `data` at `path` so that at every moment either the old or the new content is there, whole."""
    new = path.with_name(path.name + ".new")
    _write(new, data)
    new.replace(path)
    sync_directory(path.parent)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
