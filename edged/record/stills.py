"""An incident's snapshots: the first at opening, for which an alert waits only briefly, and a clearly better one."""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import stamp_at
from edged.base.disk import write_synced
from edged.model import Snapshot
from edged.record.clip import Label
from edged.record.jpeg import with_comment
from edged.record.names import identity, snapshot_name
from edged.record.snapshot import NoPictureError, Still, still

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.model import Incident
    from edged.record.recording import Recording
    from edged.record.settings import RecordSettings

log = structlog.get_logger(__name__)


class Stills:
    """Decodes and writes snapshots; `on_writer` runs what writes, `directory` makes and returns an incident's place."""

    def __init__(
        self,
        settings: RecordSettings,
        clock: Clock,
        on_writer: Callable[[Callable[[], Path]], Awaitable[Path]],
        directory: Callable[[Incident], Path],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._on_writer = on_writer
        self._directory = directory

    async def first(self, recording: Recording) -> Snapshot | None:
        """Return the picture at opening, written; None when it takes too long (see `late`) or there is none."""
        decoding = asyncio.ensure_future(self._decode(recording))
        await asyncio.wait((decoding,), timeout=self._settings.snapshot_wait)
        if not decoding.done():
            recording.late = decoding
            return None
        return await self._save(recording, decoding.result())

    async def late(
        self, recording: Recording, enter: Callable[[Incident, Snapshot], None], *, wait: bool = False
    ) -> None:
        """Enter the first picture if it was not ready at opening and is now, or when it is (`wait`)."""
        if recording.late is not None and (wait or recording.late.done()):
            picture = await recording.late
            recording.late = None
            snapshot = await self._save(recording, picture)
            if snapshot is not None:
                enter(recording.incident, snapshot)

    async def better(self, recording: Recording, enter: Callable[[Incident, Snapshot], None]) -> None:
        """Enter the best picture if it shows clearly more than the first."""
        if recording.deserves_another_snapshot():
            snapshot = await self._save(recording, await self._decode(recording))
            if snapshot is not None:
                enter(recording.incident, snapshot)

    async def _decode(self, recording: Recording) -> Still | None:
        width, quality = self._settings.snapshot_width, self._settings.snapshot_quality
        try:
            return await asyncio.to_thread(still, recording.best, width=width, quality=quality)
        except NoPictureError as error:
            incident = recording.incident
            log.warning("no snapshot", incident=incident.id, camera=incident.camera, reason=str(error))
            return None

    async def _save(self, recording: Recording, picture: Still | None) -> Snapshot | None:
        if picture is None:
            return None
        incident, seq, taken = recording.incident, recording.snapshots + 1, stamp_at(self._clock, picture.mono)
        # like a part: of an incident cut off before its row was committed this may be all that is left
        label = Label(incident=incident.id, camera=incident.camera, part=seq, start=taken)
        jpeg = with_comment(picture.jpeg, label.text())
        try:
            path = await self._on_writer(partial(self._write, incident, snapshot_name(seq), jpeg))
        except OSError as error:
            reason = error.strerror or str(error)
            log.error("snapshot not written", incident=incident.id, camera=incident.camera, error=reason)
            return None
        recording.snapshots = seq
        return Snapshot(
            id=identity(incident.id, path.name),
            incident=incident.id,
            camera=incident.camera,
            seq=seq,
            path=path,
            size=len(jpeg),
            sha256=hashlib.sha256(jpeg).hexdigest(),
            taken=taken,
            width=picture.width,
            height=picture.height,
        )

    def _write(self, incident: Incident, name: str, jpeg: bytes) -> Path:
        path = self._directory(incident) / name
        write_synced(path, jpeg)
        return path
