"""After a crash: what the last run left open is cut to its last whole fragment, sealed and queued, before all else.

The files are asked, not the rows: a part without a row was being written, or its row was lost with the database. An
incident that the database does not know is entered again from its sidecar, or where that is missing too from what its
clips say of themselves; its alerts are not repeated, one digest tells of those whose alert is unknown. Nothing that
holds a picture is deleted here.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from edged.model import Clip, DeliveryKind, Incident, IncidentKind, Loss, Snapshot
from edged.outbox import sidecar
from edged.outbox.nouns import Notice, NoticeKind
from edged.outbox.policy import clip_drafts, snapshot_drafts
from edged.outbox.spool import DAMAGED
from edged.record.leftovers import FoundPart, FoundSnapshot, Leftovers, clear, label_in, look
from edged.record.names import identity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edged.base.clock import Stamp
    from edged.outbox.policy import Destinations
    from edged.outbox.sidecar import Sidecar
    from edged.outbox.spool import Spool
    from edged.outbox.store import Outbox
    from edged.record.clip import Label

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SalvageReport:
    """What was done: clip parts sealed, their seconds, incidents closed and entered again; files it could not place.

    `removed` counts what held no picture: files half written, and directories of which no more was on the disk.
    """

    parts: int = 0
    seconds: float = 0.0
    closed: int = 0
    imported: int = 0
    strange: int = 0
    removed: int = 0


async def salvage(outbox: Outbox, spool: Spool, destinations: Destinations) -> SalvageReport:
    """Seal, close and queue what the last run left open; call it before anything else works with the outbox.

    May be repeated after a crash of its own. Raises sqlite3.OperationalError, OSError when the disk refuses altogether.
    """
    work = _Salvage(outbox, destinations)
    await work.remove_halves(spool)
    directories = await asyncio.to_thread(spool.incident_directories)
    lost = [found for directory in directories if (found := await work.unknown(directory)) is not None]
    await work.tell(lost)
    for directory in directories:
        await work.try_to_recover(directory)
    for incident in await outbox.unclosed_incidents():
        await work.close(incident)
    for touched in dict.fromkeys(work.touched):
        await sidecar.refresh(outbox, touched)
    if work.report != SalvageReport():
        log.warning(
            "salvaged",
            parts=work.report.parts,
            seconds=round(work.report.seconds, 1),
            closed=work.report.closed,
            imported=work.report.imported,
        )
    return work.report


class _Salvage:
    """The work on one state directory."""

    def __init__(self, outbox: Outbox, destinations: Destinations) -> None:
        self._outbox = outbox
        self._destinations = destinations
        self.report = SalvageReport()
        self.touched: list[str] = []

    async def remove_halves(self, spool: Spool) -> None:
        """Remove files of which only a part was written, and that would be written anew."""
        halves = await asyncio.to_thread(spool.remove_halves)
        for path in halves:
            log.info("half a file removed", path=str(path))
        self.report = replace(self.report, removed=len(halves))

    async def unknown(self, directory: Path) -> Sidecar | None:
        """Return what the files in `directory` say of an incident that the database does not know."""
        if await self._outbox.incident(directory.name) is not None:
            return None
        try:
            found = await asyncio.to_thread(sidecar.read, directory)
            if found.incident.id == directory.name:
                return found
            log.warning("sidecar of another incident passed over", incident=directory.name)
        except FileNotFoundError:
            pass
        except sidecar.BadSidecarError as error:
            log.warning("sidecar passed over", incident=directory.name, error=str(error))
        label = await asyncio.to_thread(label_in, directory)
        if label is None or label.incident != directory.name:
            return None
        return sidecar.Sidecar(incident=_incident_of(label))

    async def tell(self, lost: Sequence[Sidecar]) -> None:
        """Enter incidents again, with one digest of those whose alert may never have gone out."""
        notice = None
        untold = [found.incident for found in lost if _alert_unknown(found)]
        if untold:
            names = "".join(sorted(incident.id for incident in untold))
            first = min(untold, key=lambda incident: incident.opened.wall)
            notice = Notice(
                id=hashlib.sha256(names.encode()).hexdigest()[:32],
                kind=NoticeKind.RECOVERED,
                since=first.opened,
                incident=first.id,
                camera=first.camera if len(untold) == 1 else "",
                count=len(untold),
            )
        found_again = [found.incident for found in lost]
        imported = await self._outbox.import_incidents(found_again, notice, self._destinations.people)
        self.report = replace(self.report, imported=imported)
        for incident in found_again:
            log.warning("incident entered again", incident=incident.id, camera=incident.camera)

    async def try_to_recover(self, directory: Path) -> None:
        """Recover `directory`; where the disk refuses, its files stay as they are for the next start."""
        try:
            await self.recover(directory)
        except OSError as error:  # one bad block must not keep a camera from being watched
            log.error("directory not salvaged", path=str(directory), error=error.strerror or str(error))
            self.report = replace(self.report, strange=self.report.strange + 1)

    async def recover(self, directory: Path) -> None:
        """Enter the files in `directory` that have no row."""
        incident = await self._outbox.incident(directory.name)
        if incident is None:
            await self._leave(directory)
            return
        clips = await self._outbox.clips_of(incident.id)
        snapshots = await self._outbox.snapshots_of(incident.id)
        known = {clip.path.name for clip in clips} | {snapshot.path.name for snapshot in snapshots}
        found = await asyncio.to_thread(look, directory, known)
        for part in sorted(found.parts, key=lambda part: part.number):
            clip = _clip(incident, part, clips)
            clips = (*clips, clip)
            await self._enter_clip(clip, part.cut)
        for picture in found.snapshots:
            snapshot = _snapshot(incident, picture)
            await self._outbox.add_snapshot(snapshot, snapshot_drafts(snapshot, self._destinations))
        if found.parts or found.snapshots or self._outbox.rebuilt:
            await self._restore_outcomes(directory)
        self._note(directory, found)

    async def _leave(self, directory: Path) -> None:
        """Leave a directory alone that is of no known incident, unless there is nothing in it."""
        if await asyncio.to_thread(clear, directory):
            log.warning("incident without a picture removed", incident=directory.name)
            self.report = replace(self.report, removed=self.report.removed + 1)
        else:
            log.warning("directory of no known incident left alone", path=str(directory))
            self.report = replace(self.report, strange=self.report.strange + 1)

    async def close(self, incident: Incident) -> None:
        """Close an incident at its last recorded picture; one that left no file at all is a loss."""
        clips, snapshots = await self._outbox.clips_of(incident.id), await self._outbox.snapshots_of(incident.id)
        ends = [_after(clip.start, clip.seconds) for clip in clips]
        if not clips and not snapshots:
            reason = "no picture of it had reached the disk when edged ended"
            loss = Loss(
                what="seconds", name=incident.id, incident=incident.id, bytes=0, reason=reason, at=incident.opened
            )
            await self._outbox.add_loss(loss)
        closed = max((incident.opened, *ends), key=lambda end: end.mono)
        await self._outbox.close_incident(incident.id, closed, recovered=True)
        self.report = replace(self.report, closed=self.report.closed + 1)
        self.touched.append(incident.id)
        log.warning("incident closed after a crash", incident=incident.id, camera=incident.camera)

    async def _enter_clip(self, clip: Clip, cut: int) -> None:
        await self._outbox.add_clip(clip, clip_drafts(clip, self._destinations))
        self.report = replace(self.report, parts=self.report.parts + 1, seconds=self.report.seconds + clip.seconds)
        log.warning(
            "clip salvaged",
            clip=clip.id,
            incident=clip.incident,
            camera=clip.camera,
            part=clip.part,
            seconds=round(clip.seconds, 2),
            bytes_cut=cut,
        )

    async def _restore_outcomes(self, directory: Path) -> None:
        """Mark what the sidecar knows to be delivered, so that it is not sent again."""
        try:
            told = await asyncio.to_thread(sidecar.read, directory)
        except (FileNotFoundError, sidecar.BadSidecarError):
            return
        for delivery in await self._outbox.deliveries_of(directory.name):
            for receipt in told.receipts:
                if (receipt.key, receipt.sha256) == (delivery.key, delivery.sha256):
                    await self._outbox.complete(delivery.id, receipt)
            if delivery.kind is DeliveryKind.ALERT and (delivery.destination, "sent") in told.alerts:
                await self._outbox.complete(delivery.id, None)

    def _note(self, directory: Path, found: Leftovers) -> None:
        if found.parts or found.snapshots:
            self.touched.append(directory.name)
        for name in found.removed:
            log.info("empty file removed", incident=directory.name, file=name)
        self.report = replace(self.report, removed=self.report.removed + len(found.removed))
        for name in found.damaged:
            log.error("damaged file kept aside", incident=directory.name, file=f"{name}{DAMAGED}")
        for name in found.strange:
            log.warning("file left alone, edged did not write it", incident=directory.name, file=name)
        self.report = replace(self.report, strange=self.report.strange + len(found.strange))


def _alert_unknown(found: Sidecar) -> bool:
    """Return whether an alert was due, and nothing says that it went out."""
    return found.incident.alerting and not (found.alerts and all(outcome == "sent" for _, outcome in found.alerts))


def _incident_of(label: Label) -> Incident:
    """Return an incident as one of its clips tells it: what caused it is not known any more."""
    return Incident(id=label.incident, camera=label.camera, kind=IncidentKind.MOTION, zones=(), opened=label.start)


def _clip(incident: Incident, part: FoundPart, before: Sequence[Clip]) -> Clip:
    """Return the clip that a found part is; one that says nothing of its start began where the part before ended."""
    if part.label is not None:
        start = part.label.start
    elif before:
        start = _after(before[-1].start, before[-1].seconds)
    else:
        start = incident.opened
    return Clip(
        id=identity(incident.id, part.path.name),
        incident=incident.id,
        camera=incident.camera,
        part=part.number,
        path=part.path,
        size=part.size,
        sha256=part.sha256,
        start=start,
        seconds=part.seconds,
        codec=part.codec,
        width=part.width,
        height=part.height,
    )


def _snapshot(incident: Incident, picture: FoundSnapshot) -> Snapshot:
    """Return the snapshot that a found picture is; one that says nothing of its time counts as the opening's."""
    return Snapshot(
        id=identity(incident.id, picture.path.name),
        incident=incident.id,
        camera=incident.camera,
        seq=picture.number,
        path=picture.path,
        size=picture.size,
        sha256=picture.sha256,
        taken=incident.opened if picture.label is None else picture.label.start,
        width=picture.width,
        height=picture.height,
    )


def _after(start: Stamp, seconds: float) -> Stamp:
    return replace(start, wall=start.wall + seconds, mono=start.mono + seconds)
