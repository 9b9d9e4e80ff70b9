"""Where the bytes lie: partial/UPLOAD while they arrive, blobs/ab/SHA256 for ever, and records/ that say what they are.

Blocking: call on threads.

What a method returns from has reached the disk. A partial file's length is the truth about its upload; a blob
gets its name only when it is whole, hashed and synced, as a second name of the partial file, so that a power
cut at any moment leaves one of the two.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from edged.base.disk import Place, make_directory, require_mounted, sync_directory
from edged.receiver.records import Records

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_READ = 1024 * 1024
_SYNC_EVERY = 16 * 1024 * 1024  # bytes; bounds what a power cut takes from a long PATCH


class Vault:
    """The directories below the state directory `root`."""

    def __init__(self, root: Path, *, require_mount: bool = False) -> None:
        self._require_mount = require_mount
        self._place: Place | None = None  # the directory that this process began with
        self._partial = root / "partial"
        self._blobs = root / "blobs"
        self.root = root
        self.records = Records(root)
        self.database = root / "receiver.db"
        self.copy = root / "receiver.db.backup"
        self.lock = root / "lock"

    def prepare(self) -> None:
        """Make the directories and an empty database, for this user alone; OSError if the disk refuses."""
        require_mounted(self.root, wanted=self._require_mount)
        for directory in (self.root, self._partial, self._blobs):
            make_directory(directory)
        self._place = Place(self.root)
        self.records.prepare()
        self.database.touch(mode=0o600)
        self.database.chmod(0o600)  # it holds the devices' keys

    def remove_halves(self) -> None:
        """Remove a copy of the database that was broken off, by a power cut or a stop; only under the lock."""
        for path in self.root.glob(f"{self.copy.name}.new*"):
            path.unlink()

    def free(self) -> int:
        """Return the bytes that may still be written."""
        return shutil.disk_usage(self.root).free

    def partial(self, upload: str) -> Path:
        """Return where the bytes of an unfinished upload lie."""
        return self._partial / upload

    def blob(self, sha256: str) -> Path:
        """Return where the content with this digest lies."""
        return self._blobs / sha256[:2] / sha256

    def holds(self, sha256: str, size: int) -> bool:
        """Return whether the content with this digest is here, as long as it should be; OSError if its disk is not."""
        try:
            return self.blob(sha256).stat().st_size == size
        except FileNotFoundError:
            self._require_place()  # an unmounted disk has lost nothing
            return False

    def holds_content(self) -> bool:
        """Return whether any content is here."""
        return next(self._blobs.glob("??/*"), None) is not None

    def create(self, upload: str) -> None:
        """Make the empty file of a new upload, if it is not there."""
        os.close(os.open(self.partial(upload), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_directory(self._partial)

    def length(self, upload: str) -> int:
        """Return how many bytes of an upload have arrived, synced now if a killed process left them unsynced.

        OSError when the disk refuses: then it begins anew, since a second sync may succeed for bytes that are lost.
        """
        try:
            descriptor = os.open(self.partial(upload), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._require_place()
            return 0
        try:
            os.fsync(descriptor)
            return os.fstat(descriptor).st_size
        except OSError:
            self.discard(upload)
            raise
        finally:
            os.close(descriptor)

    def digest(self, upload: str) -> hashlib._Hash:
        """Return the running SHA-256 over what has arrived, read from the disk (after a restart, or a doubt)."""
        running = hashlib.sha256()
        with contextlib.suppress(FileNotFoundError), self.partial(upload).open("rb") as file:
            while block := file.read(_READ):
                running.update(block)
        return running

    def keep(self, upload: str, sha256: str) -> None:
        """Give a whole, synced upload its blob's name; nothing to do if that content is there already, whole."""
        self._require_place()
        self.length(upload)  # syncs
        blob = self.blob(sha256)
        make_directory(blob.parent)
        try:
            os.link(self.partial(upload), blob)
        except FileExistsError:
            if _digest(blob) != sha256:  # it has rotted since: what comes now is what its name says
                self.keep_aside(sha256)
                os.link(self.partial(upload), blob)
        sync_directory(blob.parent)  # also where an earlier try made the name, and this then failed

    def _require_place(self) -> None:
        if self._place is not None and self._place.gone():
            raise OSError(errno.ENODEV, "its disk is not mounted any more", str(self.root))

    def discard(self, upload: str) -> None:
        """Remove an upload's file, if it is there."""
        self.partial(upload).unlink(missing_ok=True)

    def keep_aside(self, sha256: str) -> None:
        """Put a content that is not what its name says into damaged/, where nothing touches it, if it is there."""
        blob = self.blob(sha256)
        if blob.exists():
            make_directory(self.root / "damaged")
            blob.rename(self.root / "damaged" / sha256)
            sync_directory(self.root / "damaged")

    def drop(self, sha256: str) -> None:
        """Remove a blob, if it is there."""
        self.blob(sha256).unlink(missing_ok=True)

    def sweep(self, uploads: Collection[str], contents: Collection[str] | None) -> int:
        """Remove what no row knows (left by a power cut between file and row); return how many files.

        Without `contents` the rows may know too little, and whole files stay.
        """
        stray = [path for path in self._partial.iterdir() if path.name not in uploads]
        if contents:  # nothing whole is ever deleted on the word of an empty database
            stray += [path for path in self._blobs.glob("??/*") if path.name not in contents]
        for path in stray:
            path.unlink()
        return len(stray)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Tail:
    """An unfinished upload's file, open at its end: appends, hashes along and syncs.

    `doubtful` after a sync that failed: the kernel may have dropped what was written, and would report success next
    time (fsyncgate, 2018). Then the file is cut back to what was synced before, to be read anew from the disk.
    """

    def __init__(self, path: Path, digest: hashlib._Hash) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._digest = digest
        self._unsynced = 0
        self._synced = os.fstat(self._descriptor).st_size
        self.doubtful = False
        self.hashed = 0  # bytes that went into the digest through this tail

    def append(self, data: bytes) -> None:
        """Write `data` at the end; OSError if the disk refuses (a part of it may have been written)."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._digest.update(data)
        self.hashed += len(data)
        self._unsynced += len(data)
        if self._unsynced >= _SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        """Make what was appended last; OSError if the disk refuses."""
        try:
            os.fdatasync(self._descriptor)
        except OSError:
            self.doubtful = True
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.ftruncate(self._descriptor, self._synced)
            raise
        self._synced += self._unsynced
        self._unsynced = 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
