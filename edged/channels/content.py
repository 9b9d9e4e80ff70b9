"""What a mail tells, before it has words: frozen values that the wording turns into text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edged.base.clock import Stamp


class MailKind(StrEnum):
    """The value of the header X-Edged-Kind."""

    ALERT = "alert"
    SUMMARY = "summary"
    DIGEST = "digest"
    RECOVERED = "recovered"
    SYSTEM = "system"
    TEST = "test"


class HeldBy(StrEnum):
    """Why alerts were held back."""

    COOLDOWN = "cooldown"
    CAP = "cap"


@dataclass(frozen=True, kw_only=True, slots=True)
class Letterhead:
    """Who writes and when: `site` may be "", `timezone` is an IANA name, `written` becomes the mail's date."""

    device: str
    site: str
    timezone: str
    written: Stamp


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """One incident as a mail shows it. `picture` is a JPEG; `link` is "" where no receiver is configured."""

    incident: str
    camera: str
    zones: tuple[str, ...]
    opened: Stamp
    manual: bool = False
    link: str = ""
    picture: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One incident, told at once."""

    sighting: Sighting


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What was held back since `since`: `camera` and `zones` of the cool-down, both empty for the cap."""

    count: int
    since: Stamp
    held_by: HeldBy
    camera: str = ""
    zones: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """Several incidents in one mail, oldest first: late after an outage, or `recovered` from clips after a loss."""

    sightings: tuple[Sighting, ...]
    recovered: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something about the system itself: a `title` for the subject, a `text` of paragraphs parted by empty lines."""

    title: str
    text: str
    at: Stamp
    good: bool = False  # an all-clear
    test: bool = False  # asked for by a person, to see that mail arrives
    link: str = ""


AlertContent = Alert | Summary | Digest | Notice


def kind_of(content: AlertContent) -> MailKind:
    """Return the kind that the header X-Edged-Kind tells."""
    match content:
        case Alert():
            return MailKind.ALERT
        case Summary():
            return MailKind.SUMMARY
        case Digest(recovered=recovered):
            return MailKind.RECOVERED if recovered else MailKind.DIGEST
        case Notice(test=test):
            return MailKind.TEST if test else MailKind.SYSTEM


def incidents_of(content: AlertContent) -> tuple[str, ...]:
    """Return the ids that the header X-Edged-Incident tells."""
    match content:
        case Alert(sighting=sighting):
            return (sighting.incident,)
        case Summary(incidents=incidents):
            return incidents
        case Digest(sightings=sightings):
            return tuple(sighting.incident for sighting in sightings)
        case Notice():
            return ()
