"""What is held back: the cool-down of each signature and the cap on alerts per hour, decided inside the transaction.

A window is opened by an incident that raises its alert. Incidents of the same signature within its seconds raise none;
they already carry the id of the notice that will count them. When the window is over, that notice is made, one alert
per recipient, and the window is gone: all in one transaction, so that a summary is told once whatever crashes.
When the time between two incidents can't be known (another boot, a clock not trusted), the alert goes out.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edged.outbox import notices, rows
from edged.outbox.nouns import Notice, NoticeKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection, Row

    from edged.base.clock import Stamp
    from edged.model import Incident
    from edged.outbox.nouns import AlertRules

CAP = "cap"  # the cap's row among the signatures
_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Why an incident raises no alert ("" if it does), and the notice that will count it."""

    held: str
    notice: str | None = None


def elapsed(earlier: Stamp, later: Stamp) -> float | None:
    """Return seconds from `earlier` to `later`; None when it can't be known."""
    if earlier.boot == later.boot:
        return later.mono - earlier.mono
    if earlier.synced and later.synced and later.wall >= earlier.wall:
        return later.wall - earlier.wall
    return None


def decide(
    connection: Connection, incident: Incident, rules: AlertRules, destinations: Sequence[str], now: Stamp
) -> Verdict:
    """Decide whether an incident that is being entered raises its alert, and keep the windows accordingly."""
    if incident.held or not incident.alerting:
        return Verdict(held=incident.held or "disarmed")
    if incident.continues is not None:
        return Verdict(held="continuation")
    row = _row(connection, incident.signature)
    if row is not None and _within(connection, row, incident.opened):
        return Verdict(held="cooldown", notice=row["notice"])
    if row is not None:
        _end(connection, row, destinations, now)
    if _capped(connection, incident, rules.cap_per_hour):
        return Verdict(held=CAP, notice=_cap_notice(connection, incident, destinations, now))
    if rules.cooldown > 0.0:
        _open(connection, incident.signature, incident, rules.cooldown)
    return Verdict(held="")


def tell_ended(connection: Connection, destinations: Sequence[str], now: Stamp) -> int:
    """End the windows that are over at `now` and draft the summaries of what they held back; return how many."""
    told = 0
    for row in connection.execute("SELECT * FROM windows").fetchall():
        if not _within(connection, row, now):
            told += _end(connection, row, destinations, now)
    return told


def next_end(connection: Connection, now: Stamp) -> float | None:
    """Return the monotonic time at which the next window is over, None without windows."""
    ends = []
    for row in connection.execute("SELECT * FROM windows").fetchall():
        passed = elapsed(rows.get_stamp(connection, row, "opened"), now)
        ends.append(now.mono if passed is None else now.mono + max(0.0, row["seconds"] - passed))
    return min(ends, default=None)


def _row(connection: Connection, signature: str) -> Row | None:
    row: Row | None = connection.execute("SELECT * FROM windows WHERE signature = ?", (signature,)).fetchone()
    return row


def _within(connection: Connection, row: Row, at: Stamp) -> bool:
    passed = elapsed(rows.get_stamp(connection, row, "opened"), at)
    return passed is not None and 0.0 <= passed < row["seconds"]


def _open(connection: Connection, signature: str, incident: Incident, seconds: float) -> str:
    notice = secrets.token_hex(16)
    connection.execute(
        "INSERT INTO windows (signature, notice, incident, seconds, opened_wall, opened_mono, opened_boot,"
        " opened_synced) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (signature, notice, incident.id, seconds, *rows.put_stamp(connection, incident.opened)),
    )
    return notice


def _end(connection: Connection, row: Row, destinations: Sequence[str], now: Stamp) -> int:
    connection.execute("DELETE FROM windows WHERE signature = ?", (row["signature"],))
    held = connection.execute("SELECT * FROM incidents WHERE notice = ? ORDER BY seq", (row["notice"],)).fetchall()
    if not held:
        return 0
    first = rows.incident(connection, held[0])
    capped = row["signature"] == CAP
    notice = Notice(
        id=row["notice"],
        kind=NoticeKind.CAP if capped else NoticeKind.SUMMARY,
        since=first.opened,
        incident=row["incident"],
        camera="" if capped else first.camera,
        zones=() if capped else first.zones[:1],
        count=len(held),
    )
    notices.enter(connection, notice, destinations, now)
    return 1


def _capped(connection: Connection, incident: Incident, cap: int) -> bool:
    if cap <= 0:
        return False
    row = connection.execute(
        "SELECT * FROM incidents WHERE held = '' ORDER BY seq DESC LIMIT 1 OFFSET ?", (cap - 1,)
    ).fetchone()
    if row is None:
        return False
    passed = elapsed(rows.get_stamp(connection, row, "opened"), incident.opened)
    return passed is not None and 0.0 <= passed < _HOUR


def _cap_notice(connection: Connection, incident: Incident, destinations: Sequence[str], now: Stamp) -> str:
    row = _row(connection, CAP)
    if row is not None and _within(connection, row, incident.opened):
        return str(row["notice"])
    if row is not None:
        _end(connection, row, destinations, now)
    return _open(connection, CAP, incident, _HOUR)
