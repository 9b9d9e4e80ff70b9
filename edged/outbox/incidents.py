"""Transactions over incidents and their files: each function is the whole body of one, given the connection.

All are idempotent by id: what is there already stays as it is, so a cancelled or repeated call does no harm.
"""

# ruff: noqa: S608 -- statements are put together from constants alone, values are bound

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from edged.model import DeliveryKind
from edged.outbox import deliveries, notices, rows, windows
from edged.outbox.nouns import Dossier

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from sqlite3 import Connection

    from edged.base.clock import Stamp
    from edged.model import Clip, Incident, Snapshot
    from edged.outbox.nouns import AlertRules, Document, Notice
    from edged.outbox.policy import Draft

_INSERT = """
    INSERT INTO incidents (
        id, camera, kind, zones, opened_wall, opened_mono, opened_boot, opened_synced,
        closed_wall, closed_mono, closed_boot, closed_synced, held, notice, continues, recovered
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_FILE = """
    INSERT INTO files (
        id, what, incident, number, name, path, size, sha256,
        taken_wall, taken_mono, taken_boot, taken_synced, seconds, codec, width, height
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_NO_STAMP = (None, None, None, None)


def open_incident(
    connection: Connection,
    root: Path,
    incident: Incident,
    drafts: Sequence[Draft],
    *,
    rules: AlertRules,
    snapshot: Snapshot | None,
    now: Stamp,
) -> Incident:
    """Enter an incident with its alerts and first snapshot, deciding whether the alerts are held back; return it so."""
    known = find(connection, incident.id)
    if known is not None:
        return known
    alerts = [draft for draft in drafts if draft.kind is DeliveryKind.ALERT]
    verdict = windows.decide(connection, incident, rules, [draft.destination for draft in alerts], now)
    incident = replace(incident, alerting=not verdict.held, held=verdict.held)
    _insert(connection, incident, verdict.notice)
    if snapshot is not None:
        _insert_snapshot(connection, root, snapshot)
    files = [draft for draft in drafts if draft.kind is not DeliveryKind.ALERT]
    deliveries.insert(connection, files + (alerts if incident.alerting else []), now)
    return incident


def import_incidents(
    connection: Connection, found: Sequence[Incident], notice: Notice | None, people: Sequence[str], now: Stamp
) -> int:
    """Enter incidents found in sidecars, raising no alerts, and the notice that tells of them; return how many are new.

    All in one, or those that a crash kept from being entered would be told of a second time.
    """
    if notice is not None:
        notices.enter(connection, notice, people, now)
    new = [incident for incident in found if find(connection, incident.id) is None]
    for incident in new:
        _insert(connection, incident, None)
    return len(new)


def extend_incident(connection: Connection, incident: str, zones: Iterable[str]) -> None:
    """Add `zones` to an incident's, keeping the order of appearance."""
    row = connection.execute("SELECT zones FROM incidents WHERE id = ?", (incident,)).fetchone()
    if row is not None:
        both = list(dict.fromkeys([*json.loads(row["zones"]), *zones]))
        connection.execute("UPDATE incidents SET zones = ? WHERE id = ?", (json.dumps(both), incident))


def close_incident(connection: Connection, incident: str, closed: Stamp, *, recovered: bool) -> bool:
    """Close an open incident; False if it was closed already."""
    changed = connection.execute(
        "UPDATE incidents SET closed_wall = ?, closed_mono = ?, closed_boot = ?, closed_synced = ?, recovered = ?"
        " WHERE id = ? AND closed_wall IS NULL",
        (*rows.put_stamp(connection, closed), recovered, incident),
    )
    return changed.rowcount == 1


def add_clip(connection: Connection, root: Path, clip: Clip, drafts: Sequence[Draft], now: Stamp) -> bool:
    """Enter a sealed part with its uploads; False if it is known."""
    values = (
        *(clip.id, "clip", clip.incident, clip.part, clip.path.name, rows.stored_path(root, clip.path)),
        *(clip.size, clip.sha256, *rows.put_stamp(connection, clip.start)),
        *(clip.seconds, clip.codec, clip.width, clip.height),
    )
    return _with_deliveries(connection, values, drafts, now)


def add_snapshot(connection: Connection, root: Path, snapshot: Snapshot, drafts: Sequence[Draft], now: Stamp) -> bool:
    """Enter a better snapshot with its uploads; False if it is known."""
    added = _insert_snapshot(connection, root, snapshot)
    if added:
        deliveries.insert(connection, drafts, now)
    return added


def add_document(connection: Connection, root: Path, document: Document, drafts: Sequence[Draft], now: Stamp) -> bool:
    """Enter a document with its uploads; False if it is known."""
    values = (
        *(document.id, "document", None, 0, document.name, rows.stored_path(root, document.path)),
        *(document.size, document.sha256, *rows.put_stamp(connection, document.added), 0.0, "", 0, 0),
    )
    return _with_deliveries(connection, values, drafts, now)


def find(connection: Connection, incident: str) -> Incident | None:
    """Return an incident by id."""
    row = connection.execute("SELECT * FROM incidents WHERE id = ?", (incident,)).fetchone()
    return None if row is None else rows.incident(connection, row)


def unclosed(connection: Connection) -> tuple[Incident, ...]:
    """Return the incidents that are still open, oldest first."""
    found = connection.execute("SELECT * FROM incidents WHERE closed_wall IS NULL ORDER BY seq").fetchall()
    return tuple(rows.incident(connection, row) for row in found)


def listing(connection: Connection, limit: int, before: str | None) -> tuple[Incident, ...]:
    """Return up to `limit` incidents, newest first; with `before`, only those entered before that incident."""
    bound = "(SELECT seq FROM incidents WHERE id = :before)" if before is not None else "9223372036854775807"
    found = connection.execute(
        f"SELECT * FROM incidents WHERE seq < {bound} ORDER BY seq DESC LIMIT :limit",
        {"before": before, "limit": limit},
    ).fetchall()
    return tuple(rows.incident(connection, row) for row in found)


def clips_of(connection: Connection, root: Path, incident: str) -> tuple[Clip, ...]:
    """Return an incident's sealed parts in order, also those whose file is deleted."""
    found = connection.execute(f"{rows.FILE} WHERE incident = ? AND what = 'clip' ORDER BY number", (incident,))
    return tuple(rows.clip(connection, root, row) for row in found.fetchall())


def snapshots_of(connection: Connection, root: Path, incident: str) -> tuple[Snapshot, ...]:
    """Return an incident's snapshots in order, also those whose file is deleted."""
    found = connection.execute(f"{rows.FILE} WHERE incident = ? AND what = 'snapshot' ORDER BY number", (incident,))
    return tuple(rows.snapshot(connection, root, row) for row in found.fetchall())


def dossier(connection: Connection, root: Path, incident: str) -> Dossier | None:
    """Return an incident with all that belongs to it, by id."""
    found = find(connection, incident)
    return None if found is None else _dossier(connection, root, found)


def dossiers(connection: Connection, root: Path, limit: int) -> tuple[Dossier, ...]:
    """Return the newest incidents, newest first, with all that belongs to them."""
    return tuple(_dossier(connection, root, incident) for incident in listing(connection, limit, None))


def find_file(connection: Connection, root: Path, subject: str) -> Clip | Snapshot | Document | None:
    """Return the clip, snapshot or document with id `subject`."""
    row = connection.execute(f"{rows.FILE} WHERE files.id = ?", (subject,)).fetchone()
    if row is None:
        return None
    if row["what"] == "clip":
        return rows.clip(connection, root, row)
    return rows.snapshot(connection, root, row) if row["what"] == "snapshot" else rows.document(connection, root, row)


def _dossier(connection: Connection, root: Path, incident: Incident) -> Dossier:
    return Dossier(
        incident=incident,
        clips=clips_of(connection, root, incident.id),
        snapshots=snapshots_of(connection, root, incident.id),
        deliveries=deliveries.of_incident(connection, root, incident.id),
    )


def _insert(connection: Connection, incident: Incident, notice: str | None) -> None:
    closed = _NO_STAMP if incident.closed is None else rows.put_stamp(connection, incident.closed)
    connection.execute(
        _INSERT,
        (
            *(incident.id, incident.camera, incident.kind, json.dumps(incident.zones)),
            *(*rows.put_stamp(connection, incident.opened), *closed),
            *(incident.held, notice, incident.continues, incident.recovered),
        ),
    )


def _insert_snapshot(connection: Connection, root: Path, snapshot: Snapshot) -> bool:
    values = (
        *(snapshot.id, "snapshot", snapshot.incident, snapshot.seq, snapshot.path.name),
        *(rows.stored_path(root, snapshot.path), snapshot.size, snapshot.sha256),
        *(*rows.put_stamp(connection, snapshot.taken), 0.0, "", snapshot.width, snapshot.height),
    )
    return connection.execute(_INSERT_FILE, values).rowcount == 1


def _with_deliveries(connection: Connection, values: tuple[object, ...], drafts: Sequence[Draft], now: Stamp) -> bool:
    if connection.execute(_INSERT_FILE, values).rowcount != 1:
        return False
    deliveries.insert(connection, drafts, now)
    return True
