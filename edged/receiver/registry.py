"""The database's devices and accounts: keys, heartbeats, gaps, passwords' hashes, the sessions' secret."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edged.wire import heartbeat as heartbeats

if TYPE_CHECKING:
    import sqlite3

    from edged.base.db import Database
    from edged.wire.heartbeat import GapReport, Heartbeat

_GAPS_KEPT = 500  # per device


# An incident whose end came after its last part had left (a camera died) has no part that says so. Once its device
# neither records nor has anything to send, what is here is all there is; a part that comes all the same corrects it.
_ALL_THERE = """
    UPDATE incident
    SET parts = (
        SELECT coalesce(max(part), 0) FROM file
        WHERE file.owner = incident.owner AND file.incident = incident.id AND kind = 'clip'
    )
    WHERE owner = ? AND parts IS NULL AND removed IS NULL
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device as the receiver knows it; instants in Unix seconds. Its key is never part of this."""

    name: str
    added: float
    heard: float | None
    heartbeat: Heartbeat | None
    sequence: int
    fell_back: float | None
    silent: float | None


class Registry:
    """Devices and accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_device(self, name: str, key: str, now: float, *, replace: bool) -> bool:
        """Enter a device; with `replace` a known one gets the new key. False if it is known and not replaced."""

        def transaction(db: sqlite3.Connection) -> bool:
            if replace and db.execute("UPDATE device SET key = ? WHERE name = ?", (key, name)).rowcount:
                return True
            row = (name, key, now)
            return bool(
                db.execute(
                    "INSERT INTO device (name, key, added) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row
                ).rowcount
            )

        return await self._database.run(transaction)

    async def remove_device(self, name: str) -> bool:
        """Remove a device, so that its key is refused; its files stay. False if there is none."""
        return bool(
            await self._database.run(lambda db: db.execute("DELETE FROM device WHERE name = ?", (name,)).rowcount)
        )

    async def key_of(self, name: str) -> str | None:
        """Return a device's key, None if there is no such device."""
        row = await self._database.read(
            lambda db: db.execute("SELECT key FROM device WHERE name = ?", (name,)).fetchone()
        )
        return None if row is None else str(row["key"])

    async def devices(self) -> list[Device]:
        """Return all devices by name."""
        rows = await self._database.read(lambda db: db.execute("SELECT * FROM device ORDER BY name").fetchall())
        return [_device(row) for row in rows]

    async def device(self, name: str) -> Device | None:
        """Return a device, None if there is none."""
        row = await self._database.read(
            lambda db: db.execute("SELECT * FROM device WHERE name = ?", (name,)).fetchone()
        )
        return None if row is None else _device(row)

    async def note(self, name: str, beat: Heartbeat, raw: bytes, now: float) -> int:
        """Enter a heartbeat with its gaps; return the highest sequence ever told before."""

        def transaction(db: sqlite3.Connection) -> int:
            (before,) = db.execute("SELECT sequence FROM device WHERE name = ?", (name,)).fetchone() or (0,)
            fell_back = now if beat.sequence < before else None
            db.execute(
                # never before the silence that it ends, though the clock was set back meanwhile
                "UPDATE device SET heard = max(?, coalesce(silent, 0) + 0.001), heartbeat = ?,"
                " sequence = max(sequence, ?), fell_back = coalesce(?, fell_back) WHERE name = ?",
                (now, raw.decode(), beat.sequence, fell_back, name),
            )
            for gap in beat.gaps:
                _note_gap(db, name, gap)
            if not beat.recording and not beat.waiting:
                db.execute(_ALL_THERE, (name,))
            return int(before)

        return await self._database.run(transaction)

    async def gaps(self, device: str, limit: int) -> list[GapReport]:
        """Return a device's newest gaps, newest first."""
        query = "SELECT camera, start, end, reason FROM gap WHERE device = ? ORDER BY start DESC LIMIT ?"
        rows = await self._database.read(lambda db: db.execute(query, (device, limit)).fetchall())
        return [heartbeats.GapReport(**dict(row)) for row in rows]

    async def add_account(self, name: str, password_hash: str, now: float) -> None:
        """Enter an account, or give a known one a new password."""
        insert = "INSERT INTO account VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET hash = excluded.hash"
        await self._database.run(lambda db: db.execute(insert, (name, password_hash, now)))

    async def remove_account(self, name: str) -> bool:
        """Remove an account, which ends its sessions. False if there is none."""
        return bool(
            await self._database.run(lambda db: db.execute("DELETE FROM account WHERE name = ?", (name,)).rowcount)
        )

    async def hash_of(self, name: str) -> str | None:
        """Return an account's password hash, None if there is none."""
        row = await self._database.read(
            lambda db: db.execute("SELECT hash FROM account WHERE name = ?", (name,)).fetchone()
        )
        return None if row is None else str(row["hash"])

    async def accounts(self) -> list[tuple[str, float]]:
        """Return all accounts' names and when they were added."""
        rows = await self._database.read(
            lambda db: db.execute("SELECT name, added FROM account ORDER BY name").fetchall()
        )
        return [(row["name"], row["added"]) for row in rows]

    async def secret(self, name: str) -> str:
        """Return the secret called `name`, made at its first use."""

        def transaction(db: sqlite3.Connection) -> str:
            db.execute("INSERT INTO secret VALUES (?, ?) ON CONFLICT DO NOTHING", (name, secrets.token_urlsafe(32)))
            return str(db.execute("SELECT value FROM secret WHERE name = ?", (name,)).fetchone()["value"])

        return await self._database.run(transaction)


def _note_gap(db: sqlite3.Connection, device: str, gap: GapReport) -> None:
    if gap.was is not None:
        db.execute("DELETE FROM gap WHERE device = ? AND camera = ? AND start = ?", (device, gap.camera, gap.was))
    db.execute(
        "INSERT INTO gap VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET end = coalesce(excluded.end, end), reason = excluded.reason",
        (device, gap.camera, gap.start, gap.end, gap.reason),
    )
    db.execute(
        "DELETE FROM gap WHERE device = ? AND start < (SELECT start FROM gap WHERE device = ?"
        " ORDER BY start DESC LIMIT 1 OFFSET ?)",
        (device, device, _GAPS_KEPT),
    )


def _device(row: sqlite3.Row) -> Device:
    raw = row["heartbeat"]
    return Device(
        name=row["name"],
        added=row["added"],
        heard=row["heard"],
        heartbeat=None if raw is None else heartbeats.parse(raw.encode()),
        sequence=row["sequence"],
        fell_back=row["fell_back"],
        silent=row["silent"],
    )
