"""Transactions over the files that edged answers for: what retention and the sweep need, deletions and losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.model import Loss
from edged.outbox import ledger, rows
from edged.outbox.nouns import StoredFile
from edged.outbox.policy import RECEIVER

if TYPE_CHECKING:
    from pathlib import Path
    from sqlite3 import Connection, Row

    from edged.base.clock import Stamp

# Proven: the receiver proved it; where no delivery to a receiver was ever meant, any store's proof will do.
# Unsettled: something of it still waits, for the line or for a person.
_KEPT = f"""
    SELECT files.*, incidents.kind AS kind, incidents.held AS held,
        files.incident IS NOT NULL AND incidents.closed_wall IS NULL AS open,
        coalesce(sum(d.proven AND d.destination = '{RECEIVER}'), 0) AS received,
        coalesce(sum(d.proven), 0) AS copies,
        coalesce(sum(d.destination = '{RECEIVER}'), 0) AS uploads,
        coalesce(sum(d.state IN ('pending', 'held', 'dead')), 0) AS waiting,
        count(d.id) AS deliveries
    FROM files
        LEFT JOIN incidents ON incidents.id = files.incident
        LEFT JOIN deliveries AS d ON d.subject = files.id
"""  # noqa: S608 -- a constant


def kept(connection: Connection, root: Path) -> tuple[StoredFile, ...]:
    """Return every file that is not deleted, in the order of commit."""
    found = connection.execute(f"{_KEPT} WHERE files.deleted IS NULL GROUP BY files.seq ORDER BY files.seq").fetchall()
    return tuple(_stored(connection, root, row) for row in found)


def deleted_paths(connection: Connection, root: Path) -> tuple[Path, ...]:
    """Return the paths of the files that were deleted: one that is still there was missed by a crash."""
    found = connection.execute("SELECT path FROM files WHERE deleted IS NOT NULL").fetchall()
    return tuple(root / row["path"] for row in found)


def delete(connection: Connection, file: str, reason: str, *, loss: bool, now: Stamp) -> bool:
    """Note that a file is deleted, give up what waits of it, and enter the loss if it is one; False if it was known.

    The row goes first, the file after it: a crash between the two leaves a file that the sweep removes, and never a
    row that promises a file which is gone.
    """
    row = connection.execute("SELECT * FROM files WHERE id = ? AND deleted IS NULL", (file,)).fetchone()
    if row is None:
        return False
    connection.execute("UPDATE files SET deleted = ? WHERE id = ?", (reason, file))
    if loss:
        entry = Loss(
            what=row["what"], name=row["name"], incident=row["incident"], bytes=row["size"], reason=reason, at=now
        )
        ledger.add_loss(connection, entry)
    connection.execute(
        "UPDATE deliveries SET state = ?, last_error = ?, sending = 0"
        " WHERE subject = ? AND state IN ('pending', 'held', 'dead')",
        ("dead" if loss else "dropped", reason, file),
    )
    return True


def lose(connection: Connection, delivery: int, reason: str, now: Stamp) -> bool:
    """Note that a delivery's file is missing or changed: every delivery of it is dead, and the loss entered once."""
    row = connection.execute("SELECT subject FROM deliveries WHERE id = ?", (delivery,)).fetchone()
    return row is not None and delete(connection, row["subject"], reason, loss=True, now=now)


def without_deliveries(connection: Connection, root: Path) -> tuple[StoredFile, ...]:
    """Return the files that are kept though nothing was ever queued for them."""
    query = f"{_KEPT} WHERE files.deleted IS NULL GROUP BY files.seq HAVING count(d.id) = 0"
    return tuple(_stored(connection, root, row) for row in connection.execute(query).fetchall())


def _stored(connection: Connection, root: Path, row: Row) -> StoredFile:
    received = bool(row["received"]) if row["uploads"] else bool(row["copies"])
    return StoredFile(
        id=row["id"],
        what=row["what"],
        incident=row["incident"],
        name=row["name"],
        path=root / row["path"],
        size=row["size"],
        sha256=row["sha256"],
        taken=rows.get_stamp(connection, row, "taken"),
        manual=row["kind"] == "manual",
        open=bool(row["open"]),
        alerted=row["held"] == "",
        proven=received,
        unsettled=bool(row["waiting"]),
    )
