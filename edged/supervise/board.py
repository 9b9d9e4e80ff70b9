"""The board: what the health endpoint, the metrics and the status page show. Read-only; `app` fills it in.

Everything in a `View` comes from memory, so it can be taken often; what needs the database is asked for by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edged.model import Gap, Health, Link, Loss, Region, Sensor
    from edged.supervise.firmware import Firmware
    from edged.supervise.supervisor import TaskState


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraView:
    """One camera: `picture_age` in seconds, `regions` where motion is seen now, `incident` the open one's id."""

    name: str
    health: Health | None  # None before the first opening
    picture_age: float | None
    size: str  # "1920x1080", "" before the first packet
    codec: str
    frames: int  # analysed since the start
    dropped: int  # frames that analysis was too slow for
    analysis_ms: float  # CPU per analysed frame
    regions: tuple[Region, ...]
    incident: str | None
    armed: bool
    sensor: Sensor | None = None  # what the sensor told with the newest picture, where it tells
    refused: str = ""  # why the pictures of the open incident can't be kept now
    ended: bool = False  # its file was played to its end, as configured: nothing more is to come


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferView:
    """A transfer under way: `rate` in bytes a second."""

    delivery: int
    destination: str
    name: str
    sent: int
    size: int
    rate: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GateView:
    """A destination: its gate's state and why it is not up."""

    destination: str
    state: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DiskView:
    """The spool's disk in bytes; `level` is "ok", "warn" or "critical", `trouble` why it can't be used at all."""

    total: int
    free: int
    used_by_edged: int
    quota: int
    level: str
    trouble: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One look at everything that lives in memory."""

    device: str
    title: str
    version: str
    uptime: float  # seconds
    wall: float
    synced: bool
    timezone: str
    cameras: tuple[CameraView, ...]
    tasks: tuple[TaskState, ...]
    complaints: tuple[str, ...]  # the watchdog's
    link: Link | None  # None without a receiver
    gates: tuple[GateView, ...]
    transfers: tuple[TransferView, ...]
    disk: DiskView | None  # None before the first look
    lag_p99: float  # seconds
    rss: int  # bytes
    log_dropped: int  # events that the journal did not take
    cpu_seconds: float
    bytes_sent: int
    bytes_wasted: int
    notices: tuple[str, ...]  # what a person should know: database rebuilt, camera without detection, ...
    firmware: Firmware | None = None  # None on a machine that is no Pi
    configuration: str = ""  # why the configuration file as it is now was refused
    mono: float | None = None  # now on the clock of `Link.since` and `Health.since`; without it no durations are shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """The outbox in numbers: counts by state, and how long the backlog takes at the measured rate."""

    waiting: int
    sent: int  # accepted, not proven
    proven: int
    dead: int
    deleted: int  # files removed from this device
    backlog_bytes: int
    oldest_age: float | None  # seconds, of the oldest unsent thing
    drain_seconds: float | None  # None when the rate is unknown or nothing waits
    held: int = 0  # waits for a person's release
    losses: int = 0  # entries in the loss ledger


class Board(Protocol):
    """What `supervise.http` may ask for.

    A delivery's row is what `edged outbox show` prints, an incident's row what `edged incidents show` prints
    (outbox/commands.py), with one optional key: `here` (default True) in each of its clips and snapshots says whether
    the file is still on this device.
    """

    def view(self) -> View:
        """Return the present state, from memory."""
        ...

    async def queue(self) -> Queue:
        """Return the outbox in numbers."""
        ...

    async def deliveries(self, limit: int) -> Sequence[dict[str, Any]]:
        """Return what waits or died, most urgent first, as JSON-able rows."""
        ...

    async def incidents(self, limit: int) -> Sequence[dict[str, Any]]:
        """Return the newest incidents with their clip parts, snapshots and deliveries, as JSON-able rows."""
        ...

    async def incident(self, incident: str) -> dict[str, Any] | None:
        """Return one incident as a JSON-able row, or None."""
        ...

    async def gaps(self, limit: int) -> Sequence[Gap]:
        """Return the newest gaps."""
        ...

    async def losses(self, limit: int) -> Sequence[Loss]:
        """Return the newest losses."""
        ...

    async def media(self, kind: str, identity: str) -> Path | None:
        """Return the file of the clip part or snapshot `identity` (kind "clip" or "snapshot") while it exists."""
        ...

    async def picture(self, camera: str) -> bytes | None:
        """Return the camera's newest picture as a small JPEG, or None."""
        ...

    async def still(self, camera: str) -> bytes | None:
        """Return the camera's newest picture as a JPEG in full size and colour, None while it gives no pictures."""
        ...
