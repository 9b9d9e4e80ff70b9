"""Which delivery is next: a few look-ups in one index, however many rows wait and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.outbox import deliveries
from edged.outbox.policy import urgency

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path
    from sqlite3 import Connection, Row

    from edged.model import Delivery, Lane

_DESTINATIONS = """
    SELECT min(destination) AS value FROM deliveries
    WHERE state = 'pending' AND carrier IS NULL AND lane = ? AND destination > ?
"""
_PRIORITIES = """
    SELECT min(priority) AS value FROM deliveries
    WHERE state = 'pending' AND carrier IS NULL AND lane = ? AND destination = ? AND priority > ?
"""
NEXT = """
    SELECT id, priority, due FROM deliveries
    WHERE state = 'pending' AND carrier IS NULL AND lane = ? AND destination = ? AND priority = ? {}
    ORDER BY due, id LIMIT 1
"""


def claim(
    connection: Connection, root: Path, lane: Lane, now: float, *, busy: Collection[int], closed: Collection[str]
) -> Delivery | None:
    """Return the most urgent delivery of `lane` that is due, not busy, and whose destination is not closed."""
    due = (row for row in _heads(connection, lane, busy, closed) if row["due"] <= now)
    best = min(due, key=lambda row: (urgency(row["priority"], now - row["due"]), row["due"], row["id"]), default=None)
    return None if best is None else deliveries.find(connection, root, best["id"])


def next_due(connection: Connection, lane: Lane, busy: Collection[int], closed: Collection[str]) -> float | None:
    """Return the monotonic time at which `claim` may next find one, None while nothing waits that could."""
    return min((row["due"] for row in _heads(connection, lane, busy, closed)), default=None)


def _heads(connection: Connection, lane: Lane, busy: Collection[int], closed: Collection[str]) -> Iterator[Row]:
    """Yield the first row of each destination and priority: a few index look-ups, however many rows wait."""
    query = NEXT.format(f"AND id NOT IN ({', '.join(map(str, sorted(map(int, busy))))})" if busy else "")
    for destination in _distinct(connection, _DESTINATIONS, (lane,), ""):
        if destination in closed:
            continue
        for priority in _distinct(connection, _PRIORITIES, (lane, destination), 0):
            yield from connection.execute(query, (lane, destination, priority)).fetchall()


def _distinct(connection: Connection, query: str, bound: tuple[object, ...], value: object) -> Iterator[object]:
    while True:
        value = connection.execute(query, (*bound, value)).fetchone()["value"]
        if value is None:
            return
        yield value
