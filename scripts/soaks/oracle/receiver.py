"""What the receiver holds: its rows, its contents and whether they play, what it left lying about."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
import av.error

from scripts.soaks.oracle.places import digest, files_below, opened, rows, sound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """One stored content: the SHA-256 of its bytes as they are, and for a video how many seconds play (else 0)."""

    sha256: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Receiver:
    """The state directory as it is. Rows by the tables' names; `contents` by the SHA-256 that names them."""

    database: str = ""  # what is wrong with it, "" when it is sound
    incidents: tuple[Row, ...] = ()
    files: tuple[Row, ...] = ()
    uploads: tuple[Row, ...] = ()
    contents: dict[str, Content]
    strays: tuple[str, ...] = ()  # files that no row explains


def look(root: Path, known: dict[str, Content] | None = None) -> Receiver:
    """Look at the state directory `root`; `known` contents are hashed again, and not played again while unchanged."""
    with opened(root / "receiver.db") as connection:
        complaint = sound(connection)
        try:
            incidents = tuple(rows(connection, "SELECT * FROM incident"))
            files = tuple(rows(connection, "SELECT * FROM file"))
            uploads = tuple(rows(connection, "SELECT * FROM upload"))
        except sqlite3.DatabaseError as error:
            return Receiver(database=complaint or str(error), contents={})
    videos = {row["sha256"] for row in files if row["kind"] == "clip"}
    blobs = {path.name: path for path in root.glob("blobs/??/*")}
    expected = {row["sha256"] for row in files}
    strays = [str(path) for path in files_below(root) if path.parts[0] == "partial"]
    strays += [f"blobs/{name[:2]}/{name}" for name in blobs if name not in expected]
    return Receiver(
        database=complaint,
        incidents=incidents,
        files=files,
        uploads=uploads,
        contents={name: _content(blobs[name], name in videos, known or {}) for name in expected & blobs.keys()},
        strays=tuple(sorted(strays)),
    )


def _content(path: Path, video: bool, known: dict[str, Content]) -> Content:
    sha256 = digest(path)
    before = known.get(path.name)
    if before is not None and before.sha256 == sha256:
        return before
    return Content(sha256=sha256, seconds=played(path) if video else 0.0)


def _frames(container: Any) -> Iterator[Any]:
    """Yield what can be decoded; players pass over a picture that the camera itself sent damaged."""
    for packet in container.demux(video=0):
        with contextlib.suppress(av.error.InvalidDataError):
            yield from packet.decode()


def played(path: Path) -> float:
    """Return how many seconds of a video can be decoded from its beginning; 0.0 when it can't be played at all."""
    end = 0.0
    try:
        with av.open(str(path)) as container:
            for frame in _frames(container):
                start = float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base else end
                end = max(end, start + float((frame.duration or 0) * (frame.time_base or 0)))
    except (av.error.FFmpegError, IndexError):
        pass  # what came before the damage did play
    return end
