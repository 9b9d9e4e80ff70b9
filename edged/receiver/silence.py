"""The alarm for a device that has gone silent: told once by mail, with an all-clear when it is heard again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import Stamp, Steps, stamp
from edged.base.pages.pages import duration
from edged.channels import render, times
from edged.channels.content import Letterhead, Notice
from edged.receiver.alarms import Letter
from edged.receiver.views import zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edged.base.clock import Clock
    from edged.receiver.alarms import Alarms
    from edged.receiver.registry import Device, Registry
    from edged.receiver.settings import ReceiverConfig

log = structlog.get_logger(__name__)

_STEP = 30.0  # seconds by which a clock may be set without anybody's silence being counted anew
_INTERVALS = 3  # heartbeats that may be lost on the way before a device counts as silent


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A device that has just gone `silent`, or is heard again; `since` in Unix seconds is its last heartbeat."""

    device: Device
    silent: bool
    since: float


def changes(devices: Iterable[Device], *, now: float, started: float, silent_after: float) -> list[Change]:
    """Return the devices whose silence begins or ends at `now`, all in Unix seconds.

    A device that never was heard raises no alarm. Time during which the receiver itself did not run, or of which it
    does not know how long it was (before `started`), is not held against anybody.
    """
    found = []
    for device in devices:
        if device.heard is None:
            continue
        interval = device.heartbeat.interval if device.heartbeat is not None else 0.0
        limit = max(silent_after, _INTERVALS * interval)
        heard = device.heard if device.heard <= now else started  # in the future: the clock was set back since
        silent = now - max(heard, started) > limit
        if silent and device.silent is None:
            found.append(Change(device=device, silent=True, since=device.heard))
        elif device.silent is not None and device.heard > device.silent:
            found.append(Change(device=device, silent=False, since=device.heard))
    return found


class SilenceLoop:
    """Looks after silent devices every `look` seconds."""

    def __init__(self, config: ReceiverConfig, registry: Registry, alarms: Alarms, clock: Clock) -> None:
        self._config = config
        self._registry = registry
        self._alarms = alarms
        self._clock = clock
        self._started = clock.wall()
        self._steps = Steps(clock)

    async def run(self) -> None:
        """Look, again and again."""
        while True:
            await self.step()
            await asyncio.sleep(self._config.alarm.look)

    async def step(self) -> None:
        """Look once: every change is entered together with its mails, so that none is told twice or not at all."""
        now = self._clock.wall()
        if abs(step := self._steps.since_last()) > _STEP:
            log.warning("clock was set", by=round(step, 1), advice="silence counts from now on")
            self._started = now
        after = float(self._config.alarm.silent_after)
        for change in changes(await self._registry.devices(), now=now, started=self._started, silent_after=after):
            letters = await asyncio.to_thread(self._letters, change, stamp(self._clock))
            if await self._alarms.enter(change.device.name, now if change.silent else None, letters):
                device = change.device.name
                log.warning(
                    "device went silent" if change.silent else "device is back", device=device, mails=len(letters)
                )

    def _letters(self, change: Change, now: Stamp) -> list[Letter]:
        zone = zone_of(change.device, self._config.timezone)
        beat = change.device.heartbeat
        site = beat.site if beat is not None else ""
        head = Letterhead(device=change.device.name, site=site, timezone=zone, written=now)
        content = _notice(change, now, zone, f"{self._config.public_url.rstrip('/')}/devices/{change.device.name}")
        letters = []
        for number, recipient in enumerate(self._config.alarm.recipients, start=1):
            kind = "silent" if change.silent else "back"
            key = f"{kind}.{change.device.name}.{int(now.wall)}.{number}"
            message = render.render_message(
                content, head, sender=self._config.mail.sender, recipient=recipient, key=key
            )
            letters.append(Letter(key=key, recipient=recipient, device=change.device.name, message=message))
        return letters


def _notice(change: Change, now: Stamp, zone: str, link: str) -> Notice:
    name = change.device.name
    heard = Stamp(wall=change.since, mono=now.mono, boot=now.boot, synced=True)
    if not change.silent:
        text = f"{name} is heard again, since {times.full(heard, zone)}.\n\nWhat it recorded meanwhile is on its way."
        return Notice(title=f"{name} is back", text=text, at=heard, good=True, link=link)
    text = (
        f"The receiver has not heard from {name} for {duration(now.wall - change.since)}: the last sign of life came"
        f" {times.full(heard, zone)}.\n\nIts power, its line or the device itself may have failed. It may go on"
        " recording, and then sends everything once the line is back. You will be told when it is heard again."
    )
    return Notice(title=f"{name} has gone silent", text=text, at=now, link=link)
