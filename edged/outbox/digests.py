"""Transactions over digests: several late alerts to one recipient that go out in the message of one of them.

The others are folded into it, their carrier, from the moment its message is frozen; they are not claimed any more and
share what becomes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.outbox import rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from sqlite3 import Connection

    from edged.model import Delivery

# Never tried: nobody can have seen anything of them yet.
_UNTRIED = """
    lane = 'alert' AND state = 'pending' AND carrier IS NULL AND message IS NULL AND sending = 0 AND possibly_sent = 0
"""
# In the order of the index, so without a sort however many wait: what was never tried is due since it was entered.
WAITING = f"{rows.DELIVERY} WHERE destination = ? AND {_UNTRIED} ORDER BY priority, due, deliveries.id LIMIT ?"


def waiting(connection: Connection, root: Path, destination: str, limit: int) -> tuple[Delivery, ...]:
    """Return up to `limit` alerts to `destination` that were never tried, oldest first."""
    found = connection.execute(WAITING, (destination, limit))
    return tuple(rows.delivery(connection, root, row) for row in found.fetchall())


def fold(connection: Connection, carrier: int, others: Sequence[int], message: bytes) -> bool:
    """Freeze `message` in `carrier` as the digest of `others`, too; False, changing nothing, if one was tried."""
    query = f"SELECT 1 FROM deliveries WHERE id = ? AND {_UNTRIED}"  # noqa: S608 -- a constant
    for delivery in (carrier, *others):
        if connection.execute(query, (delivery,)).fetchone() is None:
            return False
    connection.execute("UPDATE deliveries SET message = ? WHERE id = ?", (message, carrier))
    connection.executemany("UPDATE deliveries SET carrier = ? WHERE id = ?", [(carrier, other) for other in others])
    return True
