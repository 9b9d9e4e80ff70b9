"""Transactions over the two ledgers: gaps (times without pictures) and losses (promises that could not be kept)."""

# ruff: noqa: S608 -- statements are put together from constants alone, values are bound

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from edged.model import Gap, Loss
from edged.outbox import rows
from edged.outbox.nouns import LedgerGap

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from sqlite3 import Connection, Row

    from edged.base.clock import Stamp

log = structlog.get_logger(__name__)

_NO_STAMP = (None, None, None, None)


def open_gap(connection: Connection, gap: Gap) -> int:
    """Enter a gap, ended or not; return its number in the ledger."""
    end = _NO_STAMP if gap.end is None else rows.put_stamp(connection, gap.end)
    entered = connection.execute(
        "INSERT INTO gaps (camera, reason, start_wall, start_mono, start_boot, start_synced,"
        " end_wall, end_mono, end_boot, end_synced) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (gap.camera, gap.reason, *rows.put_stamp(connection, gap.start), *end),
    )
    return entered.lastrowid or 0


def close_gap(connection: Connection, gap: int, end: Stamp) -> tuple[Gap, ...]:
    """End a gap that is still open, and return it; none when it had ended. It is to be reported again."""
    ended = connection.execute(
        "UPDATE gaps SET end_wall = ?, end_mono = ?, end_boot = ?, end_synced = ?, reported = 0"
        " WHERE id = ? AND end_wall IS NULL",
        (*rows.put_stamp(connection, end), gap),
    )
    if not ended.rowcount:
        return ()
    return tuple(entry.gap for entry in _gaps(connection, "SELECT * FROM gaps WHERE id = ?", gap))


def tell_gap(number: int, gap: Gap) -> int:
    """Log a gap that was entered, and return its number; one that was entered whole is told at once as ended."""
    if gap.end is None:
        log.info("gap begun", gap=number, camera=gap.camera, since=_written(gap.start), reason=gap.reason)
    else:
        tell_ended(number, (gap,))
    return number


def tell_ended(number: int, ended: Iterable[Gap]) -> None:
    """Log the end of a gap, if it is that which ended it: each has one such line, by which gaps are listed."""
    for gap in ended:
        start, end = gap.start, gap.end or gap.start
        seconds = end.mono - start.mono if end.boot == start.boot else end.wall - start.wall
        facts = {"since": _written(start), "seconds": round(seconds, 1), "reason": gap.reason}
        log.info("gap ended", gap=number, camera=gap.camera, **facts)


def _written(at: Stamp) -> str:
    return datetime.fromtimestamp(at.wall, UTC).isoformat(timespec="seconds")


def open_gaps(connection: Connection) -> tuple[LedgerGap, ...]:
    """Return the gaps that have no end, oldest first."""
    return _gaps(connection, "SELECT * FROM gaps WHERE end_wall IS NULL ORDER BY id")


def gaps(connection: Connection, limit: int) -> tuple[LedgerGap, ...]:
    """Return the newest gaps, newest first."""
    return _gaps(connection, "SELECT * FROM gaps ORDER BY id DESC LIMIT ?", limit)


def unreported_gaps(connection: Connection, limit: int) -> tuple[LedgerGap, ...]:
    """Return gaps of which no heartbeat told the present state, oldest first."""
    return _gaps(connection, "SELECT * FROM gaps WHERE reported = 0 ORDER BY id LIMIT ?", limit)


def report_gaps(connection: Connection, told: Collection[LedgerGap]) -> None:
    """Note that a heartbeat told these gaps; one that ended meanwhile stays to be reported."""
    for entry in told:
        ended = "IS NULL" if entry.gap.end is None else "IS NOT NULL"
        connection.execute(f"UPDATE gaps SET reported = 1 WHERE id = ? AND end_wall {ended}", (entry.id,))


def add_loss(connection: Connection, loss: Loss, *, told: bool = False) -> None:
    """Enter a loss; `told` when people know of it already."""
    connection.execute(
        "INSERT INTO losses (what, name, incident, bytes, reason, at_wall, at_mono, at_boot, at_synced, reported)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(loss.what, loss.name, loss.incident, loss.bytes, loss.reason, *rows.put_stamp(connection, loss.at)),
            told,
        ),
    )


def any_untold_loss(connection: Connection) -> bool:
    """Return whether there is a loss of which nobody was told."""
    return connection.execute("SELECT 1 FROM losses WHERE reported = 0 LIMIT 1").fetchone() is not None


def take_untold_losses(connection: Connection) -> tuple[Loss, ...]:
    """Return the losses of which nobody was told, oldest first, and count them as told from now on."""
    found = connection.execute("SELECT * FROM losses WHERE reported = 0 ORDER BY id").fetchall()
    connection.execute("UPDATE losses SET reported = 1 WHERE reported = 0")
    return tuple(_loss(connection, row) for row in found)


def losses(connection: Connection, limit: int) -> tuple[Loss, ...]:
    """Return the newest losses, newest first."""
    found = connection.execute("SELECT * FROM losses ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
    return tuple(_loss(connection, row) for row in found)


def count_losses(connection: Connection) -> int:
    """Return how many losses the ledger holds."""
    (count,) = connection.execute("SELECT count(*) FROM losses").fetchone()
    return int(count)


def _gaps(connection: Connection, query: str, *bound: object) -> tuple[LedgerGap, ...]:
    return tuple(_gap(connection, row) for row in connection.execute(query, bound).fetchall())


def _gap(connection: Connection, row: Row) -> LedgerGap:
    start, end = rows.get_stamp(connection, row, "start"), rows.find_stamp(connection, row, "end")
    gap = Gap(camera=row["camera"], start=start, end=end, reason=row["reason"])
    return LedgerGap(id=row["id"], gap=gap, was=row["start_wall"] if start.wall != row["start_wall"] else None)


def _loss(connection: Connection, row: Row) -> Loss:
    return Loss(
        what=row["what"],
        name=row["name"],
        incident=row["incident"],
        bytes=row["bytes"],
        reason=row["reason"],
        at=rows.get_stamp(connection, row, "at"),
    )
