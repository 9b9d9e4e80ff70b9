"""An extra copy in a folder, such as a USB disk or a network share: written beside, synced, read back, renamed.

A share that hangs must not take the daemon's threads with it, so each folder has one thread of its own.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from edged.base.disk import sync_directory
from edged.base.errors import DeliveryError, FileLostError, NoAnswerError, RefusedError
from edged.wire.receipt import Proof, Receipt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

    from edged.base.clock import Clock
    from edged.push.errand import Errand
    from edged.push.settings import FolderSettings
    from edged.wire.manifest import Manifest

_PIECE = 1024 * 1024  # bytes
_LOOK = 0.5  # seconds between looks at the thread's progress
_FULL_PAUSE = 600.0  # seconds to leave a full disk alone
_UNFIT = re.compile(r"[^\w.-]+")


class FolderTarget:
    """The folder `name`. Dates in file names are of `zone`."""

    def __init__(self, name: str, settings: FolderSettings, *, zone: ZoneInfo, clock: Clock) -> None:
        self.name = name
        self._settings = settings
        self._zone = zone
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"folder-{name}")
        self._copying: asyncio.Future[bool] | None = None

    async def deliver(self, errand: Errand) -> Receipt:
        """Copy the file and prove the copy; NoAnswerError while the folder can't be reached."""
        manifest = errand.manifest
        goal = self._settings.path / relative_path(manifest, self._zone)
        try:
            apart = await self._watched(_Copy(errand, goal, self._settings), errand)
        except OSError as error:
            raise self._refusal(error) from error
        errand.progress(manifest.size)
        return Receipt(
            key=manifest.key,
            size=manifest.size,
            sha256=manifest.sha256,
            proof=Proof.READBACK if apart else Proof.CLAIMED,  # a second copy on the same disk dies with the first
            issued=max(0.0, self._clock.wall()),
            receiver=f"folder:{self.name}",
        )

    async def close(self) -> None:
        """Leave the thread to end by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _watched(self, copy: _Copy, errand: Errand) -> bool:
        """Run `copy` in the folder's thread and return whether it went to another disk."""
        where, limit = f"folder {self.name}: {self._settings.path}", self._settings.timeout
        if self._copying is not None and not self._copying.done():
            raise NoAnswerError(f"{where} still hangs; look at its disk or network")
        loop = asyncio.get_running_loop()
        self._copying = call = loop.run_in_executor(self._thread, copy.run)
        call.add_done_callback(lambda done: None if done.cancelled() else done.exception())  # nobody may be left to ask
        done, since = -1, loop.time()
        try:
            while not (await asyncio.wait({call}, timeout=min(_LOOK, limit / 4)))[0]:
                if copy.moved != done:
                    done, since = copy.moved, loop.time()
                    errand.sending(min(done, errand.manifest.size))
                elif loop.time() - since > limit:
                    raise NoAnswerError(f"{where} did not answer for {limit:.0f} s; look at its disk or network")
            return call.result()
        finally:
            copy.stopped = True

    def _refusal(self, error: OSError) -> DeliveryError:
        where = f"folder {self.name}: {self._settings.path}"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return RefusedError(f"{where} is full; make room there", retry_after=_FULL_PAUSE)
        return NoAnswerError(f"{where} can't be written: {error.strerror or error}")


class _Copy:
    """One copy, run whole in the folder's thread: it looks at `stopped` between pieces and cleans up after itself."""

    def __init__(self, errand: Errand, goal: Path, settings: FolderSettings) -> None:
        self.moved = 0  # bytes written, then bytes read back
        self.stopped = False
        self._source = errand.path
        self._manifest = errand.manifest
        self._goal = goal
        self._settings = settings

    def run(self) -> bool:
        """Copy unless the folder holds the file already; return whether the copy is on another disk."""
        require(self._settings)
        if not self._holds():
            self._copy(self._goal.with_name(f".{self._goal.name}.part"))
        try:
            return self._source.stat().st_dev != self._goal.stat().st_dev
        except FileNotFoundError:
            return False

    def _holds(self) -> bool:
        try:
            known = self._goal.stat().st_size == self._manifest.size
            return known and self._hash_from_disk(self._goal) == self._manifest.sha256
        except FileNotFoundError:
            return False

    def _copy(self, part: Path) -> None:
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._open_source() as source, part.open("wb") as target:
                self._pour(source, target)
                target.flush()
                os.fsync(target.fileno())
            if self._hash_from_disk(part) != self._manifest.sha256:
                raise RefusedError(f"{part} reads back differently from what was written; check the disk")
            part.replace(self._goal)
        finally:
            part.unlink(missing_ok=True)
        for directory in (self._goal.parent, self._goal.parent.parent, self._settings.path):
            sync_directory(directory)

    def _pour(self, source: IO[bytes], target: IO[bytes]) -> None:
        digest = hashlib.sha256()
        for piece in self._pieces(source):
            digest.update(piece)
            target.write(piece)
        if digest.hexdigest() != self._manifest.sha256:
            raise FileLostError(f"{self._source} has changed since it was recorded")

    def _open_source(self) -> IO[bytes]:
        try:
            return self._source.open("rb")
        except OSError as error:
            raise FileLostError(f"{self._source} can't be read: {error.strerror}") from error

    def _hash_from_disk(self, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # read the disk, not our memory of it
            for piece in self._pieces(file):
                digest.update(piece)
        return digest.hexdigest()

    def _pieces(self, file: IO[bytes]) -> Iterator[bytes]:
        while piece := file.read(_PIECE):
            if self.stopped:
                raise NoAnswerError(f"the copy to {self._goal} was stopped")
            yield piece
            self.moved += len(piece)


def relative_path(manifest: Manifest, zone: ZoneInfo) -> Path:
    """Return where a file goes below the folder: CAMERA/DATE/TIME_KEY_NAME, or documents/KEY_NAME."""
    name = f"{manifest.key[:12]}_{_fit(manifest.name)}"
    if manifest.start is None:
        return Path("documents") / name
    local = datetime.fromtimestamp(manifest.start, UTC).astimezone(zone)
    return Path(_fit(manifest.camera) or "camera") / f"{local:%Y-%m-%d}" / f"{local:%H-%M-%S}_{name}"


def _fit(name: str) -> str:
    return _UNFIT.sub("_", name).strip("._") or "_"


def require(settings: FolderSettings) -> None:
    """Raise NoAnswerError where the folder is missing or not the mounted one that it has to be. Blocks."""
    try:
        device = settings.path.stat().st_dev
    except FileNotFoundError as error:
        raise NoAnswerError(f"{settings.path} does not exist; mount the disk or make the folder") from error
    if settings.require_mount and device == Path("/").stat().st_dev:
        raise NoAnswerError(
            f"nothing is mounted at {settings.path}; mount the disk, or set require_mount = false for the system's own"
        )
