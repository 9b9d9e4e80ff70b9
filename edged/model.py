"""The device's nouns: frozen values that pass between the stages. No behaviour beyond what a value knows of itself.

Times named `mono` are seconds on the monotonic clock of this boot (`base.clock`); `Stamp` carries wall time too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edged.base.clock import Stamp
    from edged.wire.receipt import Receipt

# ------------------------------------------------------------------------------------------------ capture


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamInfo:
    """What a decoder needs to know of a run of packets; whatever changes it starts a new `epoch`."""

    camera: str
    epoch: int
    codec: str  # "h264" or "hevc"
    extradata: bytes
    width: int
    height: int
    time_base: Fraction
    rate: float  # nominal frames a second, 0.0 when the source does not say


@dataclass(frozen=True, kw_only=True, slots=True)
class Packet:
    """One encoded access unit. `pts`, `dts` and `duration` count in `stream.time_base`."""

    stream: StreamInfo
    data: bytes
    pts: int
    dts: int
    duration: int
    key: bool
    mono: float  # when it arrived; equal pts on packet and frame mean the same picture


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensor:
    """What a camera's sensor tells with a picture; None for what it does not know."""

    lux: float | None = None  # how bright the scene is
    exposure: float | None = None  # seconds
    gain: float | None = None  # analogue, 1 is none
    temperature: float | None = None  # degrees Celsius


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A small luma picture for analysis: `luma` is uint8, shape (height, width), read-only."""

    camera: str
    epoch: int
    pts: int
    mono: float
    luma: NDArray[np.uint8]
    sensor: Sensor | None = None  # of backends that tell


class Sign(StrEnum):
    """The independent signs by which a camera's health is judged."""

    NO_FRAMES = "no frames"
    NO_PACKETS = "no packets"
    FROZEN = "frozen"
    DARK = "dark"
    COVERED = "covered"
    MOVED = "moved"
    EXCEPTION = "exception"
    ENDED = "ended"


BLIND = frozenset({Sign.DARK, Sign.COVERED, Sign.MOVED})  # pictures come and are recorded, but show little of use


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """A camera's state as its signs show it: ill when `signs` is not empty; `text` says why for a person."""

    camera: str
    signs: frozenset[Sign]
    text: str
    since: float  # mono
    rung: int  # step on the recovery ladder, 0 when none is under way

    @property
    def delivering(self) -> bool:
        """Pictures arrive and can be recorded, though they may show nothing."""
        return not (self.signs - BLIND)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A time without pictures; `end` is None while it lasts."""

    camera: str
    start: Stamp
    end: Stamp | None
    reason: str


# ------------------------------------------------------------------------------------------------- detect


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A moving region: x, y, w, h in fractions of the view; `zone` is where it counts ("" without zones)."""

    x: float
    y: float
    w: float
    h: float
    zone: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """What the detector found in one analysed frame. No regions: no motion that counts."""

    camera: str
    mono: float
    pts: int
    epoch: int
    regions: tuple[Region, ...]
    score: float  # how good a picture of the event this is: larger and more central is better
    unsettled: bool  # the whole view changes (light, camera start): regions were withheld


class IncidentKind(StrEnum):
    """What an incident is at opening."""

    MOTION = "motion"
    MANUAL = "manual"


class EventKind(StrEnum):
    """A transition of the incident machine."""

    OPENED = "opened"
    EXTENDED = "extended"  # a new zone joined, or a better picture was seen
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A transition of an incident, told by detect to record. `best` is the mono time of the best picture so far."""

    kind: EventKind
    incident: str
    camera: str
    cause: IncidentKind
    zones: tuple[str, ...]  # in order of appearance; empty without zones
    mono: float  # of the transition: first motion at OPENED, last motion at CLOSED
    best: float
    score: float
    regions: tuple[Region, ...]  # in the best picture
    continues: str | None = None  # the incident that this one goes on, when the maximum length cut it
    keep_until: float = 0.0  # at CLOSED: mono until which the clip runs (post-roll included)


# ------------------------------------------------------------------------------------------------- record


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """Something that happened in front of a camera, from its first to its last motion."""

    id: str  # 32 hex digits, random: the incident's key everywhere
    camera: str
    kind: IncidentKind
    zones: tuple[str, ...]
    opened: Stamp
    closed: Stamp | None = None
    alerting: bool = True  # False: held back by a cool-down, a cap or because disarmed (`held` says which)
    held: str = ""  # "" | "cooldown" | "cap" | "disarmed" | "continuation"
    continues: str | None = None
    recovered: bool = False  # closed by salvage after a crash

    @property
    def signature(self) -> str:
        """Camera, first zone and kind: what makes two incidents alike for the cool-down."""
        return f"{self.camera}/{self.zones[0] if self.zones else ''}/{self.kind}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One sealed clip part of an incident: a playable fragmented MP4."""

    id: str  # 32 hex digits, random
    incident: str
    camera: str
    part: int  # from 1
    path: Path
    size: int  # bytes
    sha256: str
    start: Stamp  # of the first picture
    seconds: float
    codec: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A colour JPEG of an incident; `seq` 1 goes with the alert, a later one is a better picture."""

    id: str
    incident: str
    camera: str
    seq: int
    path: Path
    size: int
    sha256: str
    taken: Stamp
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """Something that edged promised to keep and could not: entered in the ledger and told."""

    what: str  # "clip", "snapshot", "document", "seconds", "frames"
    name: str  # file name or incident id
    incident: str | None
    bytes: int
    reason: str
    at: Stamp


# ------------------------------------------------------------------------------------------------- outbox


class DeliveryKind(StrEnum):
    """What is delivered."""

    ALERT = "alert"
    SNAPSHOT = "snapshot"
    PREVIEW = "preview"
    CLIP = "clip"
    DOCUMENT = "document"


class Lane(StrEnum):
    """Alerts and bulk never wait for each other: each lane is worked by itself."""

    ALERT = "alert"
    BULK = "bulk"


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    HELD = "held"  # waits for a person's release (upload = "manual")
    DONE = "done"
    DEAD = "dead"  # refused for good or its file is lost: a person may drive it again
    DROPPED = "dropped"  # given up by a person's order, or needless since its file was proven elsewhere


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One thing on its way to one destination. `path` for files, `message` (frozen bytes) for alerts."""

    id: int
    key: str  # idempotency key, from random ids
    kind: DeliveryKind
    lane: Lane
    priority: int  # 1 is most urgent
    destination: str  # "receiver", "folder:NAME", "mail:someone@example.org"
    incident: str | None
    subject: str  # id of the clip or snapshot, or the file's name
    path: Path | None
    size: int
    sha256: str | None
    message: bytes | None
    state: State
    attempts: int
    due: float  # mono; 0.0 is at once
    upload_url: str | None  # where the bytes go on, once created
    possibly_sent: int  # attempts of which the outcome is unknown
    last_error: str
    receipt: Receipt | None
    created: Stamp
    carrier: int | None = None  # the alert whose message, a digest, tells this one, too


# --------------------------------------------------------------------------------------------------- push


class LinkState(StrEnum):
    """What the line to the receiver is good for."""

    DOWN = "down"
    CAPTIVE = "captive"
    METERED = "metered"
    UP = "up"


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """The line's state since `since` (mono), with the measured round trip (s) and rate (bytes/s); 0.0 unknown."""

    state: LinkState
    since: float
    rtt: float
    rate: float
    reason: str
