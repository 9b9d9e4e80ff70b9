"""The time in which edged did not run is a gap of each camera, from its last picture to its first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from edged.app.presence import ENDED, STOPPED, Presence, runtime_directory
from edged.base.clock import Stamp
from edged.base.pulse import Pulse
from edged.model import Gap, Health, Sign
from edged.outbox.store import open_outbox
from tests.app.home import config, living, until
from tests.outbox.world import HandClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.outbox.store import Outbox
    from tests.simloop import SimClock, Simulate


@pytest.fixture
def clock() -> HandClock:
    """A clock that a test sets."""
    return HandClock()


@pytest.fixture
async def outbox(state_dir: Path, clock: HandClock) -> AsyncIterator[Outbox]:
    """An outbox."""
    made = await open_outbox(state_dir / "outbox.db", clock)
    yield made
    await made.close()


class Life:
    """One run of edged with cameras as a test wants them; `picture` is when their newest picture came."""

    def __init__(self, outbox: Outbox, clock: HandClock, state: Path, *cameras: str, runtime: bool = True) -> None:
        self.clock = clock
        self.state: dict[str, Health] = {}
        self.pictures: dict[str, float] = {}
        for camera in cameras or ("door",):
            self.ill(camera, rung=0)
        memory = state / "run"
        memory.mkdir(exist_ok=True)
        self.presence = Presence(
            outbox,
            clock,
            health=lambda: self.state,
            pictures=lambda: self.pictures,
            state=state,
            runtime=memory if runtime else None,
        )

    def well(self, camera: str = "door") -> None:
        """Let a camera deliver since now."""
        self.state[camera] = Health(camera=camera, signs=frozenset(), text="", since=self.clock.mono(), rung=0)
        self.pictures[camera] = self.clock.mono()

    def ill(self, camera: str = "door", *, rung: int = 1) -> None:
        """Let a camera give no pictures."""
        signs = frozenset({Sign.NO_FRAMES})
        self.state[camera] = Health(camera=camera, signs=signs, text="", since=self.clock.mono(), rung=rung)

    async def see(self, seconds: int = 3) -> None:
        """Watch cameras that deliver for so many seconds."""
        for _ in range(seconds):
            self.clock.at += 1.0
            self.pictures |= {name: self.clock.mono() for name, state in self.state.items() if state.delivering}
            await self.presence.step()

    async def start(self) -> None:
        """Begin, and look once before any camera is there."""
        await self.presence.begin()
        await self.presence.step()


async def gaps(outbox: Outbox) -> list[tuple[str, float, float | None, str]]:
    """Return the ledger, oldest first: camera, start and end (mono), reason."""
    found = [entry.gap for entry in reversed(await outbox.gaps())]
    return [(gap.camera, gap.start.mono, None if gap.end is None else gap.end.mono, gap.reason) for gap in found]


async def test_a_first_start_misses_nothing(outbox: Outbox, clock: HandClock, state_dir: Path) -> None:
    """Before it there was nobody to watch."""
    life = Life(outbox, clock, state_dir)
    await life.start()
    life.well()
    await life.see()
    assert await gaps(outbox) == []


def test_it_looks_often_until_it_has_met_each_camera(state_dir: Path, simulate: Simulate) -> None:
    """A run that is killed within its first second has seen its camera, too; after that once a second is enough."""

    async def scene(clock: SimClock) -> list[float]:
        outbox = await open_outbox(state_dir / "outbox.db", clock)
        looks: list[float] = []
        state = Health(camera="door", signs=frozenset({Sign.NO_FRAMES}), text="", since=0.0, rung=0)

        def health() -> dict[str, Health]:
            delivering = clock.mono() - began >= 0.3
            return {"door": replace(state, signs=frozenset()) if delivering else state}

        def pictures() -> dict[str, float]:
            looks.append(round(clock.mono() - began, 1))
            return {}

        began = clock.mono()
        presence = Presence(outbox, clock, health=health, pictures=pictures, state=state_dir, runtime=None)
        watching = asyncio.create_task(presence.run(Pulse("presence", 60.0, clock)))
        await asyncio.sleep(2.5)
        watching.cancel()
        await asyncio.wait((watching,))
        await outbox.close()
        return looks

    assert simulate(scene) == [0.0, 0.2, 0.4, 1.4, 2.4]


async def test_a_crash_is_a_gap_to_the_second(outbox: Outbox, clock: HandClock, state_dir: Path) -> None:
    """From the last picture that the runtime directory tells to the first one of the next run."""
    life = Life(outbox, clock, state_dir)
    await life.start()
    life.well()
    await life.see(10)
    last = clock.mono()
    clock.at += 100.0
    again = Life(outbox, clock, state_dir)
    await again.start()
    assert await gaps(outbox) == [("door", last, None, ENDED)]
    clock.at += 2.0
    again.well()
    first = clock.mono()
    await again.see()
    assert await gaps(outbox) == [("door", last, first, ENDED)]


async def test_a_stop_right_after_the_start_enters_the_gap_of_each_camera(
    outbox: Outbox, clock: HandClock, state_dir: Path
) -> None:
    """The first look is still at work when the stop comes: neither takes a gap from the other."""
    cameras = ("door", "gate", "yard")
    life = Life(outbox, clock, state_dir, *cameras)
    await life.start()
    for camera in cameras:
        life.well(camera)
    await life.see()
    last = clock.mono()
    clock.at += 100.0
    again = Life(outbox, clock, state_dir, *cameras)
    await again.presence.begin()
    await asyncio.gather(again.presence.step(), again.presence.stop())
    assert sorted(await gaps(outbox)) == [(camera, last, None, ENDED) for camera in cameras]


async def test_after_a_loss_of_power_it_begins_up_to_a_minute_too_early(
    outbox: Outbox, clock: HandClock, state_dir: Path
) -> None:
    """The runtime directory is gone with the memory; the disk has a note that is less than a minute old."""
    life = Life(outbox, clock, state_dir)
    await life.start()
    life.well()
    await life.see(100)
    last = clock.mono()
    (state_dir / "run" / "seen.json").unlink()
    again = Life(outbox, clock, state_dir)
    await again.start()
    ((_, start, _, _),) = await gaps(outbox)
    assert last - 60.0 <= start <= last


async def test_the_note_of_an_earlier_version_counts_until_there_is_a_new_one(
    outbox: Outbox, clock: HandClock, state_dir: Path
) -> None:
    """An upgrade in which the power went is a gap, too; the earlier version's file does not stay for ever."""
    seen = Stamp(wall=clock.wall(), mono=clock.mono(), boot=clock.boot(), synced=True)
    (state_dir / "seen.json").write_bytes(msgspec.json.encode({"cameras": {"door": seen}, "stopped": True}))
    clock.at += 10.0
    life = Life(outbox, clock, state_dir)
    await life.start()
    assert await gaps(outbox) == [("door", seen.mono, None, STOPPED)]
    life.well()
    await life.see()
    assert sorted(path.name for path in state_dir.glob("seen.*")) == ["seen.note"]


