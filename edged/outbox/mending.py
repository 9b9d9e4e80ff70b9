"""What `edged fsck --repair` does about each finding. Nothing that is present is deleted, nothing proven is forgotten.

What takes the cameras' side, the entering of files that no row knows, is `record.salvage`'s.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from edged.base.clock import stamp
from edged.base.copies import take_copy
from edged.base.disk import sync_directory
from edged.model import DeliveryKind, Loss
from edged.outbox import deliveries, ledger, rows, sidecar
from edged.outbox.findings import Kind
from edged.outbox.opening import copy_of
from edged.outbox.policy import drafts_key
from edged.outbox.spool import digest_of
from edged.outbox.sweep import sweep
from edged.wire import receipt as receipts
from edged.wire.receipt import Proof

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from sqlite3 import Connection

    from edged.base.clock import Clock, Stamp
    from edged.outbox.findings import Finding
    from edged.outbox.policy import Destinations
    from edged.outbox.sidecar import Sidecar
    from edged.outbox.spool import Spool
    from edged.outbox.store import Outbox
    from edged.wire.receipt import Receipt

_FILE = "SELECT * FROM files WHERE id = ?"
_SET_CONTENT = "UPDATE files SET size = ?, sha256 = ? WHERE id = ?"
_DELIVERY = """
    SELECT deliveries.*, files.size AS file_size, files.sha256 AS file_sha256, files.deleted
    FROM deliveries LEFT JOIN files ON files.id = deliveries.subject WHERE deliveries.id = ?
"""


class Mender:
    """Puts findings right in an outbox that is opened under the directory's lock."""

    def __init__(
        self,
        outbox: Outbox,
        spool: Spool,
        destinations: Destinations,
        clock: Clock,
        verify: Callable[[Receipt], bool] | None,
    ) -> None:
        self._outbox = outbox
        self._spool = spool
        self._destinations = destinations
        self._clock = clock
        self._verify = verify
        self._now = stamp(clock)

    async def mend(self, finding: Finding) -> None:
        """Put one finding right; OSError or sqlite3.OperationalError when the disk refuses."""
        subject = finding.subject
        match finding.kind:
            case Kind.COPY:
                await take_copy(self._outbox.database, copy_of(self._spool.database))
            case Kind.HALF:
                await asyncio.to_thread(_remove, self._outbox.root / subject)
            case Kind.MISPLACED:
                await self._correct_path(subject)
            case Kind.MISTOLD:
                await self._correct_content(subject)
            case Kind.SIDECAR:
                await self._reconcile(subject)
            case Kind.CHANGED | Kind.MISSING:
                await self._give_up(subject, finding.text)
            case Kind.REMNANT:
                await asyncio.to_thread(self._spool.delete, await self._path(subject))
            case Kind.UNQUEUED | Kind.DOCUMENT:
                await sweep(self._outbox, self._spool, self._destinations, self._clock)
            case _:
                await self._run(partial(_TRANSACTIONS[finding.kind], subject=subject, now=self._now))

    async def _run(self, transaction: Callable[[Connection], None]) -> None:
        await self._outbox.database.run(transaction)

    async def _path(self, file: str) -> Path:
        found = await self._outbox.file(file)
        if found is None:
            raise ValueError(f"there is no file {file}")
        return found.path

    async def _give_up(self, file: str, reason: str) -> None:
        path = await self._path(file)
        if await asyncio.to_thread(path.exists):
            await asyncio.to_thread(self._spool.keep_aside, path)
        await self._outbox.delete_file(file, reason)

    async def _correct_path(self, file: str) -> None:
        row = await self._outbox.database.read(lambda tx: tx.execute(_FILE, (file,)).fetchone())
        home = await asyncio.to_thread(self._spool.home, row["incident"], file, row["name"])
        if home is not None:
            values = (rows.stored_path(self._outbox.root, home), file)
            await self._run(partial(_change, statement="UPDATE files SET path = ? WHERE id = ?", values=values))

    async def _correct_content(self, file: str) -> None:
        """Have a row say size and SHA-256 as the sidecar does, when that is what lies on the disk."""
        row = await self._outbox.database.read(lambda tx: tx.execute(_FILE, (file,)).fetchone())
        told = await asyncio.to_thread(_told, self._spool, row["incident"])
        for one in told.files if told is not None else ():
            if one.id == file and await asyncio.to_thread(digest_of, self._outbox.root / row["path"]) == (
                one.size,
                one.sha256,
            ):
                values = (one.size, one.sha256, file)
                await self._run(partial(_change, statement=_SET_CONTENT, values=values))

    async def _reconcile(self, incident: str) -> None:
        """Take receipts and outcomes that only the sidecar knows into the rows, and write it anew."""
        told = await asyncio.to_thread(_told, self._spool, incident)
        if told is not None:
            for delivery in await self._outbox.deliveries_of(incident):
                for receipt in told.receipts:
                    if receipt.key == delivery.key:
                        adopt = partial(adopt_receipt, receipt=receipt, verify=self._verify, now=self._now)
                        await self._run(partial(adopt, delivery=delivery.id))
                if delivery.kind is DeliveryKind.ALERT and (delivery.destination, "sent") in told.alerts:
                    await self._outbox.complete(delivery.id, None)
        await sidecar.refresh(self._outbox, incident)


