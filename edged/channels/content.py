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


class Cause(StrEnum):
    """Why incidents are told by their number alone."""

    COOLDOWN = "cooldown"  # they followed another of the same place
    CAP = "cap"  # more of them than alerts are allowed in an hour
    RECOVERED = "recovered"  # found again after the database was lost


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
    """`count` incidents `since` the first of them; `camera` and `zones` where they are all of one place."""

    count: int
    since: Stamp
    cause: Cause
    camera: str = ""
    zones: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """What could not be told in time, oldest first, in one mail after an outage."""

    entries: tuple[Sighting | Summary, ...]


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
        case Summary(cause=cause):
            return MailKind.RECOVERED if cause is Cause.RECOVERED else MailKind.SUMMARY
        case Digest():
            return MailKind.DIGEST
        case Notice(test=test):
            return MailKind.TEST if test else MailKind.SYSTEM


def incidents_of(content: AlertContent) -> tuple[str, ...]:
    """Return the ids of the incidents that have their alert in this mail, for the header X-Edged-Incident."""
    match content:
        case Alert(sighting=sighting):
            return (sighting.incident,)
        case Digest(entries=entries):
            return tuple(entry.incident for entry in entries if isinstance(entry, Sighting))
        case Summary() | Notice():
            return ()
