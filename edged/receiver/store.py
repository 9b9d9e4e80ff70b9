"""The database's uploads, files and incidents: each method is one transaction, idempotent by key."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from importlib import resources
from typing import TYPE_CHECKING

from edged.base.db import Database, open_database
from edged.wire import manifest as manifests

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from edged.wire.manifest import Manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A begun upload. Instants in Unix seconds, `length` in bytes; `expires` unless more bytes come."""

    id: str
    owner: str
    length: int
    manifest: Manifest
    created: float
    expires: float


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file that arrived whole; `stored` in Unix seconds, `seconds` and `start` of a clip's pictures."""

    id: str
    owner: str
    key: str
    kind: str
    name: str
    content_type: str
    size: int
    sha256: str
    incident: str | None
    part: int
    seconds: float
    start: float | None
    stored: float


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredIncident:
    """An incident as its files' manifests tell it; `parts` is None until its last part is known."""

    owner: str
    id: str
    camera: str
    cause: str
    zones: tuple[str, ...]
    opened: float
    closed: float | None
    synced: bool
    continues: str | None
    parts: int | None
    removed: float | None


_FILE = tuple(field.name for field in fields(StoredFile))


class Store:
    """Uploads, files and incidents."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def begin(self, upload: Upload, limit: int) -> Upload | None:
        """Enter `upload`, or return the one already begun under its key; None if its owner has `limit` open."""

        def transaction(db: sqlite3.Connection) -> Upload | None:
            key = upload.manifest.key
            known = db.execute("SELECT * FROM upload WHERE owner = ? AND key = ?", (upload.owner, key)).fetchone()
            if known is not None:
                return _upload(known)
            (begun,) = db.execute("SELECT count(*) FROM upload WHERE owner = ?", (upload.owner,)).fetchone()
            if begun >= limit:
                return None
            raw = manifests.to_json(upload.manifest).decode()
            row = (upload.id, upload.owner, key, upload.length, raw, upload.created, upload.expires)
            db.execute("INSERT INTO upload VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            return upload

        return await self.database.run(transaction)

    async def upload(self, owner: str, identity: str) -> Upload | None:
        """Return an upload of `owner` by its id, None if there is none."""
        query = "SELECT * FROM upload WHERE id = ? AND owner = ?"
        row = await self.database.read(lambda db: db.execute(query, (identity, owner)).fetchone())
        return None if row is None else _upload(row)

    async def uploads(self) -> list[Upload]:
        """Return every upload begun and unfinished."""
        rows = await self.database.read(lambda db: db.execute("SELECT * FROM upload").fetchall())
        return [_upload(row) for row in rows]

    async def expired(self, now: float) -> list[Upload]:
        """Return the uploads whose time is over."""
        query = "SELECT * FROM upload WHERE expires <= ?"
        rows = await self.database.read(lambda db: db.execute(query, (now,)).fetchall())
        return [_upload(row) for row in rows]

    async def prolong(self, identity: str, expires: float) -> None:
        """Let an upload that got bytes live until `expires`."""
        change = "UPDATE upload SET expires = ? WHERE id = ?"
        await self.database.run(lambda db: db.execute(change, (expires, identity)))

    async def forget(self, identity: str) -> None:
        """Remove an upload."""
        await self.database.run(lambda db: db.execute("DELETE FROM upload WHERE id = ?", (identity,)))

    async def enter(self, file: StoredFile, manifest: Manifest) -> StoredFile:
        """Enter a file in place of its upload, with what its manifest tells of its incident; once only, by key."""

        def transaction(db: sqlite3.Connection) -> StoredFile:
            db.execute("DELETE FROM upload WHERE id = ?", (file.id,))
            marks = ", ".join("?" * len(_FILE))
            values = [getattr(file, name) for name in _FILE]
            db.execute(f"INSERT INTO file ({', '.join(_FILE)}) VALUES ({marks}) ON CONFLICT DO NOTHING", values)  # noqa: S608 -- our own names
            if manifest.incident is not None:
                _enter_incident(db, file.owner, manifest.incident, manifest, file.stored)
            row = db.execute("SELECT * FROM file WHERE owner = ? AND key = ?", (file.owner, file.key)).fetchone()
            return _file(row)

        return await self.database.run(transaction)

    async def file(self, owner: str, *, identity: str = "", key: str = "") -> StoredFile | None:
        """Return a file of `owner` by its id or its key, None if there is none."""
        query = "SELECT * FROM file WHERE owner = ? AND (id = ? OR key = ?)"
        row = await self.database.read(lambda db: db.execute(query, (owner, identity, key)).fetchone())
        return None if row is None else _file(row)

    async def file_by_id(self, identity: str) -> StoredFile | None:
        """Return anybody's file by its id, None if there is none."""
        row = await self.database.read(lambda db: db.execute("SELECT * FROM file WHERE id = ?", (identity,)).fetchone())
        return None if row is None else _file(row)

    async def files_with(self, sha256: str) -> list[StoredFile]:
        """Return all files, anybody's, that share this content."""
        query = "SELECT * FROM file WHERE sha256 = ?"
        rows = await self.database.read(lambda db: db.execute(query, (sha256,)).fetchall())
        return [_file(row) for row in rows]

    async def documents(self, owner: str, limit: int) -> list[StoredFile]:
        """Return the newest files of `owner` that belong to no incident."""
        query = "SELECT * FROM file WHERE owner = ? AND incident IS NULL ORDER BY stored DESC LIMIT ?"
        rows = await self.database.read(lambda db: db.execute(query, (owner, limit)).fetchall())
        return [_file(row) for row in rows]

    async def incident(self, owner: str, identity: str) -> StoredIncident | None:
        """Return an incident, None if nothing of it has arrived."""
        query = "SELECT * FROM incident WHERE owner = ? AND id = ?"
        row = await self.database.read(lambda db: db.execute(query, (owner, identity)).fetchone())
        return None if row is None else _incident(row)

    async def incidents(self, *, owner: str | None, before: float, limit: int) -> list[StoredIncident]:
        """Return incidents opened before `before`, newest first, of `owner` or of everybody."""
        query = (
            "SELECT * FROM incident WHERE opened < ? AND (? IS NULL OR owner = ?) AND removed IS NULL"
            " ORDER BY opened DESC LIMIT ?"
        )
        rows = await self.database.read(lambda db: db.execute(query, (before, owner, owner, limit)).fetchall())
        return [_incident(row) for row in rows]

    async def with_files(self, incidents: Sequence[StoredIncident]) -> list[tuple[StoredIncident, list[StoredFile]]]:
        """Return each incident with its files: by kind, then part."""
        query = "SELECT * FROM file WHERE owner = ? AND incident = ? ORDER BY kind, part, stored"

        def read(db: sqlite3.Connection) -> list[tuple[StoredIncident, list[StoredFile]]]:
            return [(one, [_file(row) for row in db.execute(query, (one.owner, one.id))]) for one in incidents]

        return await self.database.read(read)

    async def oldest(self, stored_before: float, limit: int) -> list[StoredFile]:
        """Return files that arrived before `stored_before`, oldest first."""
        query = "SELECT * FROM file WHERE stored < ? ORDER BY stored LIMIT ?"
        rows = await self.database.read(lambda db: db.execute(query, (stored_before, limit)).fetchall())
        return [_file(row) for row in rows]

    async def stored_bytes(self) -> int:
        """Return the bytes that all files take, shared content counted once."""
        query = "SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT sha256, size FROM file)"
        (total,) = await self.database.read(lambda db: db.execute(query).fetchone())
        return int(total)

    async def drop_file(self, identity: str, now: float) -> bool:
        """Remove a file's row; return whether its content is now nobody's. An emptied incident is marked."""

        def transaction(db: sqlite3.Connection) -> bool:
            row = db.execute("DELETE FROM file WHERE id = ? RETURNING owner, incident, sha256", (identity,)).fetchone()
            if row is None:
                return False
            if row["incident"] is not None:
                db.execute(
                    "UPDATE incident SET removed = ? WHERE owner = ? AND id = ? AND NOT EXISTS"
                    " (SELECT 1 FROM file WHERE file.owner = incident.owner AND file.incident = incident.id)",
                    (now, row["owner"], row["incident"]),
                )
            return db.execute("SELECT 1 FROM file WHERE sha256 = ? LIMIT 1", (row["sha256"],)).fetchone() is None

        return await self.database.run(transaction)

    async def identities(self) -> set[str]:
        """Return the ids of all files."""
        rows = await self.database.read(lambda db: db.execute("SELECT id FROM file").fetchall())
        return {row["id"] for row in rows}

    async def contents(self) -> set[str]:
        """Return the SHA-256 of everything that some file needs."""
        rows = await self.database.read(lambda db: db.execute("SELECT DISTINCT sha256 FROM file").fetchall())
        return {row["sha256"] for row in rows}


