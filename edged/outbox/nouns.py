"""The outbox's own nouns: documents, notices, alert rules, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from edged.base.clock import Stamp
    from edged.model import Clip, Delivery, Gap, Incident, Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """Any file that a person put into the outbox; `path` is edged's own copy in the spool."""

    id: str  # 32 hex digits, random
    name: str
    path: Path
    size: int  # bytes
    sha256: str
    added: Stamp


class NoticeKind(StrEnum):
    """What an alert that is not of one incident tells of."""

    SUMMARY = "summary"  # held back by a cool-down
    CAP = "cap"  # held back by the cap on alerts per hour
    RECOVERED = "recovered"  # found again after the database was lost: whether they were told is unknown
    SYSTEM = "system"  # edged can't keep its promise somewhere; the first line of `text` is the mail's title
    CLEAR = "clear"  # it can again, written likewise
    TEST = "test"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """An alert that is not of one incident: it stands for `count` of them `since` the first."""

    id: str  # 32 hex digits, random; for summaries fixed when the first incident was held back
    kind: NoticeKind
    since: Stamp
    text: str = ""
    incident: str | None = None  # the one to look at first
    camera: str = ""
    zones: tuple[str, ...] = ()
    count: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertRules:
    """Seconds of cool-down per signature, and alerts allowed in any hour; 0 switches either off."""

    cooldown: float = 60.0
    cap_per_hour: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Deliveries by what became of them, and files that are gone."""

    waiting: int
    held: int  # for a person's release
    sent: int  # accepted, without a proof that permits deletion
    proven: int
    dead: int
    dropped: int
    deleted: int  # files


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What waits for its delivery: how many, how many bytes, and since when the oldest."""

    count: int
    bytes: int
    oldest: Stamp | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Dossier:
    """An incident with all that belongs to it, as of one moment; files that are deleted are still in it."""

    incident: Incident
    clips: tuple[Clip, ...]  # in the order of their parts
    snapshots: tuple[Snapshot, ...]  # in the order of their seq
    deliveries: tuple[Delivery, ...]  # in the order of commit


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerGap:
    """A gap as the ledger has it, with its number there.

    `was` is the start as an untrusted clock read it (Unix seconds), where that was corrected since.
    """

    id: int
    gap: Gap
    was: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file in the spool as retention and the sweep see it."""

    id: str
    what: str  # "clip", "snapshot", "document"
    incident: str | None
    path: Path
    size: int
    taken: Stamp
    manual: bool = False  # of an incident that a person started
    open: bool = False  # its incident still goes on
    alerted: bool = False  # its incident raised an alert of its own
    proven: Stamp | None = None  # since when it is proven to be elsewhere
    queued: bool = False  # at least one delivery of it was ever entered
    unsettled: bool = False  # a delivery of it waits, for the line or for a person