def adopt_receipt(
    connection: Connection,
    *,
    delivery: int,
    receipt: Receipt,
    verify: Callable[[Receipt], bool] | None,
    now: Stamp,
) -> None:
    """Take a receipt from the sidecar where it is about the very bytes of the row, and the row's own is not."""
    row = connection.execute(_DELIVERY, (delivery,)).fetchone()

    def is_right(one: Receipt) -> bool:
        about = (one.key, one.size, one.sha256) == (row["key"], row["file_size"], row["file_sha256"])
        return about and (verify is None or one.proof is not Proof.SIGNED or verify(one))

    if not is_right(receipt) or (row["receipt"] is not None and is_right(receipts.from_json(row["receipt"]))):
        return
    connection.execute(
        "UPDATE deliveries SET state = 'done', receipt = ?, proven = ?, sending = 0, last_error = '',"
        " done_wall = ?, done_mono = ?, done_boot = ?, done_synced = ? WHERE id = ?",
        (
            *(receipts.to_json(receipt).decode(), receipt.permits_deletion),
            *(*rows.put_stamp(connection, now), delivery),
        ),
    )


def forget_receipt(connection: Connection, *, subject: str, now: Stamp) -> None:  # noqa: ARG001 -- one shape for all
    """Count a delivery's receipt for what it is; where it is none of the file's, have the file proven anew."""
    row = connection.execute(_DELIVERY, (subject,)).fetchone()
    held = None if row["receipt"] is None else receipts.from_json(row["receipt"])
    about = (row["key"], row["file_size"], row["file_sha256"])
    if held is None or ((held.key, held.size, held.sha256) == about and held.permits_deletion != bool(row["proven"])):
        proven = held is not None and held.permits_deletion
        _change(connection, "UPDATE deliveries SET proven = ? WHERE id = ?", (proven, subject))
        return
    state, why = ("pending", "") if row["deleted"] is None else ("dead", "its receipt was none")
    _change(
        connection,
        "UPDATE deliveries SET state = ?, last_error = ?, receipt = NULL, proven = 0, attempts = 0, due = 0,"
        " upload_url = NULL, done_wall = NULL, done_mono = NULL, done_boot = NULL, done_synced = NULL WHERE id = ?",
        (state, why, subject),
    )


def correct_delivery(connection: Connection, *, subject: str, now: Stamp) -> None:  # noqa: ARG001
    """Give a delivery the key and the size that follow from what it delivers; drop the row if another has that key."""
    row = connection.execute(_DELIVERY, (subject,)).fetchone()
    size = 0 if row["file_size"] is None else row["file_size"]
    values = (drafts_key(row["subject"], row["destination"]), size, subject)
    if not connection.execute("UPDATE OR IGNORE deliveries SET key = ?, size = ? WHERE id = ?", values).rowcount:
        _change(connection, "UPDATE deliveries SET carrier = NULL WHERE carrier = ?", (subject,))
        _change(connection, "DELETE FROM deliveries WHERE id = ?", (subject,))


def enter_loss(connection: Connection, *, subject: str, now: Stamp) -> None:
    """Enter the loss of a file that was deleted with nothing to prove it."""
    row = connection.execute(_FILE, (subject,)).fetchone()
    reason = f"deleted ({row['deleted']}), and no receipt proves that it is elsewhere"
    loss = Loss(what=row["what"], name=row["name"], incident=row["incident"], bytes=row["size"], reason=reason, at=now)
    ledger.add_loss(connection, loss)


def take_back(connection: Connection, *, subject: str, now: Stamp) -> None:  # noqa: ARG001
    """Keep a file again that was given up and is here, and send it."""
    _change(connection, "UPDATE files SET deleted = NULL WHERE id = ?", (subject,))
    _change(
        connection,
        "UPDATE deliveries SET state = 'pending', due = 0, attempts = 0, last_error = ''"
        " WHERE subject = ? AND state = 'dead'",
        (subject,),
    )


def give_up_delivery(connection: Connection, *, subject: str, now: Stamp) -> None:
    """Give up a delivery of which nobody knows what it delivers, and enter the loss."""
    deliveries.drop(connection, int(subject), now)


_TRANSACTIONS = {
    Kind.MISKEYED: correct_delivery,
    Kind.RECEIPT: forget_receipt,
    Kind.UNPROVEN: enter_loss,
    Kind.RISEN: take_back,
    Kind.ORPHAN: give_up_delivery,
}


def _change(connection: Connection, statement: str, values: tuple[object, ...]) -> None:
    connection.execute(statement, values)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def _told(spool: Spool, incident: str) -> Sidecar | None:
    """Return the sidecar of an incident, if it has one that is its own."""
    for directory in spool.incident_directories():
        if directory.name == incident:
            try:
                found = sidecar.read(directory)
            except (FileNotFoundError, sidecar.BadSidecarError):
                return None
            return found if found.incident.id == incident else None
    return None