async def open_store(path: Path, *, checkpoints: bool = True) -> Store:
    """Open or create the receiver's database; raises what base.db.open_database raises."""
    return Store(await open_database(path, migrations(), checkpoints=checkpoints))


def migrations() -> tuple[str, ...]:
    """Return the schema's versions, each what leads to it from the one before."""
    return (resources.files("edged.receiver").joinpath("schema.sql").read_text(encoding="utf-8"),)


def _enter_incident(db: sqlite3.Connection, owner: str, incident: str, manifest: Manifest, now: float) -> None:
    # Parts, snapshots and repeats arrive in any order: later knowledge adds, and never takes away.
    opened = manifest.opened if manifest.opened is not None else manifest.start if manifest.start is not None else now
    parts = manifest.part if manifest.final and manifest.kind == "clip" else None
    db.execute(
        "INSERT INTO incident VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO UPDATE SET"
        " zones = CASE WHEN json_array_length(excluded.zones) > json_array_length(zones)"
        "  THEN excluded.zones ELSE zones END,"
        " opened = CASE WHEN excluded.synced > synced THEN excluded.opened ELSE opened END,"
        " synced = max(synced, excluded.synced),"
        " closed = coalesce(excluded.closed, closed), parts = coalesce(excluded.parts, parts), removed = NULL",
        (
            *(owner, incident, manifest.camera, manifest.cause, json.dumps(manifest.zones), opened, manifest.closed),
            *(int(manifest.synced), manifest.continues, parts),
        ),
    )


def _upload(row: sqlite3.Row) -> Upload:
    return Upload(
        id=row["id"],
        owner=row["owner"],
        length=row["length"],
        manifest=manifests.parse(row["manifest"]),
        created=row["created"],
        expires=row["expires"],
    )


def _file(row: sqlite3.Row) -> StoredFile:
    return StoredFile(**dict(row))


def _incident(row: sqlite3.Row) -> StoredIncident:
    columns = dict(row)
    zones = tuple(json.loads(columns.pop("zones")))
    return StoredIncident(**{**columns, "zones": zones, "synced": bool(columns["synced"])})
