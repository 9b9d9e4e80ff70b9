"""Disks that fail as real ones do, and what a part asked of them."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from edged.record.clip import DiskFile

if TYPE_CHECKING:
    from pathlib import Path


class FailingFile(DiskFile):
    """A file on a disk that refuses the given write or sync (counted from 1) and all after it."""

    def __init__(self, path: Path, *, write: int = 0, sync: int = 0, error: int = errno.ENOSPC) -> None:
        super().__init__(path)
        self.calls: list[str] = []
        self._write, self._sync, self._error = write, sync, error

    def write(self, data: bytes) -> None:
        """Append, unless this is the write that fails: then half of it arrives."""
        self.calls.append("write")
        if self._write and self.calls.count("write") >= self._write:
            super().write(data[: len(data) // 2])
            raise OSError(self._error, os.strerror(self._error))
        super().write(data)

    def sync(self) -> None:
        """Sync, unless this is the one that fails."""
        self.calls.append("sync")
        if self._sync and self.calls.count("sync") >= self._sync:
            raise OSError(self._error, os.strerror(self._error))
        super().sync()

    def truncate(self, size: int) -> None:
        """Cut back."""
        self.calls.append("truncate")
        super().truncate(size)

    def close(self) -> None:
        """Close."""
        self.calls.append("close")
        super().close()
