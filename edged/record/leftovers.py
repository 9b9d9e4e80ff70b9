"""Files that no row knows, made good: cut back to what is whole, synced, hashed. Everything here blocks on the disk."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edged.base.disk import sync_directory
from edged.outbox.spool import DAMAGED, SIDECAR, digest_of
from edged.record.clip import Label, read_label
from edged.record.jpeg import comment_of
from edged.record.mp4 import BadFileError, Contents, contents
from edged.record.names import is_incident, number_in

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_FRAGMENT = b"moof"  # the box that begins one
_JPEG_END = b"\xff\xd9"
_HALF_SIDECAR = f"{SIDECAR}.new"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundPart:
    """A clip part without a row, now whole. `label` is None when the file does not say what it is."""

    path: Path
    number: int
    size: int
    sha256: str
    seconds: float
    codec: str
    width: int
    height: int
    label: Label | None
    cut: int  # bytes of a torn fragment that were given up


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundSnapshot:
    """A snapshot without a row. `label` is None when the file does not say what it is."""

    path: Path
    number: int
    size: int
    sha256: str
    width: int
    height: int
    label: Label | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftovers:
    """What a directory holds beside its rows' files.

    `removed` held no picture; `damaged` may, but can't be read, and is kept under another name; `strange` is nothing
    edged wrote.
    """

    parts: tuple[FoundPart, ...]
    snapshots: tuple[FoundSnapshot, ...]
    removed: tuple[str, ...]
    damaged: tuple[str, ...]
    strange: tuple[str, ...]


def look(directory: Path, known: Collection[str]) -> Leftovers:
    """Make good what lies in `directory` under names that are not `known`; OSError when the disk refuses."""
    parts: list[FoundPart] = []
    snapshots: list[FoundSnapshot] = []
    removed, damaged, strange = [], [], []
    for path in sorted(directory.iterdir()):
        if path.name in known or path.name == SIDECAR or path.suffix == DAMAGED:
            continue
        if path.name == _HALF_SIDECAR or (number_in(path.name) is not None and path.stat().st_size == 0):
            found: FoundPart | FoundSnapshot | None = None
        elif number_in(path.name) is None:
            strange.append(path.name)
            continue
        else:
            found = _part(path) if path.suffix == ".mp4" else _snapshot(path)
        if isinstance(found, FoundPart):
            parts.append(found)
        elif isinstance(found, FoundSnapshot):
            snapshots.append(found)
        elif _is_rotten(path):
            path.rename(path.with_name(path.name + DAMAGED))
            damaged.append(path.name)
        else:
            path.unlink()
            removed.append(path.name)
    if parts or snapshots or removed or damaged:
        sync_directory(directory)
    return Leftovers(
        parts=tuple(parts),
        snapshots=tuple(snapshots),
        removed=tuple(removed),
        damaged=tuple(damaged),
        strange=tuple(strange),
    )


def label_in(directory: Path) -> Label | None:
    """Return what the first readable clip part or snapshot in `directory` says of itself; nothing is changed."""
    for path in (*sorted(directory.glob("part-*.mp4")), *sorted(directory.glob("snapshot-*.jpg"))):
        label = _label_of(path)
        if label is not None:
            return label
    return None


def clear(directory: Path) -> bool:
    """Remove a directory in which a crash has left nothing but torn files; False, changing nothing, if there is more.

    So ends an incident that was cut off before its first picture and its row were on the disk.
    """
    paths = tuple(directory.iterdir())
    if not is_incident(directory.name) or not all(map(_is_torn, paths)):
        return False
    for path in paths:
        path.unlink()
    directory.rmdir()
    with contextlib.suppress(OSError):  # other incidents of that day
        directory.parent.rmdir()
    return True


def _is_torn(path: Path) -> bool:
    """Return whether this is a file of ours that holds no picture."""
    if path.name == _HALF_SIDECAR:
        return True
    if number_in(path.name) is None or _is_rotten(path):
        return False
    if path.suffix == ".jpg":
        return _picture(path.read_bytes()) is None
    try:
        with path.open("rb") as file:
            return not contents(file, path.stat().st_size).fragments
    except BadFileError:
        return True


def _is_rotten(path: Path) -> bool:
    """Return whether a part without a readable header has fragments all the same: the disk has spoiled it.

    A crash leaves at most the first fragment under a torn header: they are synced before the second is written.
    """
    if path.suffix != ".mp4":
        return False
    with contextlib.suppress(BadFileError), path.open("rb") as file:
        if contents(file, path.stat().st_size).fragments:
            return False  # without a look at all of its bytes, which most parts are spared so
    return path.read_bytes().count(_FRAGMENT) > 1


def _label_of(path: Path) -> Label | None:
    """Return a file's label; None for a file that is torn at its beginning, or says nothing."""
    if path.suffix == ".jpg":
        jpeg = path.read_bytes()
        return None if _picture(jpeg) is None else read_label(comment_of(jpeg))
    try:
        with path.open("rb") as file:
            return read_label(contents(file, path.stat().st_size).comment)
    except BadFileError:
        return None


def _part(path: Path) -> FoundPart | None:
    """Cut a part back to its last whole fragment; None when it has none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        # what the disk holds counts: a write may have failed whose pages the kernel still shows
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            held = contents(file, size)
        except BadFileError:
            return None
    if not held.fragments:
        return None
    _keep(path, held, size)
    kept, digest = digest_of(path)
    return FoundPart(
        path=path,
        number=number_in(path.name) or 0,
        size=kept,
        sha256=digest,
        seconds=held.seconds,
        codec=held.codec,
        width=held.width,
        height=held.height,
        label=read_label(held.comment),
        cut=size - kept,
    )


def _keep(path: Path, held: Contents, size: int) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if held.whole < size:
            os.ftruncate(descriptor, held.whole)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _snapshot(path: Path) -> FoundSnapshot | None:
    """Return a snapshot that can be decoded; None for one that a crash has torn."""
    jpeg = path.read_bytes()
    picture = _picture(jpeg)
    if picture is None:
        return None
    size, digest = digest_of(path)
    return FoundSnapshot(
        path=path,
        number=number_in(path.name) or 0,
        size=size,
        sha256=digest,
        width=picture.shape[1],
        height=picture.shape[0],
        label=read_label(comment_of(jpeg)),
    )


def _picture(jpeg: bytes) -> cv2.typing.MatLike | None:
    """Return the picture of a whole JPEG; None for one that a crash has torn."""
    if not jpeg.endswith(_JPEG_END):  # OpenCV takes pages that never reached the disk (zeros) for a grey picture
        return None
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
