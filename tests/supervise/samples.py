"""A board that lives in memory, for the pages: everything on it can be changed while a page is open."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from edged.base.clock import Stamp
from edged.model import Gap, Health, Link, LinkState, Loss
from edged.supervise.board import CameraView, DiskView, Queue, TransferView, View
from edged.supervise.supervisor import Status, TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edged.model import Sign

NOON = 1_780_056_000.0  # 2026-05-29 12:00:00 UTC
MB = 1_000_000


def stamp(wall: float = NOON, *, synced: bool = True) -> Stamp:
    """Return an instant."""
    return Stamp(wall=wall, mono=wall - NOON + 5000.0, boot="boot-1", synced=synced)


def instant(wall: float = NOON) -> dict[str, Any]:
    """Return an instant as rows carry it."""
    return {"wall": wall, "synced": True}


def health(*signs: Sign, text: str = "", rung: int = 0, camera: str = "front") -> Health:
    """Return a camera's health."""
    return Health(camera=camera, signs=frozenset(signs), text=text, since=0.0, rung=rung)


def camera(name: str = "front", **changes: Any) -> CameraView:
    """Return a camera that is well."""
    well = CameraView(
        name=name,
        health=health(camera=name),
        picture_age=0.1,
        size="1280x720",
        codec="h264",
        frames=1000,
        dropped=2,
        analysis_ms=0.4,
        regions=(),
        incident=None,
        armed=True,
    )
    return replace(well, **changes)


def task(name: str = "push", **changes: Any) -> TaskState:
    """Return a task that runs."""
    well = TaskState(name=name, status=Status.RUNNING, critical=True, restarts=0, age=0.2, deadline=30.0, error="")
    return replace(well, **changes)


def disk(**changes: Any) -> DiskView:
    """Return a disk with room."""
    return replace(
        DiskView(total=64_000 * MB, free=41_000 * MB, used_by_edged=9_000 * MB, quota=0, level="ok"), **changes
    )


def link(state: LinkState = LinkState.UP, reason: str = "") -> Link:
    """Return a line."""
    return Link(state=state, since=4000.0, rtt=0.08, rate=220_000.0, reason=reason)


def view(**changes: Any) -> View:
    """Return the view of a healthy device with one camera."""
    well = View(
        device="shop-1",
        title="Corner shop",
        version="0.1.0",
        uptime=7200.0,
        wall=NOON,
        synced=True,
        timezone="Europe/Berlin",
        cameras=(camera(),),
        tasks=(task("capture front"), task("push")),
        complaints=(),
        link=link(),
        gates=(),
        transfers=(),
        disk=disk(),
        lag_p99=0.0031,
        rss=96 * MB,
        log_dropped=4,
        cpu_seconds=312.5,
        bytes_sent=48 * MB,
        bytes_wasted=0,
        notices=(),
        mono=5000.0,
    )
    return replace(well, **changes)


def queue(**changes: Any) -> Queue:
    """Return an outbox in which nothing waits."""
    well = Queue(waiting=0, sent=3, proven=12, dead=0, deleted=4, backlog_bytes=0, oldest_age=None, drain_seconds=None)
    return replace(well, **changes)


def transfer(delivery: int = 7, **changes: Any) -> TransferView:
    """Return an upload under way."""
    running = TransferView(
        delivery=delivery, destination="receiver", name="front-1.mp4", sent=42 * MB, size=100 * MB, rate=200_000.0
    )
    return replace(running, **changes)


def delivery(number: int = 7, **changes: Any) -> dict[str, Any]:
    """Return a delivery's row as outbox.commands makes it: a clip part that waits for the receiver."""
    return {
        "id": number,
        "key": f"key-{number}",
        "kind": "clip",
        "priority": 5,
        "destination": "receiver",
        "incident": "a" * 32,
        "subject": "c" * 32,
        "size": 100 * MB,
        "state": "pending",
        "attempts": 0,
        "possibly_sent": 0,
        "last_error": "",
        "proof": None,
        "created": instant(),
    } | changes


def incident(identity: str = "a" * 32, **changes: Any) -> dict[str, Any]:
    """Return an incident's row as outbox.commands makes it: closed, nothing recorded yet."""
    return {
        "id": identity,
        "camera": "front",
        "kind": "motion",
        "zones": ["gate"],
        "opened": instant(NOON - 60),
        "closed": instant(NOON - 20),
        "alerting": True,
        "held": "",
        "continues": None,
        "recovered": False,
        "clips": [],
        "snapshots": [],
        "deliveries": [],
    } | changes


