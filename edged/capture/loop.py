"""Keeps one camera going: opens it, watches its health, and recovers it; enters each outage as one gap."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import stamp, stamp_at
from edged.capture.gaps import GapBook
from edged.capture.health import back_since, delivers, hopeless, judge, last_good
from edged.capture.ladder import STEADY, Action, rung
from edged.capture.reader import Reader
from edged.capture.view import ViewWatch
from edged.model import BLIND, Health, Sign

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from edged.base.clock import Clock, Stamp
    from edged.base.handover import Latest
    from edged.base.pulse import Pulse
    from edged.capture.camera import Camera
    from edged.capture.health import Vitals
    from edged.capture.settings import CameraSettings, HealthSettings
    from edged.model import Frame, Gap, Packet

log = structlog.get_logger(__name__)

_TICK = 0.25  # seconds between two looks at the signs
_FAREWELL = 2.0  # seconds that a thread gets to close its camera when edged stops
_MOST_STUCK = 3  # threads that may hang in a camera's driver: each keeps its memory, and the process has only so many


class CaptureLoop:
    """One camera. `open_camera` makes a new, unopened backend that numbers its epochs from the given iterator.

    `on_packet` is called on the camera's thread and must not block; frames go to `frames`, the newest wins.
    `open_gap` and `close_gap` write the ledger, `ask_reset` asks for a reset of the camera's power, for a reason.
    `health` and `picture` show the present state.
    """

    def __init__(
        self,
        name: str,
        open_camera: Callable[[Iterator[int]], Camera],
        settings: CameraSettings,
        clock: Clock,
        *,
        on_packet: Callable[[Packet], None],
        frames: Latest[Frame],
        open_gap: Callable[[Gap], Awaitable[int]],
        close_gap: Callable[[int, Stamp], Awaitable[None]],
        ask_reset: Callable[[str], Awaitable[None]],
    ) -> None:
        self._name = name
        self._open_camera = open_camera
        self._settings = settings
        self._clock = clock
        self._on_packet = on_packet
        self._frames = frames
        self._ask_reset = ask_reset
        self._gaps = GapBook(name, open_gap, close_gap)
        self._epochs = itertools.count(1)
        self._reader: Reader | None = None
        self._left: list[Reader] = []  # abandoned openings whose threads may still hang
        self._nudge = asyncio.Event()
        self._failures = 0
        self._was_frozen = False
        self._view = ViewWatch()  # over all openings: who turns a camera may well pull its cable, too
        # when to open next; when the last good picture was taken; when recovery last did something; the last gap's end
        self._open_at = self._good = self._acted = self._back = clock.mono()
        self._steady_from: float | None = None
        self._reset_due = ""
        self.finished = False
        self.picture: Frame | None = None
        self.health = Health(camera=name, signs=frozenset({Sign.NO_FRAMES}), text="starting", since=self._good, rung=0)

    def idle(self) -> float:
        """Return seconds since a picture or packet came or recovery went a step on; 0.0 while the ladder waits.

        A dead camera is no wedged loop: the watchdog may tell the two apart by this.
        """
        now = self._clock.mono()
        vitals = self._reader.vitals() if self._reader is not None else None
        came = [time for time in (vitals.frame, vitals.packet) if time is not None] if vitals is not None else []
        return now - max(min(now, self._open_at), self._acted, *came)

    def adopt(self, settings: HealthSettings) -> None:
        """Judge the camera by other settings from the next look on; it stays open."""
        self._settings = replace(self._settings, health=settings)
        if self._reader is not None:
            self._reader.adopt(settings)

    async def run(self, pulse: Pulse) -> None:
        """Keep the camera going until cancelled."""
        while True:
            await self.step()
            pulse.beat()

    async def step(self) -> None:
        """Look at the camera once, at the next tick or when something happened, and do what is due."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TICK):
                await self._nudge.wait()
        self._nudge.clear()
        self._look(self._clock.mono())
        await self._request_reset()
        await self._gaps.write(self._clock.mono())

    async def stop(self) -> None:
        """Let the camera go, and end an outage that is still open: from here on nobody watches."""
        self.finished = True
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.abandon()
            await asyncio.to_thread(reader.join, _FAREWELL)
        self._gaps.end(stamp(self._clock))
        await self._gaps.write(self._clock.mono())

    def _look(self, now: float) -> None:
        if self.finished:
            return
        if self._reader is None:
            if now >= self._open_at:
                self._open()
            return
        vitals = self._reader.vitals()
        signs, text = judge(vitals, self._settings.health, sensor=self._settings.has_sensor, now=now)
        if Sign.ENDED in signs and self._settings.ends:
            self._finish(signs, text, now)
        elif signs - BLIND:
            self._ill(vitals, signs, text, now)
        elif delivers(vitals, was_frozen=self._was_frozen):
            self._well(vitals, signs, text, now)

    def _open(self) -> None:
        self._acted = self._clock.mono()
        self._left = [reader for reader in self._left if not reader.join(0.0)]
        if len(self._left) >= _MOST_STUCK:
            stuck = "its driver hangs: a reset of its power, or else a new start of edged, may free it"
            self._give_up(stuck, self._acted)
            self._show(self.health.signs, stuck, self._acted)
            return
        self._reader = Reader(
            self._open_camera(self._epochs),
            self._name,
            self._settings.health,
            self._clock,
            on_packet=self._on_packet,
            on_frame=self._take,
            on_end=self._nudge.set,
            waits=self._settings.speed == "full",
            view=self._view,
        )
        self._reader.start()

    async def _take(self, frame: Frame) -> None:
        self.picture = frame
        if not self.health.delivering:
            self._nudge.set()
        if self._settings.speed == "full":
            await self._frames.place(frame)
        else:
            self._frames.put(frame)

    def _well(self, vitals: Vitals, signs: frozenset[Sign], text: str, now: float) -> None:
        if self._gaps.open:
            back = back_since(vitals, self._good, was_frozen=self._was_frozen)
            self._gaps.end(stamp_at(self._clock, back))
            self._back = back
            log.info("camera back", camera=self._name, seconds=round(back - self._good, 1))
        if self._steady_from is None:
            self._steady_from = now
        if now - self._steady_from >= STEADY:
            self._failures = 0
        self._was_frozen = False
        if signs != self.health.signs & BLIND:
            log.warning("camera sees nothing", camera=self._name, reason=text) if signs else log.info(
                "camera sees again", camera=self._name
            )
        self._good = last_good(vitals, signs) or now
        self._show(signs, text, now)

    def _ill(self, vitals: Vitals, signs: frozenset[Sign], text: str, now: float) -> None:
        self._steady_from = None
        self._was_frozen = self._was_frozen or Sign.FROZEN in signs
        if Sign.FROZEN in signs and not self._gaps.open:
            self._good = last_good(vitals, signs) or self._good
        if not self._gaps.open:
            # libav gives out a silent stream's last picture as it gives up: that ended a gap, and this goes on from it
            self._gaps.begin(stamp_at(self._clock, max(self._good, self._back)), text)
            log.warning("camera lost", camera=self._name, reason=text)
        if hopeless(vitals, self._settings.health, signs, now):
            self._give_up(text, now)
        self._show(signs, text, now)

    def _give_up(self, text: str, now: float) -> None:
        """Leave the present opening behind and take the next rung of the ladder."""
        if self._reader is not None:
            self._reader.abandon()
            self._left.append(self._reader)
            self._reader = None
        self._failures += 1
        self._acted = now
        step = rung(self._failures)
        self._open_at = now + step.wait
        if step.action is Action.RESET:
            self._reset_due = text
        log.info("camera will be opened anew", camera=self._name, rung=self._failures, wait=step.wait, reason=text)

    def _finish(self, signs: frozenset[Sign], text: str, now: float) -> None:
        """A file was played to its end: no outage, and nothing to do."""
        self._reader, self.finished = None, True
        self._show(signs, text, now)
        log.info("camera ended", camera=self._name)

    def _show(self, signs: frozenset[Sign], text: str, now: float) -> None:
        since = self.health.since if signs == self.health.signs else now
        climbing = self._failures if self._gaps.open else 0
        self.health = Health(camera=self._name, signs=signs, text=text, since=since, rung=climbing)

    async def _request_reset(self) -> None:
        """Have the power reset when the ladder has come to that, where it is configured."""
        reason, self._reset_due = self._reset_due, ""
        if reason and self._settings.reset:
            await self._ask_reset(reason)