async def test_a_stop_is_told_as_one(outbox: Outbox, clock: HandClock, state_dir: Path) -> None:
    """Whoever stopped it reads that, without a runtime directory, too; what a camera missed before is its own gap."""
    life = Life(outbox, clock, state_dir, "door", "yard", runtime=False)
    await life.start()
    life.well("door")
    life.well("yard")
    await life.see(5)
    life.ill("yard")
    await life.see(20)
    stopped = clock.mono()
    await life.presence.stop()
    clock.at += 50.0
    again = Life(outbox, clock, state_dir, "door", "yard", runtime=False)
    await again.start()
    assert sorted(await gaps(outbox)) == [("door", stopped, None, STOPPED), ("yard", stopped, None, STOPPED)]


async def test_stopped_before_it_looked_once(outbox: Outbox, clock: HandClock, state_dir: Path) -> None:
    """A stop right after a start that follows a crash: the time since the crash is not forgotten, and entered once."""
    life = Life(outbox, clock, state_dir, "door", "yard")
    await life.start()
    life.well("door")
    life.well("yard")
    await life.see()
    last = clock.mono()
    clock.at += 10.0
    again = Life(outbox, clock, state_dir, "door", "yard")
    await again.presence.begin()
    seen = Stamp(wall=last + clock.ahead, mono=last, boot=clock.boot(), synced=True)
    await outbox.open_gap(Gap(camera="yard", start=seen, end=None, reason=ENDED))  # by a step that was cancelled then
    await again.presence.stop()
    clock.at += 10.0
    await Life(outbox, clock, state_dir, "door", "yard").start()
    assert sorted(await gaps(outbox)) == [("door", last, None, ENDED), ("yard", last, None, ENDED)]


async def test_stopped_before_it_looked_again(outbox: Outbox, clock: HandClock, state_dir: Path) -> None:
    """The camera came up and the stop came before the next look: the gap has ended, and another one begins."""
    life = Life(outbox, clock, state_dir)
    await life.start()
    life.well()
    await life.see()
    last = clock.mono()
    clock.at += 10.0
    again = Life(outbox, clock, state_dir)
    await again.start()
    again.well()
    stopped = clock.mono()
    await again.presence.stop()
    await Life(outbox, clock, state_dir).start()
    assert await gaps(outbox) == [("door", last, stopped, ENDED), ("door", stopped, None, STOPPED)]


async def test_crash_after_crash_is_one_gap(outbox: Outbox, clock: HandClock, state_dir: Path) -> None:
    """Killed before the camera came up: the gap goes on, and is entered once."""
    life = Life(outbox, clock, state_dir)
    await life.start()
    life.well()
    await life.see()
    last = clock.mono()
    for _ in range(3):
        clock.at += 5.0
        await Life(outbox, clock, state_dir).start()
    clock.at += 5.0
    again = Life(outbox, clock, state_dir)
    await again.start()
    again.well()
    first = clock.mono()
    await again.see()
    assert await gaps(outbox) == [("door", last, first, ENDED)]


