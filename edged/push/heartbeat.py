"""The device's sign of life: a signed account of itself every few minutes, under 1 KB, with gaps not yet reported."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from yarl import URL

from edged.base.clock import stamp
from edged.base.errors import DeliveryError
from edged.push.line import Request
from edged.push.replies import refusal
from edged.wire import heartbeat
from edged.wire.heartbeat import GapReport, Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from edged.base.clock import Clock, Stamp
    from edged.base.pulse import Pulse
    from edged.outbox.nouns import LedgerGap
    from edged.outbox.store import Outbox
    from edged.push.line import Line
    from edged.push.link import LinkWatch
    from edged.wire.heartbeat import CameraReport

log = structlog.get_logger(__name__)

_LOOK = 10.0  # seconds between looks at whether the line is back
_REASON = 200  # characters


@dataclass(frozen=True, kw_only=True, slots=True)
class Vitals:
    """What the heartbeat tells besides the outbox: sizes in bytes, `uptime` in seconds.

    `arrived` is what the destinations hold already of the files under way.
    """

    version: str
    site: str
    timezone: str
    uptime: float
    disk_free: int
    disk_total: int
    cameras: tuple[CameraReport, ...]
    arrived: int = 0


class HeartbeatSender:
    """Sends a heartbeat every `interval` seconds while the line is usable, and at once when it is back after longer."""

    def __init__(
        self,
        url: str,
        line: Line,
        link: LinkWatch,
        *,
        outbox: Outbox,
        vitals: Callable[[], Vitals],
        interval: float,
        clock: Clock,
    ) -> None:
        self.error = ""  # why the last one did not arrive
        self._url = URL(url) / heartbeat.PATH.lstrip("/")
        self._line = line
        self._link = link
        self._outbox = outbox
        self._vitals = vitals
        self._interval = interval
        self._clock = clock
        self._due = clock.mono()
        self._warned = False

    def adopt(self, interval: float) -> None:
        """Send every `interval` seconds from now on."""
        self._interval = interval
        self._due = min(self._due, self._clock.mono() + interval)

    async def run(self, pulse: Pulse) -> None:
        """Send until cancelled."""
        while True:
            await self.step()
            pulse.beat()

    async def step(self) -> None:
        """Send a heartbeat if it is time for it and the line is usable, else wait a little."""
        now = self._clock.mono()
        if now < self._due or not self._link.usable:
            await asyncio.sleep(min(max(self._due - now, 1.0), _LOOK))
            return
        self._due = now + self._interval
        try:
            await self._send()
        except DeliveryError as error:
            if str(error) != self.error:
                log.warning("heartbeat not accepted", error=str(error))
            self.error = str(error)
        else:
            self.error = ""

    async def _send(self) -> None:
        doing = "send the heartbeat"
        gaps = await self._outbox.unreported_gaps()
        account = await self._compose()
        body, told = heartbeat.pack(account, [_report(entry) for entry in gaps])
        headers = {"Content-Type": "application/json"}
        answer = await self._line.ask(Request(method="POST", url=self._url, headers=headers, body=body), doing=doing)
        if not answer.good:
            raise refusal(answer, doing)
        await self._outbox.report_gaps(gaps[:told])
        known = heartbeat.answer_from_json(answer.body)
        if known is not None:
            self._compare(account.sequence, known.sequence)

    async def _compose(self) -> Heartbeat:
        vitals, now = self._vitals(), stamp(self._clock)
        recording = len(await self._outbox.unclosed_incidents())
        backlog, counts = await self._outbox.backlog(), await self._outbox.counts()
        return Heartbeat(
            version=vitals.version,
            time=max(0.0, now.wall),
            synced=now.synced,
            boot=now.boot,
            sequence=await self._outbox.sequence(),
            interval=max(1.0, self._interval),
            site=vitals.site,
            timezone=vitals.timezone,
            recording=recording,
            waiting=backlog.count,
            waiting_bytes=max(0, backlog.bytes - vitals.arrived),
            oldest=0.0 if backlog.oldest is None else age(backlog.oldest, now),
            dead=counts.dead,
            losses=await self._outbox.count_losses(),
            disk_free=vitals.disk_free,
            disk_total=vitals.disk_total,
            uptime=vitals.uptime,
            cameras=vitals.cameras,
        )

    def _compare(self, ours: int, heard: int) -> None:
        """Say so, once, when the receiver has heard of commits that this outbox does not have."""
        if heard > ours and not self._warned:
            self._warned = True
            log.error(
                "outbox went back",
                here=ours,
                heard_of=heard,
                advice="the card lied about flushing, or an old copy was restored: replace the card",
            )


def age(then: Stamp, now: Stamp) -> float:
    """Return the seconds from `then` to `now`, by the monotonic clock within a boot, else by the wall; at least 0."""
    seconds = now.mono - then.mono if then.boot == now.boot else now.wall - then.wall
    return max(0.0, seconds)


def _report(entry: LedgerGap) -> GapReport:
    gap = entry.gap
    end = None if gap.end is None else max(0.0, gap.end.wall)
    was = None if entry.was is None else max(0.0, entry.was)
    return GapReport(camera=gap.camera, start=max(0.0, gap.start.wall), end=end, reason=gap.reason[:_REASON], was=was)
