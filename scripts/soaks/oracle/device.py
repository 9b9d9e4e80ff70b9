"""What the device holds: its rows, its files, what it left lying about."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.soaks.oracle.places import digest, files_below, opened, rows, sound

Row = dict[str, Any]
_DATABASE = {"outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.db.backup"}
_CUSTOMARY = _DATABASE | {"lock", "ballast", "arming.json", "lost.json", "left.json", "seen.note"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """The state directory as it is: rows by the tables' names; those of `files` have `found`, the SHA-256 on disk."""

    database: str = ""  # what is wrong with it, "" when it is sound
    incidents: tuple[Row, ...] = ()
    files: tuple[Row, ...] = ()
    deliveries: tuple[Row, ...] = ()
    notices: tuple[Row, ...] = ()
    windows: tuple[Row, ...] = ()
    losses: tuple[Row, ...] = ()
    gaps: tuple[Row, ...] = ()
    strays: tuple[str, ...] = ()  # files that no row and no custom explains
    sidecars: tuple[str, ...] = ()  # incident directories whose sidecar is missing or can't be read


def look(root: Path, *, running: bool = False) -> Device:
    """Look at the state directory `root`, of a device that stopped in order unless it is `running`."""
    with opened(root / "outbox.db") as connection:
        complaint = sound(connection)
        try:
            tables = {name: tuple(rows(connection, f"SELECT * FROM {name}")) for name in _TABLES}  # noqa: S608 -- ours
        except sqlite3.DatabaseError as error:
            return Device(database=complaint or str(error))
    held = tuple(row | {"found": digest(root / row["path"])} for row in tables["files"])
    paths = files_below(root)
    return Device(
        database=complaint,
        incidents=tables["incidents"],
        files=held,
        deliveries=tables["deliveries"],
        notices=tables["notices"],
        windows=tables["windows"],
        losses=tables["losses"],
        gaps=tables["gaps"],
        strays=_strays(paths, held, _CUSTOMARY | {"control.sock"} if running else _CUSTOMARY),
        sidecars=tuple(_bad_sidecars(root, held)),
    )


def open_gaps(root: Path) -> int:
    """Return how many gaps have not ended, of a device that may run."""
    with opened(root / "outbox.db") as connection:
        return len(rows(connection, "SELECT id FROM gaps WHERE end_wall IS NULL"))


_TABLES = ("incidents", "files", "deliveries", "notices", "windows", "losses", "gaps")


def _strays(paths: frozenset[Path], held: tuple[Row, ...], customary: set[str]) -> tuple[str, ...]:
    known = {Path(row["path"]) for row in held if row["deleted"] is None}
    directories = {path.parent for path in known}
    return tuple(
        sorted(
            str(path)
            for path in paths - known
            if str(path) not in customary
            and not path.name.startswith("outbox.db.corrupt")
            and not (path.name == "incident.json" and path.parent in directories)
        )
    )


def _bad_sidecars(root: Path, held: tuple[Row, ...]) -> list[str]:
    directories = {Path(row["path"]).parent for row in held if row["deleted"] is None and row["incident"] is not None}
    return [str(directory) for directory in sorted(directories) if not _is_sidecar(root / directory / "incident.json")]


def _is_sidecar(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_bytes())["sidecar"]["incident"]["id"] == path.parent.name)
    except (OSError, ValueError, KeyError, TypeError):
        return False
