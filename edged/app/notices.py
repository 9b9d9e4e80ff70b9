"""Tells people by mail when a camera is lost and when it is back: `/health` alone reaches nobody who does not look."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import stamp, stamp_at
from edged.outbox.nouns import Notice, NoticeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edged.base.clock import Clock
    from edged.base.pulse import Pulse
    from edged.model import Health
    from edged.outbox.store import Outbox

log = structlog.get_logger(__name__)

_LOOK = 1.0  # seconds


def news(lost: Mapping[str, float], told: frozenset[str], *, lost_after: float, now: float) -> dict[str, bool]:
    """Return the cameras of which there is news: False is newly lost, True is back.

    `lost` holds since when (mono) each lost camera is, `told` those of which people know it.
    """
    if not lost_after:
        return {}
    back = dict.fromkeys(told - lost.keys(), True)
    return back | {name: False for name, since in lost.items() if name not in told and now - since >= lost_after}


class Notices:
    """Watches the cameras' health and enters a notice for each that is lost for long, and for its return."""

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        *,
        health: Callable[[], Mapping[str, Health]],
        lost_after: float,
        people: Sequence[str],
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._health = health
        self._lost_after = lost_after
        self._people = people
        self._lost: dict[str, float] = {}
        self._told: frozenset[str] = frozenset()

    async def run(self, pulse: Pulse) -> None:
        """Watch until cancelled."""
        while True:
            await self.step()
            pulse.beat()
            await asyncio.sleep(_LOOK)

    async def step(self) -> None:
        """Look once, and tell what is new."""
        now = self._clock.mono()
        health = self._health()
        self._lost = {name: self._lost.get(name, now) for name, state in health.items() if not state.delivering}
        for camera, back in news(self._lost, self._told, lost_after=self._lost_after, now=now).items():
            await self._outbox.add_notice(self._notice(health[camera], back=back), self._people)
            self._told = self._told - {camera} if back else self._told | {camera}

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