async def test_a_camera_that_stays_ill_has_a_gap_of_its_own_from_the_start_on(
    outbox: Outbox, clock: HandClock, state_dir: Path
) -> None:
    """What the recovery ladder has begun to count is not counted twice."""
    life = Life(outbox, clock, state_dir)
    await life.start()
    life.well()
    await life.see()
    last = clock.mono()
    clock.at += 30.0
    started = clock.mono()
    again = Life(outbox, clock, state_dir)
    await again.start()
    again.ill()
    await again.see()
    assert await gaps(outbox) == [("door", last, started, ENDED)]


async def test_a_camera_that_is_no_longer_there(outbox: Outbox, clock: HandClock, state_dir: Path) -> None:
    """A gap left open by a camera that was taken out ends with the start, and no other begins."""
    life = Life(outbox, clock, state_dir, "door", "yard")
    await life.start()
    life.well("door")
    life.well("yard")
    await life.see()
    last = clock.mono()
    clock.at += 10.0
    await Life(outbox, clock, state_dir, "door", "yard").start()
    clock.at += 10.0
    started = clock.mono()
    again = Life(outbox, clock, state_dir, "door")
    await again.start()
    assert sorted(await gaps(outbox), key=str) == [("door", last, None, ENDED), ("yard", last, started, ENDED)]


async def test_a_camera_that_was_taken_out_is_not_missed(outbox: Outbox, clock: HandClock, state_dir: Path) -> None:
    """The last run saw two cameras, this one has one of them."""
    life = Life(outbox, clock, state_dir, "door", "yard")
    await life.start()
    life.well("door")
    life.well("yard")
    await life.see()
    await Life(outbox, clock, state_dir, "door").start()
    assert [camera for camera, *_ in await gaps(outbox)] == ["door"]


async def test_all_that_a_crash_left_open_ends_with_the_first_picture(
    outbox: Outbox, clock: HandClock, state_dir: Path
) -> None:
    """An outage of the camera and the time since an earlier crash were both open when the next one came."""
    life = Life(outbox, clock, state_dir)
    await life.start()
    life.well()
    await life.see()
    started = clock.mono()
    for reason in ("hangs", "frozen"):
        start = Stamp(wall=clock.wall(), mono=started, boot=clock.boot(), synced=True)
        await outbox.open_gap(Gap(camera="door", start=start, end=None, reason=reason))
    clock.at += 10.0
    again = Life(outbox, clock, state_dir)
    await again.start()
    again.well()
    first = clock.mono()
    await again.see()
    assert await gaps(outbox) == [("door", started, first, "hangs"), ("door", started, first, "frozen")]


@pytest.mark.parametrize("content", [b"", b"{", b'{"cameras": {"door": 7}}', b"\xff"])
async def test_a_torn_note_enters_nothing(outbox: Outbox, clock: HandClock, state_dir: Path, content: bytes) -> None:
    """A gap that nobody knows the beginning of would be a wrong one; the older note on the disk is asked next."""
    life = Life(outbox, clock, state_dir)
    (state_dir / "run" / "seen.json").write_bytes(content)
    await life.start()
    assert await gaps(outbox) == []


async def test_a_disk_that_refuses_the_note_stops_nothing(outbox: Outbox, clock: HandClock, state_dir: Path) -> None:
    """One of the two notes can't be written: the other is, and that one is tried again a minute later."""
    life = Life(outbox, clock, state_dir)
    await life.start()
    life.well()
    (state_dir / "run").rename(state_dir / "away")
    await life.see()
    assert (state_dir / "seen.note").exists()
    (state_dir / "away").rename(state_dir / "run")
    await life.see(30)
    assert not (state_dir / "run" / "seen.json").exists()
    await life.see(30)
    assert (state_dir / "run" / "seen.json").exists()


async def test_the_whole_device(state_dir: Path) -> None:
    """A device that was stopped and started again has the time between in its ledger, ended."""
    async with living(config(state_dir)) as world:
        await until(lambda: bool(world.pictures()))
    async with living(config(state_dir)) as world:
        stopped = world.clock.mono()

        async def ended() -> bool:
            return any(entry.gap.end is not None for entry in await world.outbox.gaps())

        await until(ended)
        ((entry),) = await world.outbox.gaps()
        assert entry.gap.reason == STOPPED
        assert entry.gap.end is not None
        assert entry.gap.start.mono < stopped < entry.gap.end.mono


@pytest.mark.parametrize(("named", "expected"), [("", None), ("/run/edged", "/run/edged"), ("/run/a:/run/b", "/run/a")])
def test_the_first_directory_of_the_service_counts(
    monkeypatch: pytest.MonkeyPatch, named: str, expected: str | None
) -> None:
    """systemd.exec(5): the directories that the unit names, separated by colons."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", named)
    found = runtime_directory()
    assert (None if found is None else str(found)) == expected
