"""What becomes of an incident, a clip, a snapshot, a document: which deliveries, in which lane, how urgent.

The table `POLICY` says how each kind is handled; people get alerts, stores get files. The rest makes drafts of it, one
for each destination of this device.
Keys come from the random ids of what is delivered, so that the same thing to the same destination has one key for ever.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edged.model import DeliveryKind, Lane

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edged.model import Clip, Incident, Snapshot
    from edged.outbox.nouns import Document, Notice

RECEIVER = "receiver"


@dataclass(frozen=True, kw_only=True, slots=True)
class Handling:
    """How a kind of delivery is handled: in which lane, with which priority (1 is most urgent)."""

    lane: Lane
    priority: int


POLICY = {
    DeliveryKind.ALERT: Handling(lane=Lane.ALERT, priority=1),
    DeliveryKind.SNAPSHOT: Handling(lane=Lane.BULK, priority=2),
    DeliveryKind.PREVIEW: Handling(lane=Lane.BULK, priority=3),
    DeliveryKind.CLIP: Handling(lane=Lane.BULK, priority=5),
    DeliveryKind.DOCUMENT: Handling(lane=Lane.BULK, priority=7),
}
DOCUMENT_PRIORITIES = range(5, 10)
_STEP = 6 * 3600.0  # seconds that a document waits until it counts as more urgent by one


@dataclass(frozen=True, kw_only=True, slots=True)
class Destinations:
    """Where this device delivers: mail addresses, the receiver, folders by name.

    With `manual`, clips wait until a person releases them (`upload = "manual"`).
    """

    recipients: tuple[str, ...] = ()
    receiver: bool = False
    folders: tuple[str, ...] = ()
    manual: bool = False

    @property
    def people(self) -> tuple[str, ...]:
        """The destinations of alerts."""
        return tuple(f"mail:{address}" for address in self.recipients)

    @property
    def stores(self) -> tuple[str, ...]:
        """The destinations of files."""
        return (RECEIVER,) * self.receiver + tuple(f"folder:{name}" for name in self.folders)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A delivery that is not yet in the outbox. `subject` is the id of what is delivered, `due` monotonic seconds."""

    key: str
    kind: DeliveryKind
    lane: Lane
    priority: int
    destination: str
    incident: str | None
    subject: str
    size: int = 0
    due: float = 0.0
    held: bool = False


def urgency(priority: int, waited: float) -> int:
    """Return how urgent a delivery of `priority` is that has been due for `waited` seconds.

    What comes after clips comes up to them while it waits: on a line that never catches up with its clips a document
    would wait for ever. Nothing ever passes an alert, a snapshot or a preview by waiting.
    """
    clip = POLICY[DeliveryKind.CLIP].priority
    return priority if priority <= clip else max(clip, priority - int(waited / _STEP))


def alert_drafts(incident: Incident, destinations: Destinations) -> tuple[Draft, ...]:
    """Return one alert per recipient: one refused address must not hide behind another that was accepted."""
    return _drafts(DeliveryKind.ALERT, incident.id, destinations.people, incident=incident.id)


def notice_drafts(notice: Notice, people: Iterable[str]) -> tuple[Draft, ...]:
    """Return one alert to each of `people` ("mail:...") for a notice (a summary, a fault of the system, a test)."""
    return _drafts(DeliveryKind.ALERT, notice.id, people)


def clip_drafts(clip: Clip, destinations: Destinations) -> tuple[Draft, ...]:
    """Return a clip part's uploads and copies."""
    kind, manual = DeliveryKind.CLIP, destinations.manual
    return _drafts(kind, clip.id, destinations.stores, incident=clip.incident, size=clip.size, held=manual)


def snapshot_drafts(snapshot: Snapshot, destinations: Destinations) -> tuple[Draft, ...]:
    """Return a snapshot's uploads and copies."""
    kind, stores = DeliveryKind.SNAPSHOT, destinations.stores
    return _drafts(kind, snapshot.id, stores, incident=snapshot.incident, size=snapshot.size)


def document_drafts(
    document: Document, destinations: Destinations, *, priority: int | None = None
) -> tuple[Draft, ...]:
    """Return a document's uploads and copies; `priority` from 5 to 9, ValueError otherwise."""
    if priority is not None and priority not in DOCUMENT_PRIORITIES:
        raise ValueError(f"a document's priority is from 5 to 9, not {priority}")
    return _drafts(DeliveryKind.DOCUMENT, document.id, destinations.stores, size=document.size, priority=priority)


def drafts_key(subject: str, destination: str) -> str:
    """Return the idempotency key of `subject` to `destination`; to the receiver it is the subject's own id."""
    if destination == RECEIVER:
        return subject
    return f"{subject}.{hashlib.sha256(destination.encode()).hexdigest()[:16]}"


def _drafts(
    kind: DeliveryKind,
    subject: str,
    destinations: Iterable[str],
    *,
    incident: str | None = None,
    size: int = 0,
    priority: int | None = None,
    held: bool = False,
) -> tuple[Draft, ...]:
    handling = POLICY[kind]
    return tuple(
        Draft(
            key=drafts_key(subject, destination),
            kind=kind,
            lane=handling.lane,
            priority=handling.priority if priority is None else priority,
            destination=destination,
            incident=incident,
            subject=subject,
            size=size,
            held=held and destination == RECEIVER,  # a copy in a folder uses no line
        )
        for destination in destinations
    )
