"""Transactions over the files that edged answers for: what retention and the sweep need, deletions and losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.model import Loss
from edged.outbox import ledger, rows
from edged.outbox.nouns import StoredFile

if TYPE_CHECKING:
    from pathlib import Path
    from sqlite3 import Connection, Row

    from edged.base.clock import Stamp

# The delivery that proves a file: the receiver's; where nothing was ever meant for a receiver, any store's.
_PROOF = """
    SELECT * FROM deliveries WHERE subject = :id AND proven = 1 AND (destination = 'receiver' OR NOT EXISTS (
        SELECT 1 FROM deliveries WHERE subject = :id AND destination = 'receiver'
    )) ORDER BY id LIMIT 1
"""
_KEPT = """
    SELECT files.*, incidents.kind, incidents.held,
        incidents.id IS NOT NULL AND incidents.closed_wall IS NULL AS open,
        EXISTS (SELECT 1 FROM deliveries WHERE subject = files.id) AS queued,
        EXISTS (
            SELECT 1 FROM deliveries WHERE subject = files.id AND state IN ('pending', 'held', 'dead')
        ) AS unsettled
    FROM files LEFT JOIN incidents ON incidents.id = files.incident
    WHERE files.deleted IS NULL AND files.seq > ? ORDER BY files.seq LIMIT ?
"""


def kept(connection: Connection, root: Path, after: int, limit: int) -> tuple[tuple[StoredFile, ...], int]:
    """Return up to `limit` files that are not deleted, in the order of commit, and the number to go on `after`."""
    found = connection.execute(_KEPT, (after, limit)).fetchall()
    return tuple(_stored(connection, root, row) for row in found), found[-1]["seq"] if found else after


def kept_bytes(connection: Connection) -> int:
    """Return the size of all files that are not deleted."""
    (size,) = connection.execute("SELECT coalesce(sum(size), 0) FROM files WHERE deleted IS NULL").fetchone()
    return int(size)


def deleted(connection: Connection, root: Path) -> tuple[tuple[Path, int, str], ...]:
    """Return where the deleted files lay, with their sizes and digests: one still there was missed by a crash."""
    found = connection.execute("SELECT path, size, sha256 FROM files WHERE deleted IS NOT NULL").fetchall()
    return tuple((root / row["path"], row["size"], row["sha256"]) for row in found)


def delete(connection: Connection, file: str, reason: str, now: Stamp) -> bool | None:
    """Note that a file is gone or about to go, and give up what waits of it; None if that was known.

    True if it is a loss, which is entered; False if the file was proven to be elsewhere. The row goes first, the file
    after it: a crash between the two leaves a file that the sweep removes, never a row that promises a missing file.
    """
    row = connection.execute("SELECT * FROM files WHERE id = ? AND deleted IS NULL", (file,)).fetchone()
    if row is None:
        return None
    proven = is_proven(connection, file)
    connection.execute("UPDATE files SET deleted = ? WHERE id = ?", (reason, file))
    connection.execute(
        "UPDATE deliveries SET state = ?, last_error = ?, sending = 0"
        " WHERE subject = ? AND state IN ('pending', 'held', 'dead')",
        ("dropped" if proven else "dead", reason, file),
    )
    if proven:
        return False
    entry = Loss(what=row["what"], name=row["name"], incident=row["incident"], bytes=row["size"], reason=reason, at=now)
    ledger.add_loss(connection, entry)
    return True


def is_proven(connection: Connection, file: str) -> bool:
    """Return whether a receipt proves that a file is elsewhere."""
    return connection.execute(_PROOF, {"id": file}).fetchone() is not None


def lose(connection: Connection, delivery: int, reason: str, now: Stamp) -> bool:
    """Note that a delivery's file is missing or changed; True if that is a loss not yet known."""
    row = connection.execute("SELECT subject FROM deliveries WHERE id = ?", (delivery,)).fetchone()
    return row is not None and bool(delete(connection, row["subject"], reason, now))


def _stored(connection: Connection, root: Path, row: Row) -> StoredFile:
    proof = connection.execute(_PROOF, {"id": row["id"]}).fetchone()
    return StoredFile(
        id=row["id"],
        what=row["what"],
        incident=row["incident"],
        path=root / row["path"],
        size=row["size"],
        taken=rows.get_stamp(connection, row, "taken"),
        manual=row["kind"] == "manual",
        open=bool(row["open"]),
        alerted=row["held"] == "",
        proven=None if proof is None else rows.get_stamp(connection, proof, "done"),
        queued=bool(row["queued"]),
        unsettled=bool(row["unsettled"]),
    )
