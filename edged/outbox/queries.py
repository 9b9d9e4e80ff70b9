"""Reading: counts, the backlog, the sequence, and the correction of clocks."""

# ruff: noqa: S608 -- statements are put together from constants alone, values are bound

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.outbox import rows
from edged.outbox.nouns import Backlog, Counts

if TYPE_CHECKING:
    from sqlite3 import Connection

    from edged.base.clock import Stamp


def counts(connection: Connection) -> Counts:
    """Count deliveries by what became of them, and deleted files."""
    found = connection.execute("SELECT state, proven, count(*) AS n FROM deliveries GROUP BY state, proven").fetchall()
    by = {(row["state"], bool(row["proven"])): row["n"] for row in found}
    (deleted,) = connection.execute("SELECT count(*) FROM files WHERE deleted IS NOT NULL").fetchone()
    return Counts(
        waiting=by.get(("pending", False), 0),
        held=by.get(("held", False), 0),
        sent=by.get(("done", False), 0),
        proven=by.get(("done", True), 0),
        dead=by.get(("dead", False), 0),
        dropped=by.get(("dropped", False), 0),
        deleted=deleted,
    )


def backlog(connection: Connection, destination: str | None) -> Backlog:
    """Return what waits for `destination`, or for any."""
    chosen = "" if destination is None else "AND destination = :destination"
    row = connection.execute(
        f"SELECT count(*) AS n, coalesce(sum(size), 0) AS bytes, min(id) AS oldest"
        f" FROM deliveries WHERE state = 'pending' {chosen}",
        {"destination": destination},
    ).fetchone()
    oldest = connection.execute("SELECT * FROM deliveries WHERE id = ?", (row["oldest"],)).fetchone()
    since = None if oldest is None else rows.get_stamp(connection, oldest, "created")
    return Backlog(count=row["n"], bytes=row["bytes"], oldest=since)


def is_waiting(connection: Connection, destination: str | None) -> bool:
    """Return whether anything waits for `destination`, or for any, without counting it."""
    chosen = "" if destination is None else "AND lane IN ('alert', 'bulk') AND destination = :destination"
    row = connection.execute(
        f"SELECT 1 FROM deliveries WHERE state = 'pending' AND carrier IS NULL {chosen} LIMIT 1",
        {"destination": destination},
    ).fetchone()
    return row is not None


def sequence(connection: Connection) -> int:
    """Return a number that rises with what is committed and never falls, unless commits were lost."""
    (number,) = connection.execute(
        "SELECT coalesce((SELECT max(seq) FROM incidents), 0) + coalesce((SELECT max(id) FROM deliveries), 0)"
    ).fetchone()
    return int(number)


def correct_clock(connection: Connection, now: Stamp) -> bool:
    """Correct every untrusted instant of this boot by `now`, which is trusted; False if that was done before.

    The instants keep what the clock said then; what was read from them and frozen in a message stays as it was. Gaps
    that were reported with a time that was not known are to be reported again.
    """
    boot = rows.boot_number(connection, now.boot)
    changed = connection.execute(
        "UPDATE boots SET epoch = ? WHERE id = ? AND epoch IS NULL", (now.wall - now.mono, boot)
    )
    if changed.rowcount:
        connection.execute("UPDATE gaps SET reported = 0 WHERE start_boot = ? AND NOT start_synced", (boot,))
    return changed.rowcount == 1
