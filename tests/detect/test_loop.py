"""The loop of one camera: frames in, transitions out, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edged.base.config import Duration
from edged.base.pulse import Pulse
from edged.detect.loop import DetectLoop
from edged.detect.settings import DetectSettings
from edged.model import Event, EventKind, IncidentKind
from tests.detect.drawn import Square, frames

if TYPE_CHECKING:
    from edged.base.clock import Clock
    from edged.model import Frame
    from tests.simloop import Simulate

CROSSING = Square(start=-36, end=320, begins=3.0, ends=6.0)


class Stage:
    """A loop with a queue of frames and a list of what it told."""

    def __init__(self, clock: Clock, settings: DetectSettings | None = None) -> None:
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.told: list[Event] = []
        self.clock = clock
        self.loop = DetectLoop("yard", settings or DetectSettings(), clock, self.frames, self.tell)

    async def tell(self, event: Event) -> None:
        """Take a transition."""
        self.told.append(event)

    async def play(self, *, until: float = 8.0) -> None:
        """Give the frames of a crossing at their times, and let the loop take each."""
        for frame in frames(until, CROSSING, start=self.clock.mono()):
            await asyncio.sleep(frame.mono - self.clock.mono())
            self.frames.put_nowait(frame)
            await self.loop.step()

    def kinds(self) -> list[EventKind]:
        """Return the openings and ends told."""
        return [event.kind for event in self.told if event.kind is not EventKind.EXTENDED]


def test_a_crossing_is_told_from_opening_to_end(simulate: Simulate) -> None:
    """The incident opens while the thing is in the view, and time alone closes it when no frame comes any more."""

    async def scene(clock: Clock) -> None:
        stage = Stage(clock)
        start = clock.mono()
        await stage.play()
        assert stage.kinds() == [EventKind.OPENED]
        assert start + 3.0 <= stage.told[0].mono <= start + 4.0
        assert stage.loop.frames == 64
        assert stage.loop.ms_per_frame > 0.0
        assert stage.loop.last is not None
        for _ in range(10):  # no frames: each step is a second
            await stage.loop.step()
        assert stage.kinds() == [EventKind.OPENED, EventKind.CLOSED]
        assert start + 5.0 <= stage.told[-1].mono <= start + 6.6
        await stage.loop.stop()

    simulate(scene)


def test_the_pulse_beats_without_frames(simulate: Simulate) -> None:
    """A dead camera is no reason to restart detection."""

    async def scene(clock: Clock) -> None:
        stage = Stage(clock)
        pulse = Pulse("detect", 30.0, clock)
        task = asyncio.create_task(stage.loop.run(pulse))
        await asyncio.sleep(20.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert 19 <= pulse.beats <= 20
        await stage.loop.stop()

    simulate(scene)


def test_a_stop_closes_what_is_open(simulate: Simulate) -> None:
    """At a stop the incident ends at its last motion."""

    async def scene(clock: Clock) -> None:
        stage = Stage(clock)
        await stage.play(until=5.0)
        assert stage.kinds() == [EventKind.OPENED]
        await stage.loop.stop()
        assert stage.kinds() == [EventKind.OPENED, EventKind.CLOSED]
        assert stage.told[-1].mono <= clock.mono()

    simulate(scene)


def test_a_person_starts_an_incident_also_where_detection_is_off(simulate: Simulate) -> None:
    """With `enabled = false` motion makes no incident, and an order still does."""

    async def scene(clock: Clock) -> None:
        stage = Stage(clock, DetectSettings(enabled=False, merge=Duration(2)))
        await stage.play()
        assert (stage.told, stage.loop.frames) == ([], 0)
        name = await stage.loop.start_manual(5.0)
        assert [(event.incident, event.cause) for event in stage.told] == [(name, IncidentKind.MANUAL)]
        await stage.play()
        assert stage.kinds() == [EventKind.OPENED, EventKind.CLOSED]
        await stage.loop.stop()

    simulate(scene)
