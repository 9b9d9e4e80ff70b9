"""The last rungs of the recovery ladder, when no camera delivers: leave to systemd, or ask for a reboot."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import structlog

from edged.app.outages import lost_since
from edged.base.disk import replace_synced
from edged.capture.lastresort import Outlook, Resort, last_resort

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.base.pulse import Pulse
    from edged.capture.settings import LastResortSettings
    from edged.model import Health

log = structlog.get_logger(__name__)

_LOOK = 5.0  # seconds


class LastResort:
    """Looks at all cameras together; `leave` ends the daemon with a reason. Reboots asked for are kept in `ledger`."""

    def __init__(
        self,
        settings: LastResortSettings,
        clock: Clock,
        *,
        health: Callable[[], Mapping[str, Health]],
        leave: Callable[[str], None],
        ledger: Path,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._health = health
        self._leave = leave
        self._ledger = ledger
        self._lost: dict[str, float] = {}
        self._ever: set[str] = set()

    async def run(self, pulse: Pulse) -> None:
        """Look until cancelled."""
        while True:
            await self.step()
            pulse.beat()
            await asyncio.sleep(_LOOK)

    async def step(self) -> None:
        """Look once and do what is decided."""
        now, health = self._clock.mono(), self._health()
        self._lost = lost_since(self._lost, health, now)
        self._ever |= health.keys() - self._lost.keys()
        reboots = await asyncio.to_thread(_reboots, self._ledger)
        outlooks = [Outlook(lost=self._lost.get(name), ever=name in self._ever) for name in health]
        decided = last_resort(outlooks, self._settings, now=now, wall=self._clock.wall(), reboots=reboots)
        if decided is Resort.LEAVE:
            self._leave("no camera delivers and opening them anew did not help")
        elif decided is Resort.REBOOT and self._settings.reboot is not None:
            await self._reboot(self._settings.reboot, reboots)

    async def _reboot(self, path: Path, reboots: list[float]) -> None:
        log.error("reboot requested", reason="no camera delivers", file=str(path))
        entries = [*reboots, self._clock.wall()][-10:]
        await asyncio.to_thread(replace_synced, self._ledger, json.dumps(entries).encode())
        await asyncio.to_thread(path.write_text, "no camera delivers\n", encoding="utf-8")


def _reboots(ledger: Path) -> list[float]:
    try:
        return [float(wall) for wall in json.loads(ledger.read_text())]
    except (OSError, ValueError, TypeError, OverflowError, RecursionError):
        return []  # unknown counts as none: the budget of the day is then at most doubled
