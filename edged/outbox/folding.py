"""Transactions over digests: several late alerts to one recipient that go out in the mail of one of them, the carrier.

The others stay pending but are never claimed, and share what becomes of the carrier (`deliveries.complete` and others).
"""

# ruff: noqa: S608 -- statements are put together from constants alone, values are bound

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.outbox import rows

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from sqlite3 import Connection

    from edged.model import Delivery

# Not frozen and never under way: nobody can have seen anything of it yet.
_UNTOLD = (
    "kind = 'alert' AND state = 'pending' AND carrier IS NULL AND message IS NULL AND sending = 0 AND possibly_sent = 0"
)


def waiting(connection: Connection, root: Path, destination: str, limit: int) -> tuple[Delivery, ...]:
    """Return alerts to `destination` that were never tried, oldest first: what a digest may take in."""
    found = connection.execute(
        f"{rows.DELIVERY} WHERE lane = 'alert' AND destination = ? AND {_UNTOLD} ORDER BY deliveries.id LIMIT ?",
        (destination, limit),
    ).fetchall()
    return tuple(rows.delivery(connection, root, row) for row in found)


def fold(connection: Connection, carrier: int, others: Collection[int], message: bytes) -> bool:
    """Freeze `message` in `carrier` as the digest that tells `others`; False, changing nothing, if one was tried."""
    folded = set(others) - {carrier}
    for delivery in (carrier, *folded):
        query = f"SELECT 1 FROM deliveries WHERE id = ? AND {_UNTOLD}"
        if connection.execute(query, (delivery,)).fetchone() is None:
            return False
    connection.execute("UPDATE deliveries SET message = ? WHERE id = ?", (message, carrier))
    connection.executemany("UPDATE deliveries SET carrier = ? WHERE id = ?", [(carrier, other) for other in folded])
    return True
