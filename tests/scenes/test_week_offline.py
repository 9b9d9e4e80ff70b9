"""A week offline with fifty incidents a day, and then the line is back."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import psutil
import pytest

from edged.base.pulse import Pulse
from tests.scenes.stage import check_proven, happen, sending, settled, stage, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edged.app.world import World
    from edged.receiver.store import StoredFile
    from tests.scenes.stage import Stage
    from tests.simloop import SimClock, Simulate

DAY = 86400.0
DAYS, A_DAY = 7, 50
LEVELS = (20, 40, 60, 80, 100)  # darkest greys of the clips: several are equal, most are not
LIVED = 20.0  # seconds lived through after each incident; the same looks at a dead line, over and over, are passed over
ROW = 6000  # bytes of the database that an incident may take with its files and deliveries


@dataclass(frozen=True, kw_only=True, slots=True)
class Burden:
    """What the outage costs the device."""

    tasks: int
    resident: int  # bytes
    database: int  # bytes

    @classmethod
    def of(cls, world: World) -> Burden:
        """Weigh it now."""
        files = (world.spool.database, world.spool.database.with_name("outbox.db-wal"))
        return cls(
            tasks=len(asyncio.all_tasks()),
            resident=psutil.Process().memory_info().rss,
            database=sum(path.stat().st_size for path in files),
        )


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory: what thousands of syncs cost on the disk of a busy machine is not this scene's matter."""
    with TemporaryDirectory(dir="/dev/shm", prefix="edged-scene-") as name:
        yield Path(name)


async def live(world: World, clock: SimClock, days: int, rng: Random) -> None:
    """Let `days` pass with their incidents, each recorded to its end."""
    recorder = world.eyes["door"].recorder
    for _ in range(days * A_DAY):
        next_one = clock.mono() + DAY / A_DAY
        job = asyncio.create_task(recorder.run(Pulse("record", 60.0, clock)))
        await happen(world, "door", lasts=rng.choice((1.0, 2.0, 3.0)), level=rng.choice(LEVELS))
        await until(lambda: recorder.incident is None and not recorder.waiting)
        job.cancel()
        await asyncio.wait([job])
        await asyncio.sleep(LIVED)
        clock.loop.restart_time(next_one)


async def come_back(ends: Stage, world: World) -> None:
    """Let the line return and wait for it to be used; every mail is out before the first clip has gone up."""
    assert (ends.told(), await ends.arrived()) == ([], [])
    ends.line.refuse = ends.post.refuse = False
    link = world.outward.link
    assert link is not None
    assert not link.usable
    await until(lambda: link.usable, limit=61.0)
    await until(lambda: len(ends.told()) == DAYS)
    assert "clip" not in {file.kind for file in await ends.arrived()}
    await settled(world, limit=DAY)


def check_order(arrived: Sequence[StoredFile], opened: Sequence[str]) -> None:
    """Snapshots came before clips, and of each kind the oldest first; a long one is overtaken by the few beside it."""
    kinds = [file.kind for file in arrived]
    assert kinds.index("clip") >= kinds.count("snapshot") - 1
    for kind in ("snapshot", "clip"):
        places = [opened.index(str(file.incident)) for file in arrived if file.kind == kind]
        assert max(abs(place - expected) for expected, place in enumerate(places)) <= 3


@pytest.mark.timeout(300)
def test_a_week_offline(simulate: Simulate, memory: Path) -> None:
    """350 incidents wait for a week at a bounded cost; then each arrives once, in order of value, and is told once."""

    async def scene(clock: SimClock) -> None:
        async with stage(memory, clock) as ends:
            ends.line.refuse = ends.post.refuse = True
            async with sending(ends.config(push={"rate": "1Mbit/s"}), clock) as world:
                rng = Random(5)
                await live(world, clock, 1, rng)
                first = Burden.of(world)
                await live(world, clock, DAYS - 1, rng)
                whole = Burden.of(world)
                assert await world.outbox.count_losses() == 0
                await come_back(ends, world)
                incidents = [incident.id for incident in await world.outbox.incidents(1000)][::-1]
                clips = await check_proven(ends, world.outbox)
                assert world.outward.counters.wasted == 0
            assert len(incidents) == DAYS * A_DAY
            assert {len(parts) for parts in clips.values()} == {1}
            check_order(await ends.arrived(), incidents)
            told = ends.told()
            assert Counter(incident for mail in told for incident in mail.incidents) == Counter(incidents)
            assert {mail.kind for mail in told} == {"digest"}
            assert len({mail.message_id for mail in told}) == DAYS
            assert whole.tasks <= first.tasks
            assert whole.database - first.database < ROW * (DAYS - 1) * A_DAY
            assert whole.resident - first.resident < 20_000_000

    simulate(scene)
