"""The board of the pages, filled from the world. Nothing here decides or changes anything."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import psutil

from edged import __version__
from edged.base import log as logs
from edged.model import DeliveryKind, State
from edged.outbox.commands import delivery_row, incident_row
from edged.push.heartbeat import age
from edged.supervise.board import CameraView, DiskView, GateView, Queue, TransferView, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edged.app.eyes import Eye
    from edged.app.world import World
    from edged.model import Frame, Gap, Loss
    from edged.outbox.nouns import Dossier

_FRESH = 3.0  # seconds: an older key frame shows less than the detector's newest picture
_FRESH_STILL = 10.0  # seconds: a camera whose newest picture is older gives none now
_WIDTH = 640  # pixels: a status page's camera
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 80)


class WorldBoard:
    """What the pages may see of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._process = psutil.Process()

    def view(self) -> View:
        """Return the present state, from memory."""
        world, config = self._world, self._world.config
        out = world.outward
        cpu = self._process.cpu_times()
        return View(
            device=config.device.name,
            title=config.device.title,
            version=__version__,
            uptime=world.uptime(),
            wall=world.clock.wall(),
            synced=world.clock.synced(),
            timezone=config.device.timezone,
            cameras=tuple(self._camera(eye) for eye in world.eyes.values()),
            tasks=world.supervisor.states(),
            complaints=world.watchdog.complaints,
            link=out.link.link if out.link is not None else None,
            gates=tuple(GateView(destination=n, state=s, reason=r) for n, s, r in out.gates()),
            transfers=tuple(
                TransferView(
                    delivery=each.delivery.id,
                    destination=each.delivery.destination,
                    name=each.name,
                    sent=each.sent,
                    size=each.size,
                    rate=each.rate,
                )
                for each in out.transfers.under_way()
            ),
            disk=self._disk(),
            lag_p99=world.lag.quantile(0.99),
            rss=self._process.memory_info().rss,
            log_dropped=logs.dropped(),
            cpu_seconds=cpu.user + cpu.system,
            bytes_sent=out.counters.sent,
            bytes_wasted=out.counters.wasted,
            notices=tuple(self._notices()),
            firmware=world.firmware.newest,
            configuration=world.refused,
            mono=world.clock.mono(),
        )

    def _camera(self, eye: Eye) -> CameraView:
        picture, incident = eye.capture.picture, eye.recorder.incident
        size, _, codec = eye.stream.partition(" ")
        return CameraView(
            name=eye.name,
            health=eye.capture.health,
            picture_age=None if picture is None else self._world.clock.mono() - picture.mono,
            size=size,
            codec=codec,
            frames=eye.detector.frames,
            dropped=eye.frames.dropped,
            analysis_ms=eye.detector.ms_per_frame,
            regions=eye.detector.last.regions if eye.detector.last is not None else (),
            incident=None if incident is None else incident.id,
            armed=self._world.arming.is_armed(eye.name),
            sensor=None if picture is None else picture.sensor,
            refused=eye.recorder.refused,
            ended=eye.capture.finished,
        )

    def _disk(self) -> DiskView | None:
        upkeep = self._world.upkeep
        space = upkeep.space
        if space is None:
            return None
        return DiskView(
            total=space.total,
            free=space.free,
            used_by_edged=upkeep.kept,
            quota=self._world.config.outbox.quota,
            level=upkeep.level.name.lower() if upkeep.has_room() else "critical",
            trouble=upkeep.trouble,
        )

    def _notices(self) -> list[str]:
        world = self._world
        told = [*world.farewell.sentences(), *world.helper.sentences()]
        if world.outbox.rebuilt:
            told.append("The database was damaged and has been rebuilt from the clips beside it.")
        if world.draining:
            told.append("Watching has been stopped by a person (edged drain); start the daemon again to watch.")
        if world.pending:
            told.append(f"Changed in the configuration, and waiting for a restart: {', '.join(world.pending)}.")
        if not world.destinations.stores:
            told.append("Neither a receiver nor a folder is configured: clips stay on this device.")
        if not world.destinations.people:
            told.append("Nobody is told of incidents: [alerts] names no recipients.")
        return told

    async def queue(self) -> Queue:
        """Return the outbox in numbers."""
        world = self._world
        counts, backlog = await world.outbox.counts(), await world.outbox.backlog()
        rate = world.outward.rate()
        left = max(0, backlog.bytes - world.outward.transfers.held)
        return Queue(
            waiting=counts.waiting,
            held=counts.held,
            losses=await world.outbox.count_losses(),
            sent=counts.sent,
            proven=counts.proven,
            dead=counts.dead,
            deleted=counts.deleted,
            backlog_bytes=left,
            oldest_age=None if backlog.oldest is None else age(backlog.oldest, world.now()),
            drain_seconds=left / rate if rate and left else None,
        )

    async def deliveries(self, limit: int) -> Sequence[dict[str, Any]]:
        """Return what waits or died, most urgent first, as JSON-able rows."""
        found = await self._world.outbox.deliveries((State.PENDING, State.HELD, State.DEAD), limit=limit)
        ordered = sorted(found, key=lambda each: (each.state is State.DEAD, each.priority, each.id))
        return [delivery_row(each) for each in ordered]

    async def incidents(self, limit: int) -> Sequence[dict[str, Any]]:
        """Return the newest incidents with their clip parts, snapshots and deliveries, as JSON-able rows."""
        return await self._rows(await self._world.outbox.dossiers(limit))

    async def incident(self, incident: str) -> dict[str, Any] | None:
        """Return one incident as a JSON-able row, or None."""
        found = await self._world.outbox.dossier(incident)
        return None if found is None else (await self._rows([found]))[0]

    async def _rows(self, dossiers: Sequence[Dossier]) -> list[dict[str, Any]]:
        rows = [incident_row(dossier) for dossier in dossiers]
        files = [file for row in rows for file in (*row["clips"], *row["snapshots"])]
        here = await asyncio.to_thread(lambda: [Path(file["path"]).is_file() for file in files])
        for file, present in zip(files, here, strict=True):
            file["here"] = present
        return rows

    async def gaps(self, limit: int) -> Sequence[Gap]:
        """Return the newest gaps."""
        return [entry.gap for entry in await self._world.outbox.gaps(limit)]

    async def losses(self, limit: int) -> Sequence[Loss]:
        """Return the newest losses."""
        return await self._world.outbox.losses(limit)

    async def media(self, kind: str, identity: str) -> Path | None:
        """Return the file of the clip part or snapshot `identity` (kind "clip" or "snapshot") while it exists."""
        if kind not in {DeliveryKind.CLIP, DeliveryKind.SNAPSHOT}:
            return None
        found = await self._world.outbox.file(identity)
        if found is None or not await asyncio.to_thread(found.path.is_file):
            return None
        return found.path

    async def picture(self, camera: str) -> bytes | None:
        """Return the camera's newest picture as a small JPEG, or None.

        In colour from the recorder's key frames where these are frequent, else the detector's grey one.
        """
        eye = self._world.eyes.get(camera)
        if eye is None:
            return None
        coloured = await eye.recorder.picture(newer_than=self._world.clock.mono() - _FRESH, width=_WIDTH)
        if coloured is not None or eye.capture.picture is None:
            return coloured
        return await asyncio.to_thread(_jpeg, eye.capture.picture)

    async def still(self, camera: str) -> bytes | None:
        """Return the camera's newest picture as a colour JPEG in the size of its recordings, or None."""
        eye = self._world.eyes.get(camera)
        return None if eye is None else await eye.recorder.still(newer_than=self._world.clock.mono() - _FRESH_STILL)


def _jpeg(frame: Frame) -> bytes:
    done, data = cv2.imencode(".jpg", frame.luma, _JPEG)
    return data.tobytes() if done else b""
