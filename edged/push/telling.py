"""What an alert delivery tells: from the outbox's rows and files to the content of a mail."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import structlog

from edged.base.errors import RejectedError
from edged.channels.content import Alert, Cause, Digest, Notice, Sighting, Summary
from edged.model import IncidentKind
from edged.outbox.nouns import NoticeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edged.channels.content import AlertContent
    from edged.model import Delivery, Incident
    from edged.outbox.nouns import Notice as Told
    from edged.outbox.store import Outbox

log = structlog.get_logger(__name__)

_SENTENCE_END = re.compile(r"(?<=[a-z0-9])[.:] ")

_CAUSES = {
    NoticeKind.SUMMARY: Cause.COOLDOWN,
    NoticeKind.CAP: Cause.CAP,
    NoticeKind.RECOVERED: Cause.RECOVERED,
}


class Teller:
    """Loads what alerts tell. `link` returns the address of an incident's page, "" where there is none."""

    def __init__(self, outbox: Outbox, link: Callable[[str], str]) -> None:
        self._outbox = outbox
        self._link = link

    async def content(self, delivery: Delivery) -> AlertContent:
        """Return what `delivery` tells by itself; RejectedError when its incident or notice is not in the outbox."""
        if delivery.incident is not None:
            return Alert(sighting=await self._sighting(delivery, pictured=True))
        told = await self._notice(delivery)
        return self._summary(told) if told.kind in _CAUSES else _notice(told)

    async def digest(self, late: Sequence[Delivery], pictures: int) -> tuple[Digest, tuple[Delivery, ...]]:
        """Return what `late` tell together and which of them it holds; the newest `pictures` incidents are shown.

        Notices about the system stay out: each is a mail of its own.
        """
        shown = {delivery.id for delivery in [each for each in late if each.incident is not None][-pictures:]}
        entries: list[Sighting | Summary] = []
        held: list[Delivery] = []
        for delivery in late:
            entry = await self._entry(delivery, pictured=delivery.id in shown)
            if entry is not None:
                entries.append(entry)
                held.append(delivery)
        return Digest(entries=tuple(entries)), tuple(held)

    async def _entry(self, delivery: Delivery, *, pictured: bool) -> Sighting | Summary | None:
        if delivery.incident is not None:
            return await self._sighting(delivery, pictured=pictured)
        told = await self._notice(delivery)
        return self._summary(told) if told.kind in _CAUSES else None

    async def _sighting(self, delivery: Delivery, *, pictured: bool) -> Sighting:
        incident = await self._outbox.incident(delivery.incident or delivery.subject)
        if incident is None:
            raise RejectedError(f"the outbox knows no incident {delivery.incident}: there is nothing to tell")
        return Sighting(
            incident=incident.id,
            camera=incident.camera,
            zones=incident.zones,
            opened=incident.opened,
            manual=incident.kind is IncidentKind.MANUAL,
            link=self._link(incident.id),
            picture=await self._picture(incident) if pictured else None,
        )

    async def _picture(self, incident: Incident) -> bytes | None:
        """Return the newest snapshot, the best one known; None if there is none that can be read."""
        snapshots = await self._outbox.snapshots_of(incident.id)
        for snapshot in reversed(snapshots):
            try:
                return await asyncio.to_thread(_read, snapshot.path)
            except OSError as error:
                log.warning("snapshot unreadable", incident=incident.id, path=str(snapshot.path), error=str(error))
        return None

    async def _notice(self, delivery: Delivery) -> Told:
        told = await self._outbox.notice(delivery.subject)
        if told is None:
            raise RejectedError(f"the outbox knows no notice {delivery.subject}: there is nothing to tell")
        return told

    def _summary(self, told: Told) -> Summary:
        return Summary(
            count=told.count,
            since=told.since,
            cause=_CAUSES[told.kind],
            camera=told.camera,
            zones=told.zones,
            link=self._link(told.incident) if told.incident else "",
        )


def _notice(told: Told) -> Notice:
    """Return the mail of a notice about the system: its title is the text's first line, or else its first sentence."""
    title, broken, text = told.text.partition("\n")
    if not broken:
        title, text = _SENTENCE_END.split(told.text, maxsplit=1)[0], told.text
    return Notice(
        title=title or told.kind,
        text=text.strip(),
        at=told.since,
        good=told.kind is NoticeKind.CLEAR,
        test=told.kind is NoticeKind.TEST,
    )


def _read(path: Path) -> bytes:
    return path.read_bytes()
