"""Watches one camera: frames in, transitions out. The analysis runs on a thread; OpenCV lets go of the GIL there."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import thread_time
from typing import TYPE_CHECKING, Protocol

import cv2

from edged.detect.incident import IncidentMachine
from edged.detect.motion import MotionDetector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edged.base.clock import Clock
    from edged.base.pulse import Pulse
    from edged.detect.settings import DetectSettings
    from edged.model import Event, Frame, Motion

_TICK = 1.0  # seconds without a frame, then time alone moves the machine
_SHARE = 0.05  # of the newest frame in the mean of the time per frame


class Frames(Protocol):
    """Where frames come from."""

    async def get(self) -> Frame:
        """Wait for the next frame."""
        ...


class DetectLoop:
    """One camera's detector. `emit` takes the transitions, in order."""

    def __init__(
        self,
        camera: str,
        settings: DetectSettings,
        clock: Clock,
        frames: Frames,
        emit: Callable[[Event], Awaitable[None]],
    ) -> None:
        self.frames = 0  # analysed since the start
        self.ms_per_frame = 0.0  # of CPU, running mean
        self.last: Motion | None = None
        self._settings = settings
        self._next: DetectSettings | None = None  # to be taken between two frames
        self._clock = clock
        self._source = frames
        self._emit = emit
        self._machine = IncidentMachine(camera, settings)
        self._detector = MotionDetector(settings)
        cv2.setNumThreads(1)  # on pictures this small OpenCV's own threads cost more than they save
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"detect-{camera}")

    def adopt(self, settings: DetectSettings) -> None:
        """Watch by other settings from the next frame on; an incident that is open goes on by those it began with."""
        self._next = settings

    async def run(self, pulse: Pulse) -> None:
        """Watch until cancelled."""
        while True:
            await self.step()
            pulse.beat()

    async def step(self) -> None:
        """Analyse the next frame; without one for a second, let time alone move the machine."""
        try:
            async with asyncio.timeout(_TICK):
                frame = await self._source.get()
        except TimeoutError:
            self._change()
            await self._tell(self._machine.tick(self._clock.mono()))
            return
        self._change()
        if not self._settings.enabled:
            await self._tell(self._machine.tick(frame.mono))
            return
        self.last = await asyncio.get_running_loop().run_in_executor(self._thread, self._judge, frame)
        await self._tell(self._machine.feed(self.last))

    def _change(self) -> None:
        if self._next is not None:  # the detector's thread is at rest here
            self._settings, self._next = self._next, None
            self._detector.adopt(self._settings)
            self._machine.adopt(self._settings)

    async def start_manual(self, seconds: float) -> str:
        """Keep an incident open for `seconds` by a person's order; return its id."""
        incident, events = self._machine.start_manual(self._clock.mono(), seconds)
        await self._tell(events)
        return incident

    async def stop(self) -> None:
        """Close what is open: from here on nobody watches."""
        await self._tell(self._machine.close(self._clock.mono()))
        self._thread.shutdown(wait=False)

    async def _tell(self, events: tuple[Event, ...]) -> None:
        for event in events:
            await self._emit(event)

    def _judge(self, frame: Frame) -> Motion:
        started = thread_time()
        motion = self._detector.feed(frame)
        spent = (thread_time() - started) * 1000
        self.frames += 1
        self.ms_per_frame += (_SHARE if self.frames > 1 else 1.0) * (spent - self.ms_per_frame)
        return motion
