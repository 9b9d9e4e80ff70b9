"""What a recorder enters into the outbox: each method drafts one transaction and puts it into the queue of commits.

The incident with its alerts and first snapshot are one transaction, each sealed part with its uploads another. After
each the incident's sidecar is written anew from the rows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import stamp_at
from edged.model import Clip, Gap, Loss
from edged.outbox import sidecar
from edged.outbox.policy import alert_drafts, clip_drafts, snapshot_drafts
from edged.record.commit import Commits
from edged.record.names import identity
from edged.record.tape import Lost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from edged.base.clock import Clock, Stamp
    from edged.model import Incident, Snapshot
    from edged.outbox.nouns import AlertRules
    from edged.outbox.policy import Destinations, Draft
    from edged.outbox.store import Outbox
    from edged.record.clip import Sealed
    from edged.record.recording import Recording

log = structlog.get_logger(__name__)


class Entries:
    """The rows of one camera's recorder, in order."""

    def __init__(
        self,
        camera: str,
        *,
        outbox: Outbox,
        clock: Clock,
        destinations: Destinations,
        rules: AlertRules,
        on_commit: Callable[[Incident], None],
        on_writer: Callable[[Callable[[], bool]], Awaitable[bool]],
    ) -> None:
        self._camera = camera
        self._outbox = outbox
        self._clock = clock
        self._destinations = destinations
        self._rules = rules
        self._on_commit = on_commit
        self._on_writer = on_writer
        self._commits = Commits(camera)

    def adopt(self, destinations: Destinations, rules: AlertRules) -> None:
        """Deliver there, and alert by these rules, what is entered from now on."""
        self._destinations = destinations
        self._rules = rules

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        return len(self._commits)

    async def work(self, *, urgent: bool = False) -> None:
        """Commit what waits; see `Commits.work`."""
        await self._commits.work(urgent=urgent)

    def open(self, incident: Incident, snapshot: Snapshot | None) -> None:
        """Enter an incident with its alerts and first snapshot."""
        alerts = alert_drafts(incident, self._destinations)  # the outbox leaves them out when they are held back
        uploads = () if snapshot is None else snapshot_drafts(snapshot, self._destinations)
        self._add(incident, partial(self._open, incident, (*alerts, *uploads), snapshot))

    def extend(self, incident: Incident, zones: Sequence[str]) -> None:
        """Enter further zones of an incident."""
        self._add(incident, partial(self._outbox.extend_incident, incident.id, zones))

    def snapshot(self, incident: Incident, snapshot: Snapshot) -> None:
        """Enter a later snapshot with its uploads."""
        drafts = snapshot_drafts(snapshot, self._destinations)
        self._add(incident, partial(self._better, snapshot, drafts))

    def outcomes(self, recording: Recording) -> None:
        """Enter the parts that were sealed with their uploads, and what was lost."""
        while recording.outcomes:
            outcome = recording.outcomes.popleft()
            if isinstance(outcome, Lost):
                self._commits.add(partial(self._outbox.add_loss, self._loss(recording.incident, outcome)))
            else:
                self._add(recording.incident, partial(self._seal, clip_of(outcome)))

    def close(self, incident: Incident, closed: Stamp) -> None:
        """Enter an incident's end."""
        self._add(incident, partial(self._close, incident, closed))

    def gap(self, start: float, end: float, reason: str) -> None:
        """Enter a time (mono) that could not be recorded, though nothing is wrong with the camera."""
        gap = Gap(
            camera=self._camera, start=stamp_at(self._clock, start), end=stamp_at(self._clock, end), reason=reason
        )
        self._commits.add(partial(self._outbox.open_gap, gap))
        log.error("recording has a gap", camera=self._camera, seconds=round(end - start, 1), reason=reason)

    def _add(self, incident: Incident, row: Callable[[], Awaitable[object]]) -> None:
        self._commits.add(row)
        self._commits.add(partial(self._describe, incident))

    async def _open(self, incident: Incident, drafts: Sequence[Draft], snapshot: Snapshot | None) -> None:
        entered = await self._outbox.open_incident(incident, drafts, self._rules, snapshot)
        log.info(
            "incident opened",
            incident=incident.id,
            camera=incident.camera,
            kind=str(incident.kind),
            zones=list(incident.zones),
            held=entered.held,
        )
        if snapshot is not None:
            _tell(snapshot)
        self._on_commit(entered)

    async def _better(self, snapshot: Snapshot, drafts: Sequence[Draft]) -> None:
        await self._outbox.add_snapshot(snapshot, drafts)
        _tell(snapshot)

    async def _seal(self, clip: Clip) -> None:
        await self._outbox.add_clip(clip, clip_drafts(clip, self._destinations))
        log.info(
            "clip sealed",
            clip=clip.id,
            incident=clip.incident,
            camera=clip.camera,
            part=clip.part,
            seconds=round(clip.seconds, 2),
            bytes=clip.size,
        )

    async def _close(self, incident: Incident, closed: Stamp) -> None:
        await self._outbox.close_incident(incident.id, closed)
        seconds = round(closed.mono - incident.opened.mono, 2)
        log.info("incident closed", incident=incident.id, camera=incident.camera, seconds=seconds)

    async def _describe(self, incident: Incident) -> None:
        """Write the sidecar; without it everything works, so a disk that refuses is only told."""
        async with self._outbox.describing:
            described = await sidecar.gather(self._outbox, incident.id)
            if described is None:
                return
            try:
                await self._on_writer(lambda: sidecar.put(described))
            except OSError as error:
                log.warning("sidecar not written", incident=incident.id, error=error.strerror or str(error))
                self._outbox.undescribed.add(incident.id)

    def _loss(self, incident: Incident, lost: Lost) -> Loss:
        seconds = lost.end - lost.start
        log.error(
            "pictures lost", incident=incident.id, camera=self._camera, seconds=round(seconds, 1), reason=lost.reason
        )
        return Loss(
            what="seconds",
            name=incident.id,
            incident=incident.id,
            bytes=lost.bytes,
            reason=f"{seconds:.1f} s of the clip: {lost.reason}",
            at=stamp_at(self._clock, lost.start),
        )


def clip_of(sealed: Sealed) -> Clip:
    """Return the clip that a sealed part is."""
    return Clip(
        id=identity(sealed.label.incident, sealed.path.name),
        incident=sealed.label.incident,
        camera=sealed.label.camera,
        part=sealed.label.part,
        path=sealed.path,
        size=sealed.size,
        sha256=sealed.sha256,
        start=sealed.label.start,
        seconds=sealed.seconds,
        codec=sealed.codec,
        width=sealed.width,
        height=sealed.height,
    )


def _tell(snapshot: Snapshot) -> None:
    log.info(
        "snapshot kept",
        incident=snapshot.incident,
        camera=snapshot.camera,
        file=snapshot.path.name,
        bytes=snapshot.size,
    )
