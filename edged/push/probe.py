"""The probe: asks the receiver itself, and no public address, whether the line carries; seldom while all is well."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from yarl import URL

from edged.base.errors import NoAnswerError
from edged.push.line import Request
from edged.push.link import Exchange, Outcome, probe_wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edged.base.clock import Clock
    from edged.base.pulse import Pulse
    from edged.push.line import Line
    from edged.push.link import LinkWatch
    from edged.push.settings import PushSettings

_LOOK = 10.0  # seconds between looks at whether something waits
_SOON = 0.2  # seconds


class LinkProbe:
    """Keeps `link` true while uploads don't.

    `waiting` tells whether anything waits for the receiver, `work` is set when that may have changed.
    """

    def __init__(
        self,
        url: str,
        line: Line,
        link: LinkWatch,
        *,
        settings: PushSettings,
        waiting: Callable[[], Awaitable[bool]],
        work: asyncio.Event,
        clock: Clock,
    ) -> None:
        self._request = (
            Request(method="GET", url=URL(url) / "probe")
            if line.credentials.signs
            else Request(method="OPTIONS", url=URL(url))
        )
        self._line = line
        self._link = link
        self._settings = settings
        self._waiting = waiting
        self._work = work
        link.watch(work.set)
        self._clock = clock
        self._tries = 0  # since the line was last usable

    async def run(self, pulse: Pulse) -> None:
        """Probe until cancelled."""
        while True:
            await self.step()
            pulse.beat()

    async def step(self) -> None:
        """Probe if it is time for it, else wait a little."""
        wait = await self._wait()
        if wait > 0.0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait, _LOOK)):
                    await self._work.wait()
                self._work.clear()
                await asyncio.sleep(min(wait, _SOON))  # a burst of commits is one piece of news
            return
        self._tries = 0 if self._link.usable else self._tries + 1
        limit = self._settings.probe.timeout
        try:
            async with asyncio.timeout(limit):
                await self._line.ask(self._request, doing="reach the receiver")
        except TimeoutError:
            self._link.saw(Exchange(outcome=Outcome.SILENT, reason=f"the receiver gave no answer for {limit:.0f} s"))
        except NoAnswerError:
            return  # the line has told the link

    async def _wait(self) -> float:
        if self._link.seen_at is None:
            return 0.0
        figures = self._settings.probe
        waiting = not self._link.usable and await self._waiting()
        wait = probe_wait(
            self._link.track, waiting=waiting, tries=self._tries, figures=figures, metered=self._settings.metered
        )
        return wait - (self._clock.mono() - self._link.seen_at)
