"""The status page's content: one look at the board, turned into what the templates show, and rendered part by part.

Each part is a piece of HTML of its own, so that a page that is open gets only those that have changed.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged.base.clock import Stamp
from edged.base.pages import pages
from edged.channels import times
from edged.supervise import words
from edged.supervise.health import Level, Report, judge, summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edged.base.pages.pages import Assets
    from edged.model import Gap, Loss
    from edged.supervise.board import Board, Queue, TransferView, View
    from edged.supervise.settings import HttpSettings, SuperviseSettings
    from edged.supervise.words import Saying

HERE = Path(__file__).parent
PARTS = ("now", "health", "cameras", "incidents", "queue", "system", "ledger")

_INCIDENTS = 24
_DELIVERIES = 12
_LEDGER = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """All that the status page shows, at one moment. `queue` is None when the database did not answer."""

    view: View
    queue: Queue | None
    report: Report
    deliveries: Sequence[Mapping[str, Any]] = ()
    incidents: Sequence[Mapping[str, Any]] = ()
    gaps: Sequence[Gap] = ()
    losses: Sequence[Loss] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """An incident as it is shown: `parts` is the player's list, `length` in seconds of clip."""

    id: str
    title: str
    when: str
    length: str
    is_open: bool
    picture: str | None
    parts: str
    sayings: tuple[Saying, ...]


class Observer:
    """Looks at a board; `patience` is how many seconds its database may take to count the outbox."""

    def __init__(self, board: Board, limits: SuperviseSettings, patience: float) -> None:
        self.board = board
        self._limits = limits
        self._patience = patience

    def adopt(self, limits: SuperviseSettings) -> None:
        """Judge by other limits from now on."""
        self._limits = limits

    async def examine(self) -> Look:
        """Look for /health and /metrics: at memory, and at the outbox in numbers."""
        view = self.board.view()
        try:
            async with asyncio.timeout(self._patience):  # a wedged database must not wedge what tells of it
                queue = await self.board.queue()
        except TimeoutError:
            queue = None
        return Look(view=view, queue=queue, report=judge(view, queue, self._limits))

    async def look(self) -> Look:
        """Look at everything."""
        numbers = await self.examine()
        if numbers.queue is None:
            return numbers
        board = self.board
        deliveries, incidents, gaps, losses = await asyncio.gather(
            board.deliveries(_DELIVERIES), board.incidents(_INCIDENTS), board.gaps(_LEDGER), board.losses(_LEDGER)
        )
        return replace(numbers, deliveries=deliveries, incidents=incidents, gaps=gaps, losses=losses)


class Page:
    """Renders looks; every method takes some milliseconds and is for a thread."""

    def __init__(self, assets: Assets, settings: HttpSettings) -> None:
        self._assets = assets
        self._settings = settings
        self._templates = pages.environment(HERE / "templates", assets)
        self._templates.globals |= {"words": words, "Level": Level, "times": times, "summary": summary}
        self._templates.filters |= {"stamp": stamp_text, "size_of": _dimensions}

    def parts(self, seen: Look) -> dict[str, str]:
        """Return the parts of the status page by name, as HTML."""
        values = self._values(seen.view) | {
            "look": seen,
            "report": seen.report,
            "queue": seen.queue,
            "cards": [card(row, seen.view) for row in seen.incidents],
        }
        return {name: self._templates.get_template(f"{name}.html").render(values) for name in PARTS}

    def status(self, seen: Look) -> str:
        """Return the whole status page."""
        return self._whole("status.html", seen.view, parts=self.parts(seen), events="/events")

    def incident_parts(self, row: Mapping[str, Any], view: View) -> dict[str, str]:
        """Return the parts of an incident's page by name."""
        values = self._values(view) | {"row": row, "card": card(row, view)}
        return {name: self._templates.get_template(f"{name}.html").render(values) for name in ("now", "incident")}

    def incident(self, row: Mapping[str, Any], view: View) -> str:
        """Return the whole page of one incident."""
        events = f"/events?incident={row['id']}"
        shown = card(row, view)
        return self._whole("about.html", view, parts=self.incident_parts(row, view), events=events, card=shown)

    def missing(self, view: View, text: str) -> str:
        """Return the page that says that something is not there."""
        return self._whole("missing.html", view, parts={"now": ""}, events="", text=text)

    def _whole(self, template: str, view: View, **values: Any) -> str:
        common = self._values(view) | {"version": self._assets.version}
        return self._templates.get_template(template).render(common | values)

    def _values(self, view: View) -> dict[str, Any]:
        return {
            "view": view,
            "every": self._settings.picture_every,
            "now": Stamp(wall=view.wall, mono=view.mono or 0.0, boot="", synced=view.synced),
            "transfers": _by_delivery(view.transfers),
        }


def card(row: Mapping[str, Any], view: View) -> Card:
    """Return an incident's row as it is shown."""
    clips = [clip for clip in row["clips"] if clip.get("here", True)]
    pictures = [snapshot["id"] for snapshot in row["snapshots"] if snapshot.get("here", True)]
    where = f"{row['camera']}, {', '.join(row['zones'])}" if row["zones"] else row["camera"]
    alerts = words.of_alerts(row)
    return Card(
        id=row["id"],
        title=f"{where} (by hand)" if row["kind"] == "manual" else where,
        when=stamp_text(row["opened"], view.timezone),
        length=clock(sum(clip["seconds"] for clip in row["clips"])),
        is_open=row["closed"] is None,
        picture=f"/media/snapshot/{pictures[-1]}.jpg" if pictures else None,
        parts=json.dumps([_part(row, clip) for clip in clips]),
        sayings=(*words.of_clip(row, _by_delivery(view.transfers)), *([alerts] if alerts else [])),
    )


def _part(row: Mapping[str, Any], clip: Mapping[str, Any]) -> dict[str, Any]:
    name = f"{row['camera']}-{row['id'][:8]}-{clip['part']}.mp4"
    return {"url": f"/media/clip/{clip['id']}.mp4", "seconds": round(clip["seconds"], 3), "name": name}


def _by_delivery(transfers: Sequence[TransferView]) -> dict[int, TransferView]:
    return {transfer.delivery: transfer for transfer in transfers}


def stamp_text(stamp: Stamp | Mapping[str, Any] | None, timezone: str) -> str:
    """Return an instant (a Stamp, or a row's {"wall", "synced"}) in the site's zone; "" for None."""
    if stamp is None:
        return ""
    if not isinstance(stamp, Stamp):
        stamp = Stamp(wall=stamp["wall"], mono=0.0, boot="", synced=stamp["synced"])
    return times.row(stamp, timezone)


def clock(seconds: float) -> str:
    """Return "1:05" or "1:02:03", as the player does: a second counts when it is over."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _dimensions(text: str) -> tuple[int, int]:
    """Return width and height from "1920x1080"; 16 to 9 when unknown."""
    width, _, height = text.partition("x")
    return (int(width), int(height)) if width.isdigit() and height.isdigit() and int(height) else (16, 9)
