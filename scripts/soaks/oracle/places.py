"""How both ends are looked at: databases through a copy (reading one in place could change it), files by SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 1024 * 1024


@contextlib.contextmanager
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of `database` with its log, which SQLite may recover there."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / database.name
        for suffix in ("", "-wal"):
            source = database.with_name(database.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.with_name(copy.name + suffix))
        connection = sqlite3.connect(copy)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()


def sound(connection: sqlite3.Connection) -> str:
    """Return "" when the database passes quick_check, else its complaint."""
    try:
        answer = "; ".join(str(row[0]) for row in connection.execute("PRAGMA quick_check"))
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if answer == "ok" else answer


def rows(connection: sqlite3.Connection, query: str) -> list[dict[str, Any]]:
    """Return rows as dictionaries."""
    return [dict(row) for row in connection.execute(query)]


def files_below(root: Path) -> frozenset[Path]:
    """Return every file below `root`, its path relative to it; sockets count, directories don't."""
    return frozenset(path.relative_to(root) for path in root.rglob("*") if not path.is_dir())


def digest(path: Path) -> str:
    """Return a file's SHA-256, "" when it is not there."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                found.update(piece)
    except FileNotFoundError:
        return ""
    return found.hexdigest()
