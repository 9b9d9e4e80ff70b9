"""The state directory: who holds it, where each file lies, and how a file gets in and out for good.

    STATE/lock                                    held by the one process that works here (flock)
    STATE/control.sock                            the daemon's ear for commands
    STATE/outbox.db                               the outbox, and outbox.db.backup, a recent copy
    STATE/arming.json, lost.json, left.json      what a person ordered, which cameras are lost, why edged left by itself
    STATE/ballast                                 given up when the disk is full, so that rows can be written at all
    STATE/clips/YYYY-MM-DD/INCIDENT/part-001.mp4  and snapshot-1.jpg, incident.json; the day is that of UTC
    STATE/documents/ID/NAME

Everything here blocks: call it on a thread.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edged.base.clock import stamp
from edged.base.disk import Place, make_directory, require_mounted, sync_directory
from edged.base.lock import hold
from edged.outbox.ballast import Ballast
from edged.outbox.nouns import Document

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from edged.base.clock import Clock

SIDECAR = "incident.json"
DAMAGED = ".damaged"  # behind the name of a file that is not what was recorded
_HALF_SIDECAR = SIDECAR + ".new"  # what a power cut may leave of a write (base/disk)
_RESERVE = 1024 * 1024  # bytes of free space that are left to the database: files end before the last is gone
_UNMOUNTED = "it is not mounted any more"
_PIECE = 1024 * 1024  # bytes read and hashed at once
_PARTIAL = ".partial"


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """The disk under the state directory, in bytes; `free` is what an ordinary user may still write."""

    free: int
    total: int

    @property
    def share(self) -> float:
        """The free share, from 0.0 to 1.0."""
        return self.free / self.total if self.total else 0.0


class Spool:
    """The state directory at `root`; `require_mount`: on a disk of its own, that has to be mounted."""

    def __init__(self, root: Path, *, require_mount: bool = False) -> None:
        self.root = root
        self.database = root / "outbox.db"
        self.backup = root / "outbox.db.backup"
        self.control = root / "control.sock"
        self.clips = root / "clips"
        self.documents = root / "documents"
        self._lock = root / "lock"
        self._require_mount = require_mount
        self._place: Place | None = None  # the directory that this process began with

    def prepare(self) -> None:
        """Make the directories, for this user alone, and lay the ballast; OSError where that can't be done."""
        self.require_mounted()
        for directory in (self.root, self.clips, self.documents):
            make_directory(directory)
        self._place = Place(self.root)
        Ballast(self.root).lay()

    def require_mounted(self) -> None:
        """Raise OSError where a disk has to be mounted and is not."""
        require_mounted(self.root, wanted=self._require_mount)

    def trouble(self) -> str:
        """Return what keeps files from being written though there may be room; "" for nothing."""
        if self._place is not None and self._place.gone():
            return _UNMOUNTED
        try:
            return "it has become read-only" if os.statvfs(self.root).f_flag & os.ST_RDONLY else ""
        except OSError as error:
            return f"it can't be read ({error.strerror})"

    def lock(self) -> AbstractContextManager[None]:
        """Hold the state directory; AlreadyRunningError names the process that does."""
        return hold(self._lock)

    def incident_directory(self, incident: str, wall: float) -> Path:
        """Make and return the directory of an incident that opened at `wall` (Unix seconds).

        OSError where files must not go: on a disk without room, or beside the disk that edged began with.
        """
        self._require_room(0)
        day = datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d")
        directory = self.clips / day / incident
        make_directory(directory)
        return directory

    def incident_directories(self) -> tuple[Path, ...]:
        """Return the directories of all incidents that left files, oldest day first."""
        return tuple(sorted(path for path in self.clips.glob("*/*") if path.is_dir()))

    def home(self, incident: str | None, file: str, name: str) -> Path | None:
        """Return where a file (of an incident, or a document) lies if it is here; None if that is nowhere."""
        if incident is None:
            return self.documents / file / name
        return next((path / name for path in self.clips.glob(f"*/{incident}")), None)

    def take_document(self, source: Path, clock: Clock) -> Document:
        """Copy the file `source` into the spool, synced and hashed; OSError when it can't be read or kept."""
        self._require_room(source.stat().st_size)
        document = secrets.token_hex(16)
        directory = self.documents / document
        make_directory(directory)
        # a name that is not UTF-8 can't be in a row; the receiver names its files itself anyway
        target = directory / source.name.encode(errors="replace").decode()
        try:
            size, digest = _copy(source, target)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return Document(id=document, name=target.name, path=target, size=size, sha256=digest, added=stamp(clock))

    def remove_halves(self) -> tuple[Path, ...]:
        """Remove what a crash left half written; only before anything else works here. Return what it was."""
        halves = (*self.documents.glob(f"*/{_PARTIAL}"), *self.root.glob("*.new"), *self.root.glob("*.new-journal"))
        for path in halves:
            path.unlink()
        empty = tuple(path for path in self.documents.glob("*") if path.is_dir() and not any(path.iterdir()))
        for directory in empty:
            directory.rmdir()
        return halves + empty

    def found_documents(self) -> tuple[Path, ...]:
        """Return every whole document in the spool, with or without a row."""
        return tuple(sorted(path for path in self.documents.glob("*/*") if path.name != _PARTIAL))

    def keep_aside(self, path: Path) -> Path:
        """Give a file that is not what was recorded another name, which is returned; edged leaves it alone there."""
        aside = path.with_name(path.name + DAMAGED)
        path.rename(aside)
        sync_directory(path.parent)
        return aside

    def delete(self, path: Path) -> None:
        """Remove a file for good, and its directory with the sidecar once nothing else is in it."""
        path.unlink(missing_ok=True)
        directory = path.parent
        if directory == self.root or not directory.is_relative_to(self.root) or not directory.exists():
            return
        left = {entry.name for entry in directory.iterdir()}
        if left <= {SIDECAR, _HALF_SIDECAR}:
            for name in left:
                (directory / name).unlink(missing_ok=True)
            directory.rmdir()
            with contextlib.suppress(OSError):  # other incidents of that day
                directory.parent.rmdir()
        else:
            sync_directory(directory)

    def space(self) -> Space:
        """Return the free and the whole space of the disk."""
        stat = os.statvfs(self.root)
        return Space(free=stat.f_bavail * stat.f_frsize, total=stat.f_blocks * stat.f_frsize)

    def _require_room(self, size: int) -> None:
        # where a mount has gone its empty directory shows: what were written there would fill the system's own disk
        if self._place is not None and self._place.gone():
            raise OSError(errno.ENODEV, _UNMOUNTED, str(self.root))
        if self.space().free < size + _RESERVE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.root))


def digest_of(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 (hex) of a file; OSError when it can't be read."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def _copy(source: Path, target: Path) -> tuple[int, str]:
    # under another name first: what bears a document's name is whole
    partial = target.with_name(_PARTIAL)
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reading, partial.open("wb") as writing:
        while piece := reading.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            writing.write(piece)
        writing.flush()
        os.fsync(writing.fileno())
    partial.rename(target)
    sync_directory(target.parent)
    return size, digest.hexdigest()
