"""The words of a mail: what an AlertContent says, as plain values that both templates lay out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edged.channels import times
from edged.channels.content import Alert, AlertContent, Cause, Digest, Notice, Sighting, Summary
from edged.channels.text import listed, one_line, plural

if TYPE_CHECKING:
    from edged.base.clock import Stamp
    from edged.channels.content import Letterhead

_REASONS = {
    Cause.COOLDOWN: "{} recorded after an alert that you already have, and raised none of their own.",
    Cause.CAP: "{} recorded beyond the number of alerts an hour that is configured, and raised none of their own.",
    Cause.RECOVERED: "{} found again after the device's database was lost. You may know of some of them already.",
}
_CAMERA = 48  # characters of a camera's name in a subject: phones show about 40 of the whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One incident in a mail: `picture` counts from 0 in the mail's pictures, None without."""

    title: str
    when: str
    link: str
    picture: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """All words of one mail. `tone` is "alert", "good" or "plain" and colours the head."""

    subject: str
    tone: str
    label: str
    heading: str
    facts: tuple[tuple[str, str], ...] = ()
    paragraphs: tuple[str, ...] = ()
    picture: int | None = None
    link: str = ""
    link_text: str = ""
    cards: tuple[Card, ...] = ()
    notes: tuple[str, ...] = ()
    origin: str = ""


def view_of(content: AlertContent, head: Letterhead) -> View:
    """Put `content` into words, with times in the zone of `head`."""
    match content:
        case Alert():
            return _alert(content, head)
        case Summary():
            return _summary(content, head)
        case Digest():
            return _digest(content, head)
        case Notice():
            return _notice(content, head)


def pictures_of(content: AlertContent) -> tuple[bytes, ...]:
    """Return the JPEGs of `content` in the order that `View.picture` counts."""
    match content:
        case Alert(sighting=sighting):
            return (sighting.picture,) if sighting.picture else ()
        case Digest(entries=entries):
            return tuple(entry.picture for entry in entries if isinstance(entry, Sighting) and entry.picture)
        case _:
            return ()


def origin(head: Letterhead) -> str:
    """Return "Harbour shop (shop-1)": who the mail is from."""
    device = one_line(head.device)
    return f"{one_line(head.site)} ({device})" if head.site not in {"", head.device} else device


def _alert(content: Alert, head: Letterhead) -> View:
    seen = content.sighting
    what = "Recording" if seen.manual else "Motion"
    return View(
        subject=f"{what} at {_place(seen)} - {times.short(seen.opened, head.timezone, beside=head.written)}",
        tone="alert",
        label=what,
        heading=one_line(seen.camera),
        facts=_facts(
            ("Zones" if len(seen.zones) > 1 else "Zone", listed(seen.zones, 8)),
            ("Time", times.full(seen.opened, head.timezone)),
        ),
        picture=0 if seen.picture else None,
        link=seen.link,
        link_text="Watch the recording",
        notes=_clock_notes(seen.opened),
        origin=origin(head),
    )


def _summary(content: Summary, head: Letterhead) -> View:
    since = times.short(content.since, head.timezone, beside=head.written)
    lead = f"{content.count} {'recovered' if content.cause is Cause.RECOVERED else 'more'} since {since}"
    return View(
        subject=f"{lead} - {_about(content)}",
        tone="plain",
        label="Recovered" if content.cause is Cause.RECOVERED else "Summary",
        heading=lead,
        facts=_facts(
            ("Camera", one_line(content.camera)),
            ("Zone", listed(content.zones, 8)),
            ("Since", times.full(content.since, head.timezone)),
        ),
        paragraphs=(_REASONS[content.cause].format(plural(content.count, "incident was", "incidents were")),),
        link=content.link,
        link_text="See the recordings",
        notes=_clock_notes(content.since),
        origin=origin(head),
    )


def _digest(content: Digest, head: Letterhead) -> View:
    began = [_began(entry) for entry in content.entries]
    count = plural(sum(entry.count if isinstance(entry, Summary) else 1 for entry in content.entries), "incident")
    first, last = (times.short(began[end], head.timezone, beside=head.written) for end in (0, -1))
    return View(
        subject=f"{count} while offline: {first}" + (f" to {last}" if last != first else ""),
        tone="alert",
        label="Late alerts",
        heading=f"{count} while offline",
        paragraphs=("The device could not send mail when these happened. Each is told here, and in no other mail.",),
        cards=_cards(content.entries, head.timezone),
        notes=_clock_notes(*began),
        origin=origin(head),
    )


def _notice(content: Notice, head: Letterhead) -> View:
    title = one_line(content.title, 80)
    return View(
        subject=f"{title} - {times.short(content.at, head.timezone, beside=head.written)}",
        tone="good" if content.good or content.test else "alert",
        label="Test" if content.test else "System",
        heading=title,
        facts=_facts(("Time", times.full(content.at, head.timezone))),
        paragraphs=tuple(one_line(part, 2000) for part in content.text.split("\n\n") if part.strip()),
        link=content.link,
        link_text="Open the page",
        notes=_clock_notes(content.at),
        origin=origin(head),
    )


def _cards(entries: tuple[Sighting | Summary, ...], timezone: str) -> tuple[Card, ...]:
    cards = []
    pictures = 0
    for entry in entries:
        shown = isinstance(entry, Sighting) and bool(entry.picture)
        cards.append(
            Card(
                title=_place(entry) if isinstance(entry, Sighting) else f"{entry.count} more at {_about(entry)}",
                when=times.row(_began(entry), timezone),
                link=entry.link,
                picture=pictures if shown else None,
            )
        )
        pictures += shown
    return tuple(cards)


def _began(entry: Sighting | Summary) -> Stamp:
    return entry.opened if isinstance(entry, Sighting) else entry.since


def _place(sighting: Sighting) -> str:
    return _at(sighting.camera, sighting.zones)


def _about(summary: Summary) -> str:
    return _at(summary.camera, summary.zones) if summary.camera else "all cameras"


def _at(camera: str, zones: tuple[str, ...]) -> str:
    name = one_line(camera, _CAMERA)
    return f"{name} ({listed(zones)})" if zones else name


def _facts(*facts: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(fact for fact in facts if fact[1])


def _clock_notes(*stamps: Stamp) -> tuple[str, ...]:
    return () if all(stamp.synced for stamp in stamps) else (times.NOTE_UNSYNCED,)
