"""The transaction that forgets: rows of what was finished long ago, so that the database stays small.

Only rows whose age is known for certain go (a trusted time then and now), and never the newest of a table: row
numbers that fell would look like lost commits (`queries.sequence`), and numbers would be given twice.
"""

# ruff: noqa: S608 -- statements are put together from constants alone, values are bound

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection

    from edged.base.clock import Stamp

# Table, number, the time that counts, what must hold besides its age. In this order: deliveries, then the files and
# notices that none refers to any more, then the incidents that have neither.
_RULES = (
    (
        *("deliveries", "id", "created"),
        """CASE state
            WHEN 'dead' THEN EXISTS (SELECT 1 FROM files WHERE files.id = subject AND deleted IS NOT NULL)
            ELSE state IN ('done', 'dropped')
                AND NOT EXISTS (SELECT 1 FROM files WHERE files.id = subject AND deleted IS NULL)
        END""",
    ),
    (
        *("files", "seq", "taken"),
        "deleted IS NOT NULL AND NOT EXISTS (SELECT 1 FROM deliveries WHERE subject = files.id)",
    ),
    (*("notices", "rowid", "since"), "NOT EXISTS (SELECT 1 FROM deliveries WHERE subject = notices.id)"),
    (
        *("incidents", "seq", "closed"),
        """closed_wall IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM files WHERE files.incident = incidents.id)
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.incident = incidents.id)""",
    ),
    (*("gaps", "id", "end"), "end_wall IS NOT NULL AND reported = 1"),
    (*("losses", "id", "at"), "reported = 1"),
)


def prune(connection: Connection, keep: float, now: Stamp) -> int:
    """Delete what was finished more than `keep` seconds before `now`; return how many rows."""
    if not now.synced:
        return 0
    before = now.wall - keep
    return sum(connection.execute(_statement(*rule), (before,)).rowcount for rule in _RULES)


def _statement(table: str, number: str, name: str, condition: str) -> str:
    return f"""
        DELETE FROM {table} WHERE {number} < (SELECT max({number}) FROM {table}) AND ({condition}) AND (
            SELECT CASE WHEN {name}_synced THEN {name}_wall ELSE epoch + {name}_mono END
            FROM boots WHERE boots.id = {name}_boot
        ) < ?
    """
