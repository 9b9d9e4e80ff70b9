"""The heartbeat: a device's sign of life and its own account of itself, under 1 KB, every few minutes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from edged.wire import faults
from edged.wire.faults import FaultError
from edged.wire.manifest import Instant, Title  # noqa: TC001 -- msgspec reads the types at run time

if TYPE_CHECKING:
    from collections.abc import Sequence

PATH = "/heartbeat"
SIZE = 1000  # bytes that a device sends at most
LIMIT = 16_384  # bytes that a receiver reads at most

Count = Annotated[int, Meta(ge=0, le=2**53)]


@dataclass(frozen=True, kw_only=True, slots=True)
class GapReport:
    """A time without pictures; `end` is None while it lasts. Reported again under the same start when it ends.

    `was` is the start that was reported before the device's clock was set; the report stands in place of that one.
    """

    camera: Title
    start: Instant
    end: Instant | None
    reason: Annotated[str, Meta(max_length=200)]
    was: Instant | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraReport:
    """One camera: `well` when it delivers pictures, else `text` says why not."""

    name: Title
    well: bool
    text: Annotated[str, Meta(max_length=200)] = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """What a device says of itself. Ages in seconds, sizes in bytes, `time` in Unix seconds."""

    version: Title
    time: Instant
    synced: bool
    boot: Title
    sequence: Count  # the highest committed row: going back after a crash, the card lied about flushing
    interval: Annotated[float, Meta(ge=1.0, le=7 * 86400.0)] = 300.0  # until the next heartbeat
    site: Title = ""
    timezone: Title = "UTC"
    recording: Count = 0  # incidents that are open
    waiting: Count = 0
    waiting_bytes: Count = 0
    oldest: Annotated[float, Meta(ge=0.0, le=1e11)] = 0.0
    dead: Count = 0
    losses: Count = 0
    disk_free: Count = 0
    disk_total: Count = 0
    uptime: Annotated[float, Meta(ge=0.0, le=1e11)] = 0.0
    cameras: Annotated[tuple[CameraReport, ...], Meta(max_length=64)] = ()
    gaps: Annotated[tuple[GapReport, ...], Meta(max_length=64)] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The receiver's answer: its `time`, and the highest sequence it ever heard of the device."""

    time: Instant
    sequence: Count


def pack(heartbeat: Heartbeat, gaps: Sequence[GapReport], size: int = SIZE) -> tuple[bytes, int]:
    """Return the body with as many of `gaps`, in order, as fit in `size` bytes, and how many those are.

    The rest waits for the next heartbeat. Without room for any, cameras that are well are left out first.
    """
    bare = replace(heartbeat, gaps=())
    if len(msgspec.json.encode(bare)) > size:
        bare = replace(bare, cameras=tuple(camera for camera in bare.cameras if not camera.well))
    if len(msgspec.json.encode(bare)) > size:
        bare = replace(bare, cameras=())
    body, taken = msgspec.json.encode(bare), 0
    for count in range(1, min(len(gaps), 64) + 1):
        longer = msgspec.json.encode(replace(bare, gaps=tuple(gaps[:count])))
        if len(longer) > size:
            break
        body, taken = longer, count
    return body, taken


def parse(body: bytes) -> Heartbeat:
    """Read a heartbeat strictly; unknown fields (a newer device's) are passed over. FaultError says what is wrong."""
    if len(body) > LIMIT:
        raise FaultError(faults.TOO_LARGE, f"a heartbeat has at most {LIMIT} bytes")
    try:
        return msgspec.json.decode(body.decode(), type=Heartbeat)  # a field that is passed over may be no text
    except faults.UNREADABLE as error:
        raise FaultError(faults.BAD_REQUEST, str(error)[:200]) from error


def answer_to_json(answer: Answer) -> bytes:
    """Return the receiver's answer as JSON."""
    return msgspec.json.encode(answer)


def answer_from_json(body: bytes) -> Answer | None:
    """Read the receiver's answer; None if it is none (an older receiver's, a proxy's)."""
    try:
        return msgspec.json.decode(body[:LIMIT], type=Answer)
    except faults.UNREADABLE:
        return None