def clip(identity: str, part: int, seconds: float, **changes: Any) -> dict[str, Any]:
    """Return a clip part's row."""
    return {
        "id": identity,
        "part": part,
        "path": f"/nowhere/{identity}.mp4",
        "size": 3 * MB,
        "sha256": "0" * 64,
        "start": instant(NOON - 60),
        "seconds": seconds,
    } | changes


def snapshot(identity: str, **changes: Any) -> dict[str, Any]:
    """Return a snapshot's row."""
    return {
        "id": identity,
        "seq": 1,
        "path": f"/nowhere/{identity}.jpg",
        "size": 90_000,
        "sha256": "0" * 64,
        "taken": instant(NOON - 55),
    } | changes


def gap(reason: str = "no picture for 12 s", *, end: Stamp | None = None) -> Gap:
    """Return a gap that began at noon."""
    return Gap(camera="front", start=stamp(), end=end, reason=reason)


def loss(reason: str = "the disk was full") -> Loss:
    """Return a lost clip."""
    return Loss(what="clip", name="front-9.mp4", incident=None, bytes=5 * MB, reason=reason, at=stamp())


class MemoryBoard:
    """A `Board` of plain attributes; `files` holds the media by (kind, id)."""

    def __init__(self, shown: View | None = None, numbers: Queue | None = None) -> None:
        self.shown = shown or view()
        self.numbers = numbers or queue()
        self.rows: list[dict[str, Any]] = []
        self.waiting: list[dict[str, Any]] = []
        self.gap_rows: list[Gap] = []
        self.loss_rows: list[Loss] = []
        self.files: dict[tuple[str, str], Path] = {}
        self.pictures: dict[str, bytes] = {}
        self.stills: dict[str, bytes] = {}
        self.asked = 0  # pictures that were made
        self.looked = 0  # times that the incidents were asked for

    def view(self) -> View:
        """Return the present state."""
        return self.shown

    async def queue(self) -> Queue:
        """Return the outbox in numbers."""
        return self.numbers

    async def deliveries(self, limit: int) -> Sequence[dict[str, Any]]:
        """Return what waits."""
        return self.waiting[:limit]

    async def incidents(self, limit: int) -> Sequence[dict[str, Any]]:
        """Return the incidents."""
        self.looked += 1
        return self.rows[:limit]

    async def incident(self, incident: str) -> dict[str, Any] | None:
        """Return one incident."""
        return next((row for row in self.rows if row["id"] == incident), None)

    async def gaps(self, limit: int) -> Sequence[Gap]:
        """Return the gaps."""
        return self.gap_rows[:limit]

    async def losses(self, limit: int) -> Sequence[Loss]:
        """Return the losses."""
        return self.loss_rows[:limit]

    async def media(self, kind: str, identity: str) -> Path | None:
        """Return a file that exists."""
        return self.files.get((kind, identity))

    async def picture(self, camera: str) -> bytes | None:
        """Return the camera's picture."""
        self.asked += 1
        return self.pictures.get(camera)

    async def still(self, camera: str) -> bytes | None:
        """Return the same, in full."""
        return self.stills.get(camera)


def write_clip(path: Path, seconds: float, colour: tuple[int, int, int], *, rate: int = 10) -> None:
    """Write a small fragmented MP4 of one colour with a bar that wanders, the way the recorder writes its parts."""
    options = {"movflags": "empty_moov+default_base_moof", "frag_duration": "500000"}
    with av.open(str(path), "w", format="mp4", options=options) as out:
        stream = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.gop_size = 2 * rate
        stream.time_base = Fraction(1, rate)
        for number in range(round(seconds * rate)):
            picture = np.full((180, 320, 3), colour, np.uint8)
            picture[60:120, number * 7 % 290 :][:, :30] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def jpeg(colour: tuple[int, int, int] = (70, 110, 90), size: tuple[int, int] = (320, 180)) -> bytes:
    """Return a JPEG of one colour; `size` is width and height."""
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height = size
    codec.pix_fmt = "yuvj420p"
    codec.time_base = Fraction(1, 1)
    frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), colour, np.uint8), format="rgb24")
    return b"".join(bytes(packet) for packet in [*codec.encode(frame.reformat(format="yuvj420p")), *codec.encode(None)])
