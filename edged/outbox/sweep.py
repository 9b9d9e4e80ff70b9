"""The sweep: rows, files and deliveries compared, and what was missed put right.

Left by a crash or by a person's hand: files without a delivery, rows without their file, files that were to be
deleted, documents without a row, sidecars behind their rows. Files that have no row and may be a recording under way
are salvage's, at boot.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import stamp
from edged.model import Clip
from edged.outbox import sidecar
from edged.outbox.findings import judge_sidecar
from edged.outbox.nouns import Document
from edged.outbox.policy import clip_drafts, document_drafts, snapshot_drafts
from edged.outbox.spool import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.model import Snapshot
    from edged.outbox.nouns import StoredFile
    from edged.outbox.policy import Destinations, Draft
    from edged.outbox.sidecar import Sidecar
    from edged.outbox.spool import Spool
    from edged.outbox.store import Outbox

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What a sweep put right: files found missing, deliveries entered, files removed, documents taken in.

    `described` counts sidecars that were behind their rows.
    """

    missing: int = 0
    queued: int = 0
    removed: int = 0
    adopted: int = 0
    described: int = 0


async def sweep(outbox: Outbox, spool: Spool, destinations: Destinations, clock: Clock) -> Findings:
    """Compare rows and files once and put right what differs."""
    files = await outbox.kept_files()
    gone = await asyncio.to_thread(_damaged, files)
    unmounted = await asyncio.to_thread(outbox.place.gone)
    if unmounted:  # not the files are missing, but their disk
        return Findings()
    for file, reason in gone:
        if await outbox.delete_file(file.id, reason):
            log.error("file lost", what=file.what, incident=file.incident, path=str(file.path), reason=reason)
    lost = {file.id for file, _ in gone}
    findings = Findings(
        missing=len(gone),
        queued=await _queue(outbox, (file for file in files if file.id not in lost), destinations),
        removed=await asyncio.to_thread(_remove, spool, await outbox.deleted_files()),
        adopted=await _adopt(outbox, spool, destinations, clock),
        described=await _describe(outbox, spool),
    )
    if findings != Findings():
        log.warning(
            "sweep put right",
            missing=findings.missing,
            queued=findings.queued,
            removed=findings.removed,
            adopted=findings.adopted,
            described=findings.described,
        )
    return findings


def drafts_for(subject: Clip | Snapshot | Document, destinations: Destinations) -> tuple[Draft, ...]:
    """Return the deliveries of a file, whatever it is."""
    if isinstance(subject, Document):
        return document_drafts(subject, destinations)
    return clip_drafts(subject, destinations) if isinstance(subject, Clip) else snapshot_drafts(subject, destinations)


def _damaged(files: Sequence[StoredFile]) -> list[tuple[StoredFile, str]]:
    return [(file, reason) for file in files if (reason := _damage(file))]


def _damage(file: StoredFile) -> str:
    """Return what is wrong with a file on the disk, "" for nothing. Its bytes are hashed by whoever takes them."""
    try:
        size = file.path.stat().st_size
    except FileNotFoundError:
        return "missing from the disk"
    except OSError:
        return ""  # a disk that does not answer now may do so later
    return "" if size == file.size else f"changed on the disk: {size} bytes, not {file.size}"


async def _queue(outbox: Outbox, files: Iterable[StoredFile], destinations: Destinations) -> int:
    count = 0
    if not destinations.stores:
        return count
    for file in files:
        subject = None if file.queued else await outbox.file(file.id)
        if subject is not None:
            count += await outbox.enqueue(drafts_for(subject, destinations))
    return count


def _remove(spool: Spool, deleted: Iterable[tuple[Path, int, str]]) -> int:
    """Remove what a crash kept from being deleted. What is not the file that was deleted is kept aside.

    A damaged file is given up by its row, since nobody can be sent it as what it was; it may still show something.
    """
    count = 0
    for path, *recorded in deleted:
        try:
            whole = [*digest_of(path)] == recorded
        except OSError:  # it is gone, as it should be, or a disk that may answer later does not now
            continue
        if whole:
            spool.delete(path)
        else:
            log.warning("damaged file kept aside", path=str(spool.keep_aside(path)))
        count += 1
    return count


async def _adopt(outbox: Outbox, spool: Spool, destinations: Destinations, clock: Clock) -> int:
    """Take documents in that have no row: the database was lost, or the process between copying and committing."""
    count = 0
    for path in await asyncio.to_thread(spool.found_documents):
        if await outbox.file(path.parent.name) is None:
            size, digest = await asyncio.to_thread(digest_of, path)
            document = Document(
                id=path.parent.name, name=path.name, path=path, size=size, sha256=digest, added=stamp(clock)
            )
            count += await outbox.add_document(document, document_drafts(document, destinations))
    return count


async def _describe(outbox: Outbox, spool: Spool) -> int:
    """Write the sidecars anew that are behind their rows: the process ended between the two."""
    count = 0
    for directory in await asyncio.to_thread(spool.incident_directories):
        dossier = await outbox.dossier(directory.name)
        if dossier is not None and await asyncio.to_thread(_is_behind, directory, sidecar.describe(dossier)):
            count += await sidecar.refresh(outbox, directory.name)
    return count


def _is_behind(directory: Path, rows: Sidecar) -> bool:
    """Return whether a sidecar lacks what the rows say; not one that can't be read, or has a receipt that they lack."""
    try:
        found = sidecar.read(directory)
    except FileNotFoundError:
        return True
    except sidecar.BadSidecarError:
        return False
    if not set(found.receipts) <= set(rows.receipts):  # the database is an older copy: what only files know must stay
        return False
    return any(judge_sidecar(directory.name, found, rows, frozenset()))
