"""Between rows and nouns: stamps (with the correction of untrusted clocks), incidents, files and deliveries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edged.base.clock import Stamp
from edged.model import Clip, Delivery, DeliveryKind, Incident, IncidentKind, Lane, Snapshot, State
from edged.outbox.nouns import Document, Notice, NoticeKind
from edged.wire import receipt

if TYPE_CHECKING:
    from pathlib import Path
    from sqlite3 import Connection, Row

# A delivery with the file that it carries, if it carries one.
DELIVERY = """
    SELECT deliveries.*, files.path AS file_path, files.sha256 AS file_sha256
    FROM deliveries LEFT JOIN files ON files.id = deliveries.subject
"""
# A file with its incident's camera.
FILE = "SELECT files.*, incidents.camera FROM files LEFT JOIN incidents ON incidents.id = files.incident"

StampColumns = tuple[float, float, int, bool]


def put_stamp(connection: Connection, stamp: Stamp) -> StampColumns:
    """Return the four columns of `stamp`: wall, mono, boot, synced; a new boot gets its row."""
    return stamp.wall, stamp.mono, boot_number(connection, stamp.boot), stamp.synced


def boot_number(connection: Connection, boot: str) -> int:
    """Return the number of a boot id, entering it if it is new."""
    row = connection.execute("SELECT id FROM boots WHERE boot = ?", (boot,)).fetchone()
    if row is not None:
        return int(row["id"])
    return connection.execute("INSERT INTO boots (boot) VALUES (?)", (boot,)).lastrowid or 0


def get_stamp(connection: Connection, row: Row, name: str) -> Stamp:
    """Return the stamp in the columns `name`_..., corrected when its boot's clock was set later."""
    boot = connection.execute("SELECT boot, epoch FROM boots WHERE id = ?", (row[f"{name}_boot"],)).fetchone()
    wall, mono, synced = row[f"{name}_wall"], row[f"{name}_mono"], bool(row[f"{name}_synced"])
    if not synced and boot["epoch"] is not None:
        wall, synced = boot["epoch"] + mono, True
    return Stamp(wall=wall, mono=mono, boot=boot["boot"], synced=synced)


def find_stamp(connection: Connection, row: Row, name: str) -> Stamp | None:
    """Return the stamp in the columns `name`_..., None when they are empty."""
    return None if row[f"{name}_wall"] is None else get_stamp(connection, row, name)


def incident(connection: Connection, row: Row) -> Incident:
    """Return the incident of a row of `incidents`."""
    return Incident(
        id=row["id"],
        camera=row["camera"],
        kind=IncidentKind(row["kind"]),
        zones=tuple(json.loads(row["zones"])),
        opened=get_stamp(connection, row, "opened"),
        closed=find_stamp(connection, row, "closed"),
        alerting=not row["held"],
        held=row["held"],
        continues=row["continues"],
        recovered=bool(row["recovered"]),
    )


def clip(connection: Connection, root: Path, row: Row) -> Clip:
    """Return the clip part of a row of `FILE`."""
    return Clip(
        **_file(root, row),
        camera=row["camera"],
        incident=row["incident"],
        part=row["number"],
        start=get_stamp(connection, row, "taken"),
        seconds=row["seconds"],
        codec=row["codec"],
        width=row["width"],
        height=row["height"],
    )


def snapshot(connection: Connection, root: Path, row: Row) -> Snapshot:
    """Return the snapshot of a row of `FILE`."""
    return Snapshot(
        **_file(root, row),
        camera=row["camera"],
        incident=row["incident"],
        seq=row["number"],
        taken=get_stamp(connection, row, "taken"),
        width=row["width"],
        height=row["height"],
    )


def document(connection: Connection, root: Path, row: Row) -> Document:
    """Return the document of a row of `FILE`."""
    return Document(**_file(root, row), name=row["name"], added=get_stamp(connection, row, "taken"))


def delivery(connection: Connection, root: Path, row: Row) -> Delivery:
    """Return the delivery of a row of `DELIVERY`."""
    return Delivery(
        id=row["id"],
        key=row["key"],
        kind=DeliveryKind(row["kind"]),
        lane=Lane(row["lane"]),
        priority=row["priority"],
        destination=row["destination"],
        incident=row["incident"],
        subject=row["subject"],
        path=None if row["file_path"] is None else root / row["file_path"],
        size=row["size"],
        sha256=row["file_sha256"],
        message=row["message"],
        state=State(row["state"]),
        attempts=row["attempts"],
        due=row["due"],
        upload_url=row["upload_url"],
        possibly_sent=row["possibly_sent"],
        last_error=row["last_error"],
        receipt=None if row["receipt"] is None else receipt.from_json(row["receipt"]),
        created=get_stamp(connection, row, "created"),
        carrier=row["carrier"],
    )


def notice(connection: Connection, row: Row) -> Notice:
    """Return the notice of a row of `notices`."""
    return Notice(
        id=row["id"],
        kind=NoticeKind(row["kind"]),
        text=row["text"],
        incident=row["incident"],
        camera=row["camera"],
        zones=tuple(json.loads(row["zones"])),
        count=row["count"],
        since=get_stamp(connection, row, "since"),
    )


def stored_path(root: Path, path: Path) -> str:
    """Return `path` as the database keeps it: relative to the state directory where it lies in it."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _file(root: Path, row: Row) -> dict[str, Any]:
    return {"id": row["id"], "path": root / row["path"], "size": row["size"], "sha256": row["sha256"]}
