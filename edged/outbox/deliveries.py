"""Transactions over deliveries: entering them, and what became of each attempt.

    pending -> done | pending (due later) | dead        held -> pending (released by a person)
    dead, held -> pending (driven again)                pending, held, dead -> dropped (a person's order)

`done` and `dropped` are final. Every outcome names the delivery by row id and changes it only from a state in which
it may happen, so that a repeated call changes nothing.
"""
# ruff: noqa: S608 -- statements are put together from constants alone, values are bound

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.model import Loss, State
from edged.outbox import ledger, rows
from edged.wire import receipt as receipts

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path
    from sqlite3 import Connection

    from edged.base.clock import Stamp
    from edged.model import Delivery
    from edged.outbox.policy import Draft
    from edged.wire.receipt import Receipt

_INSERT = """
    INSERT INTO deliveries (
        key, kind, lane, priority, destination, incident, subject, size, state, due,
        created_wall, created_mono, created_boot, created_synced
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING
"""
# A delivery with those that its message, a digest, tells, too.
_WITH_FOLDED = "(id = ? OR carrier = ?)"
_UNFINISHED = "state IN ('pending', 'held', 'dead')"


def insert(connection: Connection, drafts: Sequence[Draft], now: Stamp) -> int:
    """Enter drafts; those whose key is known stay as they are. Return how many are new."""
    if not drafts:
        return 0
    created = rows.put_stamp(connection, now)
    count = 0
    for draft in drafts:
        values = (
            *(draft.key, draft.kind, draft.lane, draft.priority, draft.destination, draft.incident, draft.subject),
            # due from now on and not from 0: what was put off earlier is not overtaken for ever by what is new
            *(draft.size, State.HELD if draft.held else State.PENDING, max(draft.due, now.mono), *created),
        )
        count += connection.execute(_INSERT, values).rowcount
    return count


def start_boot(connection: Connection, boot: str) -> None:
    """Prepare the rows for this process: due times of another boot are over, a mail under way may have been sent."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'boot'").fetchone()
    if row is None or row["value"] != boot:
        connection.execute("UPDATE deliveries SET due = 0 WHERE state = 'pending'")
        connection.execute(
            "INSERT INTO meta VALUES ('boot', ?) ON CONFLICT (name) DO UPDATE SET value = ?", (boot, boot)
        )
    connection.execute("UPDATE deliveries SET sending = 0, possibly_sent = possibly_sent + 1 WHERE sending = 1")


def freeze(connection: Connection, delivery: int, message: bytes) -> bytes:
    """Keep `message` as what this delivery says at every attempt; return the one kept first."""
    connection.execute("UPDATE deliveries SET message = ? WHERE id = ? AND message IS NULL", (message, delivery))
    row = connection.execute("SELECT message FROM deliveries WHERE id = ?", (delivery,)).fetchone()
    return bytes(row["message"])


def mark_sending(connection: Connection, delivery: int) -> None:
    """Note that the data is about to go out: from now on a crash leaves it possibly sent."""
    connection.execute("UPDATE deliveries SET sending = 1 WHERE id = ? AND state = 'pending'", (delivery,))


def set_upload_url(connection: Connection, delivery: int, url: str | None) -> None:
    """Note where the bytes go on, None when the peer has forgotten the upload."""
    connection.execute("UPDATE deliveries SET upload_url = ? WHERE id = ? AND state = 'pending'", (url, delivery))


def complete(connection: Connection, delivery: int, receipt: Receipt | None, now: Stamp) -> bool:
    """Note that the delivery arrived; False if that was known, or nobody waits for it any more.

    The receipt proves the file only if it is about these very bytes and its degree permits deletion.
    """
    file = connection.execute(
        "SELECT files.size, files.sha256 FROM deliveries JOIN files ON files.id = subject WHERE deliveries.id = ?",
        (delivery,),
    ).fetchone()
    same = receipt is not None and file is not None and tuple(file) == (receipt.size, receipt.sha256)
    changed = connection.execute(
        "UPDATE deliveries SET state = 'done', receipt = ?, proven = ?, sending = 0, message = NULL, last_error = '',"
        f" done_wall = ?, done_mono = ?, done_boot = ?, done_synced = ? WHERE {_WITH_FOLDED} AND {_UNFINISHED}",
        (
            None if receipt is None else receipts.to_json(receipt).decode(),
            receipt is not None and same and receipt.permits_deletion,
            *(*rows.put_stamp(connection, now), delivery, delivery),
        ),
    )
    return changed.rowcount > 0


def retry(connection: Connection, delivery: int, due: float, error: str, *, costs: bool, possibly: bool) -> None:
    """Put the delivery off until `due`; `costs` an attempt or not; `possibly`: it may have arrived all the same."""
    connection.execute(
        "UPDATE deliveries SET due = ?, last_error = ?, attempts = attempts + ?, sending = 0,"
        " possibly_sent = possibly_sent + ? WHERE id = ? AND state = 'pending'",
        (due, error, costs, possibly, delivery),
    )


def bury(connection: Connection, delivery: int, error: str) -> None:
    """Give up on a refusal that can't heal; a person may drive it again."""
    connection.execute(
        f"UPDATE deliveries SET state = 'dead', last_error = ?, sending = 0 WHERE {_WITH_FOLDED} AND state = 'pending'",
        (error, delivery, delivery),
    )


