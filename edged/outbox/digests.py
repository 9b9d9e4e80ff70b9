"""Transactions over digests: several late alerts to one recipient that go out in the mail of the oldest.

The others are `joined` to it from the moment its mail is frozen, and share its fate: the schema's trigger makes them
done or dropped in the transaction that makes it so. While it waits or is dead they are neither sent nor lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.outbox import rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from sqlite3 import Connection

    from edged.model import Delivery

# Not frozen and never under way: nobody can have seen anything of them yet.
_UNTOLD = "state = 'pending' AND lane = 'alert' AND message IS NULL AND sending = 0 AND possibly_sent = 0"


def untold(connection: Connection, root: Path, destination: str, limit: int) -> tuple[Delivery, ...]:
    """Return up to `limit` alerts to `destination` of which nothing was ever sent, oldest first."""
    found = connection.execute(
        f"{rows.DELIVERY} WHERE destination = ? AND {_UNTOLD} ORDER BY deliveries.id LIMIT ?", (destination, limit)
    )
    return tuple(rows.delivery(connection, root, row) for row in found.fetchall())


def freeze_digest(connection: Connection, leader: int, others: Sequence[int], message: bytes) -> bool:
    """Freeze `message` as the mail of `leader` and join `others` to it; False, changing nothing, if one was told."""
    query = f"SELECT 1 FROM deliveries WHERE id = ? AND {_UNTOLD}"  # noqa: S608 -- a constant
    for delivery in (leader, *others):
        if connection.execute(query, (delivery,)).fetchone() is None:
            return False
    connection.execute("UPDATE deliveries SET message = ? WHERE id = ?", (message, leader))
    connection.executemany(
        "UPDATE deliveries SET state = 'joined', digest = ? WHERE id = ?", [(leader, other) for other in others]
    )
    return True
