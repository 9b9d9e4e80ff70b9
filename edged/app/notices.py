"""Tells people by mail when a camera is lost and when it is back: `/health` alone reaches nobody who does not look."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import TYPE_CHECKING

import structlog

from edged.app.outages import lost_since
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
    """Watches the cameras' health and enters a notice for each that is lost for long, and for its return.

    Who is known to be lost is kept in `ledger`: a restart tells it no second time, and tells a return in spite of it.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        *,
        health: Callable[[], Mapping[str, Health]],
        lost_after: float,
        people: Sequence[str],
        ledger: Path,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._health = health
        self._lost_after = lost_after
        self._people = people
        self._lost: dict[str, float] = {}
        self._ledger = ledger
        self._told: frozenset[str] | None = None  # None before the first look

    async def run(self, pulse: Pulse) -> None:
        """Watch until cancelled."""
        while True:
            await self.step()
            pulse.beat()
            await asyncio.sleep(_LOOK)

    async def step(self) -> None:
        """Look once, and tell what is new."""
        told = await asyncio.to_thread(_read, self._ledger) if self._told is None else self._told
        now, health = self._clock.mono(), self._health()
        self._lost = lost_since(self._lost, health, now)
        well = health.keys() - self._lost.keys()
        for camera, back in news(well, self._lost, told, lost_after=self._lost_after, now=now).items():
            await self._outbox.add_notice(self._notice(health[camera], back=back), self._people)
            told = told - {camera} if back else told | {camera}
            await self._keep(told)
        self._told = told

    async def _keep(self, told: frozenset[str]) -> None:
        self._told = told
        try:
            await asyncio.to_thread(replace_synced, self._ledger, json.dumps(sorted(told)).encode())
        except OSError as error:  # at worst a restart tells it again
            log.warning("lost cameras not noted", file=str(self._ledger), reason=error.strerror)

    def _notice(self, state: Health, *, back: bool) -> Notice:
        since = stamp(self._clock) if back else stamp_at(self._clock, self._lost[state.camera])
        text = (
            f"Camera {state.camera} is back\n\nIt delivers pictures again and is being recorded."
            if back
            else f"Camera {state.camera} is lost\n\nIt gives no pictures: {state.text}. Nothing can be recorded there"
            " until it is back; edged goes on trying to reach it. Look at its power and its network."
        )
        kind = NoticeKind.CLEAR if back else NoticeKind.SYSTEM
        return Notice(id=secrets.token_hex(16), kind=kind, since=since, text=text, camera=state.camera)


def _read(ledger: Path) -> frozenset[str]:
    try:
        return frozenset(str(camera) for camera in json.loads(ledger.read_text()))
    except (OSError, ValueError, TypeError, RecursionError):
        return frozenset()  # unknown counts as nobody: then a camera that is still lost is told once more
