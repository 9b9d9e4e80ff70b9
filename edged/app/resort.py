"""The last rungs of the recovery ladder, when no camera delivers: leave to systemd, or ask for a reboot."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edged.app.outages import lost_since
from edged.base.pages.pages import duration
from edged.capture.lastresort import Outlook, Resort, last_resort

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edged.app.farewell import Farewell
    from edged.app.helper import Helper
    from edged.base.clock import Clock
    from edged.base.pulse import Pulse
    from edged.capture.settings import LastResortSettings
    from edged.model import Health

_LOOK = 5.0  # seconds


class LastResort:
    """Looks at all cameras together; `leave` ends the daemon with a reason, `helper` is asked for a reboot."""

    def __init__(
        self,
        settings: LastResortSettings,
        clock: Clock,
        *,
        health: Callable[[], Mapping[str, Health]],
        leave: Callable[[str], None],
        helper: Helper,
        farewell: Farewell,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._health = health
        self._leave = leave
        self._helper = helper
        self._farewell = farewell
        self._asked: float | None = None  # mono, for a reboot
        self._lost: dict[str, float] = {}
        self._ever: set[str] = set()

    def adopt(self, settings: LastResortSettings) -> None:
        """Go by other settings from the next look on."""
        self._settings = settings

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
        outlooks = [Outlook(lost=self._lost.get(name), ever=name in self._ever) for name in health]
        decided = last_resort(outlooks, self._settings, now=now, asked=self._asked)
        if decided is Resort.WAIT:
            return
        outage = duration(now - max(self._lost.values()))
        if decided is Resort.LEAVE:
            self._leave(f"no camera has delivered for {outage}, and opening them anew did not help")
        else:
            self._asked = now
            reason = f"no camera has delivered for {outage}"
            await self._farewell.note("reboot", reason)
            await self._helper.reboot(reason)
