"""The walk of `edged fsck`: incident by incident, rows, sidecar, files and receipts are held against each other.

It only reads, and needs no more memory than one incident takes. Everything here blocks: call it on a thread.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edged.base.copies import is_lost, is_sound, look_through, open_to_read
from edged.base.errors import CorruptDatabaseError, NewerSchemaError
from edged.outbox import deliveries, files, incidents, rows, sidecar
from edged.outbox.findings import (
    FileRow,
    Finding,
    Kind,
    Seen,
    judge_alert,
    judge_deliveries,
    judge_gone,
    judge_kept,
    judge_sidecar,
)
from edged.outbox.opening import copy_of, schema
from edged.outbox.spool import SIDECAR, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from sqlite3 import Connection

    from edged.outbox.sidecar import Sidecar
    from edged.outbox.spool import Spool
    from edged.wire.receipt import Receipt

_FILES = """
    SELECT files.*, EXISTS (
        SELECT 1 FROM losses
        WHERE losses.what = files.what AND losses.name = files.name AND losses.incident IS files.incident
    ) AS told
    FROM files WHERE {} ORDER BY seq
"""


@dataclass(kw_only=True, slots=True)
class Examination:
    """Looks that count what they see. `alive`: a daemon works here, and what it is busy with is no finding."""

    spool: Spool
    stores: bool  # files are to be sent somewhere
    verify: Callable[[Receipt], bool] | None = None
    alive: bool = False
    seen: dict[tuple[Path, int, int], Seen] = field(default_factory=dict)  # by path, size, time of change
    notes: set[str] = field(default_factory=set)
    incidents: int = 0
    files: int = 0
    bytes: int = 0
    _known: set[Path] = field(default_factory=set)  # where the rows' files lie
    _entered: set[str] = field(default_factory=set)  # the rows' incidents and documents

    def run(self) -> Iterator[Finding]:
        """Look at everything once. Raises NewerSchemaError, or sqlite3.OperationalError when it can't be read."""
        self.incidents = self.files = self.bytes = 0
        self._known, self._entered = set(), set()
        directories = {path.name: path for path in self.spool.incident_directories()}
        wrong = self._database_wrong(directories)
        if wrong:
            yield Finding(kind=Kind.DATABASE, subject=str(self.spool.database), text=f"{self.spool.database}: {wrong}")
            return
        if self.spool.database.exists():
            with closing(open_to_read(self.spool.database)) as connection:
                for row in connection.execute("SELECT id FROM incidents ORDER BY seq").fetchall():
                    yield from self._incident(connection, row["id"], directories.get(row["id"]))
                yield from self._rest(connection)
        yield from self._strangers(directories)

    def _database_wrong(self, directories: dict[str, Path]) -> str:
        path = self.spool.database
        if is_lost(path):
            held = directories or self.spool.found_documents() or copy_of(path).exists()
            return "is missing, or empty" if held else ""
        try:
            with closing(open_to_read(path)) as connection:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version > len(schema().steps):
                    raise NewerSchemaError(f"{path} was written by a newer edged (schema {version}): use that one")
                look_through(connection, schema())
        except sqlite3.OperationalError:
            raise
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            return f"the database is damaged: {error}"
        except CorruptDatabaseError as error:
            return str(error)
        return ""

    def _incident(self, connection: Connection, incident: str, directory: Path | None) -> Iterator[Finding]:
        dossier = incidents.dossier(connection, self.spool.root, incident)
        if dossier is None:
            return  # pruned since the walk began
        self.incidents += 1
        self._entered.add(incident)
        is_open = dossier.incident.closed is None
        if is_open and not self.alive:
            yield Finding(kind=Kind.OPEN, subject=incident, text=f"incident {incident} is open, and no edged runs")
        described = _read_sidecar(directory)
        told = described if isinstance(described, sidecar.Sidecar) and described.incident.id == incident else None
        held = self._files(connection, "incident = ?", incident)
        for file in held:
            yield from self._file(connection, file, told)
        if directory is not None and any(file.deleted is None for file in held) and not (is_open and self.alive):
            unproven = frozenset(one.key for one in dossier.deliveries if one.path is not None and one.receipt is None)
            yield from judge_sidecar(incident, described, sidecar.describe(dossier), unproven)
        if directory is not None and not (is_open and self.alive):
            yield from self._unknown(directory)
        for delivery in dossier.deliveries:
            if delivery.path is None:
                yield from judge_alert(delivery, known=delivery.subject == incident)

    def _rest(self, connection: Connection) -> Iterator[Finding]:
        for file in self._files(connection, "incident IS NULL"):
            self._entered.add(file.id)
            yield from self._file(connection, file, None)
        notices = {row["id"] for row in connection.execute("SELECT id FROM notices")}
        found = connection.execute(f"{rows.DELIVERY} WHERE deliveries.incident IS NULL AND files.id IS NULL").fetchall()
        for row in found:
            delivery = rows.delivery(connection, self.spool.root, row)
            yield from judge_alert(delivery, known=delivery.subject in notices)

    def _file(self, connection: Connection, file: FileRow, told: Sidecar | None) -> Iterator[Finding]:
        self._known.add(file.path)
        sent = deliveries.of_subject(connection, self.spool.root, file.id)
        home = self.spool.home(file.incident, file.id, file.name)
        if home is not None and home != file.path and home.exists() and not file.path.exists():
            self._known.add(home)
            text = f"{file.shown} is not there, but {self._shown(home)} is"
            yield Finding(kind=Kind.MISPLACED, subject=file.id, text=text)
        elif file.deleted is None:
            yield from judge_kept(file, self._look(file.path), told)
        else:
            proven = files.is_proven(connection, file.id)
            yield from judge_gone(file, proven=proven, present=file.path.exists())
        counted = connection.execute("SELECT id FROM deliveries WHERE subject = ? AND proven = 1", (file.id,))
        proofs = frozenset(row["id"] for row in counted.fetchall())
        yield from judge_deliveries(file, sent, proofs, self.verify, stores=self.stores)

    def _files(self, connection: Connection, condition: str, *bound: str) -> list[FileRow]:
        return [
            FileRow(
                id=row["id"],
                what=row["what"],
                incident=row["incident"],
                name=row["name"],
                path=self.spool.root / row["path"],
                shown=row["path"],
                size=row["size"],
                sha256=row["sha256"],
                deleted=row["deleted"],
                told=bool(row["told"]),
            )
            for row in connection.execute(_FILES.format(condition), bound).fetchall()
        ]

    def _look(self, path: Path) -> Seen | None:
        """Return what lies at `path`; its bytes are hashed, once for each change of the file."""
        try:
            stat = path.stat()
            mark = (path, stat.st_size, stat.st_mtime_ns)
            if mark not in self.seen:
                size, digest = digest_of(path)
                self.seen[mark] = Seen(size=size, sha256=digest)
            self.files, self.bytes = self.files + 1, self.bytes + stat.st_size
            return self.seen[mark]
        except FileNotFoundError:
            return None
        except OSError as error:
            return Seen(trouble=error.strerror or str(error))

    def _unknown(self, directory: Path) -> Iterator[Finding]:
        """Tell what lies in an incident's directory and no row knows."""
        for path in sorted(directory.iterdir()):
            if path in self._known or path.name == SIDECAR:
                continue
            if path.name == f"{SIDECAR}.new":
                yield self._half(path)
            elif path.name.startswith(("part-", "snapshot-")) and path.suffix in {".mp4", ".jpg"}:
                yield Finding(kind=Kind.UNKNOWN, subject=str(path), text=f"{self._shown(path)} is known to no row")
            else:
                self._note_foreign(path)

    def _strangers(self, directories: dict[str, Path]) -> Iterator[Finding]:
        """Tell what lies outside of the incidents and documents that the rows know."""
        for incident, directory in directories.items():
            if incident not in self._entered:
                yield from self._unknown(directory)
        for path in self.spool.found_documents():
            if path.parent.name in self._entered:
                if path not in self._known:
                    self._note_foreign(path)
            else:
                yield Finding(kind=Kind.DOCUMENT, subject=str(path), text=f"{self._shown(path)} is known to no row")
        root = self.spool.root
        if not self.alive:
            halves = (*root.glob("*.new"), *root.glob("*.new-journal"), *self.spool.documents.glob("*/.partial"))
            yield from map(self._half, sorted(halves))
        copy = copy_of(self.spool.database)
        if copy.exists() and not is_sound(copy, schema()):
            yield Finding(kind=Kind.COPY, subject=str(copy), text=f"{self._shown(copy)} is damaged")
        for path in sorted(root.glob("*.corrupt-*[0-9]")):
            self.notes.add(
                f"{self._shown(path)} is a damaged database that was set aside; remove it when you need it no more"
            )

    def _note_foreign(self, path: Path) -> None:
        self.notes.add(f"{self._shown(path)} is left alone: edged did not write it, or kept it aside")

    def _half(self, path: Path) -> Finding:
        return Finding(kind=Kind.HALF, subject=str(path), text=f"{self._shown(path)} is half of a file")

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.spool.root))


def _read_sidecar(directory: Path | None) -> Sidecar | str | None:
    if directory is None:
        return None
    try:
        return sidecar.read(directory)
    except FileNotFoundError:
        return None
    except sidecar.BadSidecarError as error:
        return str(error)
