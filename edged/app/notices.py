"""Tells people by mail when a camera is lost or blind and when it is well: `/health` reaches those who look at it."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from edged.app.outages import blind_since, lost_since
from edged.base.clock import stamp, stamp_at
from edged.base.disk import replace_synced
from edged.outbox.nouns import Notice, NoticeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.base.pulse import Pulse
    from edged.model import Health
    from edged.outbox.store import Outbox

log = structlog.get_logger(__name__)

_LOOK = 1.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class _Matter:
    """What people are told once it has lasted for `after` seconds, and once it is over."""

    mark: str  # after a camera's name in the ledger
    since: Callable[[Mapping[str, float], Mapping[str, Health], float], dict[str, float]]
    over: Callable[[Health], bool]
    after: float
    begun: str  # texts, with {camera} and {why}
    ended: str


def _lost(after: float) -> _Matter:
    return _Matter(
        mark="",
        since=lost_since,
        over=lambda state: state.delivering,
        after=after,
        begun="Camera {camera} is lost\n\nIt gives no pictures: {why}. Nothing can be recorded there until it is back;"
        " edged goes on trying to reach it. Look at its power and its network.",
        ended="Camera {camera} is back\n\nIt delivers pictures again and is being recorded.",
    )


def _blind(after: float) -> _Matter:
    return _Matter(
        mark=" blind",  # no name of a camera has a space
        since=blind_since,
        over=lambda state: not state.signs,
        after=after,
        begun="Camera {camera} sees nothing of use\n\nIts pictures come and are recorded, but {why}. Look at its lens,"
        " the light and where it points.",
        ended="Camera {camera} sees again\n\nIts picture is as it was, or its new view has lasted so long that it now"
        " counts as the usual one.",
    )


def news(
    well: Collection[str], lost: Mapping[str, float], told: Collection[str], *, lost_after: float, now: float
) -> dict[str, bool]:
    """Return the cameras of which there is news: False is newly lost, True is back.

    `well` deliver, `lost` holds since when (mono) each other one does not, `told` those that people know to be lost. A
    camera that is in neither is no longer watched: of that there is no news.
    """
    if not lost_after:
        return {}
    back = {name: True for name in well if name in told}
    return back | {name: False for name, since in lost.items() if name not in told and now - since >= lost_after}


class Notices:
    """Watches the cameras' health and enters a notice for each that is lost or blind for long, and for its return.

    What people were told is kept in `ledger`: a restart tells it no second time, and tells a return in spite of it.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        *,
        health: Callable[[], Mapping[str, Health]],
        lost_after: float,
        blind_after: float = 0.0,
        people: Sequence[str],
        ledger: Path,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._health = health
        self._people = people
        self._since: dict[str, dict[str, float]] = {}  # by the matter's mark and the camera
        self._matters = (_lost(lost_after), _blind(blind_after))
        self._ledger = ledger
        self._told: frozenset[str] | None = None  # None before the first look

    def adopt(self, *, lost_after: float, blind_after: float, people: Sequence[str]) -> None:
        """Tell other people, or after other times, from the next look on."""
        self._matters = (_lost(lost_after), _blind(blind_after))
        self._people = people

    async def run(self, pulse: Pulse) -> None:
        """Watch until cancelled."""
        while True:
            await self.step()
            pulse.beat()
            await asyncio.sleep(_LOOK)

    async def step(self) -> None:
        """Look once, and tell what is new."""
        if self._told is None:
            self._told = await asyncio.to_thread(_read, self._ledger)
        for matter in self._matters:
            self._told = await self._look(matter, self._told)

    async def _look(self, matter: _Matter, told: frozenset[str]) -> frozenset[str]:
        """Tell the news of one matter; return what people now know."""
        now, health = self._clock.mono(), self._health()
        since = self._since[matter.mark] = matter.since(self._since.get(matter.mark, {}), health, now)
        well = [camera for camera, state in health.items() if matter.over(state)]
        known = {camera for camera in health if camera + matter.mark in told}
        for camera, back in news(well, since, known, lost_after=matter.after, now=now).items():
            await self._outbox.add_notice(self._notice(matter, health[camera], back=back), self._people)
            entry = {camera + matter.mark}
            told = told - entry if back else told | entry
            await self._keep(told)
        return told

    async def _keep(self, told: frozenset[str]) -> None:
        self._told = told
        try:
            await asyncio.to_thread(replace_synced, self._ledger, json.dumps(sorted(told)).encode())
        except OSError as error:  # at worst a restart tells it again
            log.warning("lost cameras not noted", file=str(self._ledger), reason=error.strerror)

    def _notice(self, matter: _Matter, state: Health, *, back: bool) -> Notice:
        since = stamp(self._clock) if back else stamp_at(self._clock, self._since[matter.mark][state.camera])
        text = (matter.ended if back else matter.begun).format(camera=state.camera, why=state.text)
        kind = NoticeKind.CLEAR if back else NoticeKind.SYSTEM
        return Notice(id=secrets.token_hex(16), kind=kind, since=since, text=text, camera=state.camera)


def _read(ledger: Path) -> frozenset[str]:
    try:
        return frozenset(str(camera) for camera in json.loads(ledger.read_text()))
    except (OSError, ValueError, TypeError, RecursionError):
        return frozenset()  # unknown counts as nobody: then a camera that is still lost is told once more
