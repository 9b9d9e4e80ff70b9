"""The probe: asks the receiver itself, and no public address, whether the line carries; seldom while all is well."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from yarl import URL

from edged.base.errors import NoAnswerError
from edged.model import LinkState
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
        self._missed = False  # something waits for a line that is silent
        self._open = False  # a knock was answered, and the probe after it was not

    def adopt(self, settings: PushSettings) -> None:
        """Go by other settings from now on."""
        self._settings = settings
        self._work.set()

    async def run(self, pulse: Pulse) -> None:
        """Probe until cancelled."""
        while True:
            await self.step()
            pulse.beat()

    async def step(self) -> None:
        """Probe if it is time for it, else wait a little."""
        wait = await self._wait()
        if wait > 0.0 and self._missed:
            if not await self._returned(min(wait, _LOOK)):
                return
        elif wait > 0.0:
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
                await self._ask()
        except TimeoutError:
            self._link.saw(Exchange(outcome=Outcome.SILENT, reason=f"the receiver gave no answer for {limit:.0f} s"))
        except NoAnswerError:
            return  # the line has told the link

    async def _ask(self) -> None:
        """Ask the receiver; once more at once if the way comes back meanwhile, for TCP would sleep on."""
        asking = asyncio.create_task(self._line.ask(self._request, doing="reach the receiver"))
        knocking = asyncio.create_task(self._returned(_LOOK)) if self._missed and not self._open else None
        try:
            if knocking is not None:
                await asyncio.wait({asking, knocking}, return_when=asyncio.FIRST_COMPLETED)
                if not asking.done() and knocking.result():
                    asking.cancel()
                    await asyncio.wait({asking})
                    asking = asyncio.create_task(self._line.ask(self._request, doing="reach the receiver"))
            await asking
        finally:
            for task in (asking, knocking):
                if task is not None:
                    task.cancel()
                    await asyncio.wait({task})

    async def _returned(self, seconds: float) -> bool:
        """Knock for so long; True as soon as there is a way again where there was none before."""
        heard = await self._line.knocker.answered(seconds)
        if heard and self._open:
            await asyncio.sleep(seconds)
            return False
        self._open = heard
        return heard

    async def _wait(self) -> float:
        if self._link.seen_at is None:
            return 0.0
        figures = self._settings.probe
        waiting = not self._link.usable and await self._waiting()
        self._missed = waiting and self._link.link.state is LinkState.DOWN and self._line.knocker.door is not None
        self._open = self._open and not self._link.usable
        wait = probe_wait(
            self._link.track, waiting=waiting, tries=self._tries, figures=figures, metered=self._settings.metered
        )
        if waiting and self._line.knocker.door is None:  # the name was never found: there is nowhere to knock
            wait = min(wait, figures.waiting)
        return wait - (self._clock.mono() - self._link.seen_at)