def renew(connection: Connection, delivery: int) -> None:
    """Give the delivery its whole budget of attempts back: more bytes were accepted than ever before."""
    connection.execute("UPDATE deliveries SET attempts = 0 WHERE id = ? AND attempts > 0", (delivery,))


def redrive(connection: Connection, delivery: int, now: float) -> bool:
    """Send a dead, held or waiting delivery at once, with a new budget; False if it is over or its file is gone.

    One that a digest tells is sent with its digest.
    """
    row = connection.execute("SELECT coalesce(carrier, id) FROM deliveries WHERE id = ?", (delivery,)).fetchone()
    if row is None:
        return False
    changed = connection.execute(
        f"UPDATE deliveries SET state = 'pending', due = ?, attempts = 0 WHERE {_WITH_FOLDED} AND {_UNFINISHED}"
        " AND NOT EXISTS (SELECT 1 FROM files WHERE files.id = subject AND deleted IS NOT NULL)",
        (now, row[0], row[0]),
    )
    return changed.rowcount > 0


def drop(connection: Connection, delivery: int, now: Stamp) -> bool:
    """Give a delivery up by a person's order, with what its digest tells, and enter the loss; False if it is over."""
    dropped = connection.execute(
        f"SELECT * FROM deliveries WHERE {_WITH_FOLDED} AND {_UNFINISHED}", (delivery, delivery)
    ).fetchall()
    for row in dropped:
        connection.execute(
            "UPDATE deliveries SET state = 'dropped', sending = 0, message = NULL WHERE id = ?", (row["id"],)
        )
        reason = f"dropped by a person, undelivered to {row['destination']}"
        loss = Loss(
            what=row["kind"], name=row["key"], incident=row["incident"], bytes=row["size"], reason=reason, at=now
        )
        ledger.add_loss(connection, loss, told=True)  # by the person who gave the order
    return bool(dropped)


def find(connection: Connection, root: Path, delivery: int) -> Delivery | None:
    """Return a delivery by row id."""
    row = connection.execute(f"{rows.DELIVERY} WHERE deliveries.id = ?", (delivery,)).fetchone()
    return None if row is None else rows.delivery(connection, root, row)


def of_incident(connection: Connection, root: Path, incident: str) -> tuple[Delivery, ...]:
    """Return an incident's deliveries in the order of their commits."""
    found = connection.execute(f"{rows.DELIVERY} WHERE deliveries.incident = ? ORDER BY deliveries.id", (incident,))
    return tuple(rows.delivery(connection, root, row) for row in found.fetchall())


def incidents_told(connection: Connection, delivery: int) -> tuple[str, ...]:
    """Return the incidents that a delivery is about: its own, and those whose alerts its digest tells, too."""
    found = connection.execute(
        f"SELECT DISTINCT incident FROM deliveries WHERE {_WITH_FOLDED} AND incident IS NOT NULL", (delivery, delivery)
    )
    return tuple(row["incident"] for row in found.fetchall())


def of_subject(connection: Connection, root: Path, subject: str) -> tuple[Delivery, ...]:
    """Return the deliveries of one file or notice."""
    found = connection.execute(f"{rows.DELIVERY} WHERE subject = ? ORDER BY deliveries.id", (subject,))
    return tuple(rows.delivery(connection, root, row) for row in found.fetchall())


def listing(
    connection: Connection, root: Path, states: Collection[State], limit: int, before: int | None
) -> tuple[Delivery, ...]:
    """Return up to `limit` deliveries in `states` (all when empty), newest first, with ids under `before`."""
    marks = ", ".join("?" * len(states))
    chosen = f"AND state IN ({marks})" if states else ""
    found = connection.execute(
        f"{rows.DELIVERY} WHERE deliveries.id < ? {chosen} ORDER BY deliveries.id DESC LIMIT ?",
        (before if before is not None else 2**63 - 1, *states, limit),
    ).fetchall()
    return tuple(rows.delivery(connection, root, row) for row in found)
