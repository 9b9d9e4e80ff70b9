"""Transactions over notices: alerts that are not of one incident."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edged.model import DeliveryKind
from edged.outbox import deliveries, rows
from edged.outbox.policy import POLICY, Draft, drafts_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

    from edged.base.clock import Stamp
    from edged.outbox.nouns import Notice


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
    line = POLICY[DeliveryKind.ALERT]
    drafts = [
        Draft(
            key=drafts_key(notice.id, destination),
            kind=DeliveryKind.ALERT,
            lane=line.lane,
            priority=line.priority,
            destination=destination,
            incident=None,
            subject=notice.id,
        )
        for destination in destinations
    ]
    deliveries.insert(connection, drafts, now)
    return True


def find(connection: Connection, notice: str) -> Notice | None:
    """Return a notice by id."""
    row = connection.execute("SELECT * FROM notices WHERE id = ?", (notice,)).fetchone()
    return None if row is None else rows.notice(connection, row)
