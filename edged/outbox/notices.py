"""Transactions over notices: alerts that are not of one incident."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from edged.outbox import deliveries, ledger, rows
from edged.outbox.nouns import Notice, NoticeKind
from edged.outbox.policy import notice_drafts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

    from edged.base.clock import Stamp

_NAMED = 5  # losses that a notice names; the page lists them all


def enter(connection: Connection, notice: Notice, destinations: Sequence[str], now: Stamp) -> bool:
    """Enter a notice with one alert per destination; False if it is known."""
    added = connection.execute(
        "INSERT INTO notices (id, kind, text, incident, camera, zones, count, since_wall, since_mono, since_boot,"
        " since_synced) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            *(notice.id, notice.kind, notice.text, notice.incident, notice.camera, json.dumps(notice.zones)),
            *(notice.count, *rows.put_stamp(connection, notice.since)),
        ),
    )
    if added.rowcount != 1:
        return False
    deliveries.insert(connection, notice_drafts(notice, destinations), now)
    return True


def tell_losses(connection: Connection, destinations: Sequence[str], now: Stamp) -> int:
    """Enter one notice about the losses of which nobody was told; return how many those are."""
    losses = ledger.take_untold_losses(connection)
    if not losses:
        return 0
    reasons = "; ".join(dict.fromkeys(loss.reason for loss in losses))
    names = ", ".join(f"{loss.what} {loss.name}" for loss in losses[:_NAMED])
    more = f" and {len(losses) - _NAMED} more" if len(losses) > _NAMED else ""
    notice = Notice(
        id=secrets.token_hex(16),
        kind=NoticeKind.SYSTEM,
        since=losses[0].at,
        text=f"Lost: {names}{more}. Why: {reasons}.",
        incident=losses[0].incident,
        count=len(losses),
    )
    enter(connection, notice, destinations, now)
    return len(losses)


def find(connection: Connection, notice: str) -> Notice | None:
    """Return a notice by id."""
    row = connection.execute("SELECT * FROM notices WHERE id = ?", (notice,)).fetchone()
    return None if row is None else rows.notice(connection, row)
