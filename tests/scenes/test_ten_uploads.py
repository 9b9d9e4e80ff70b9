"""Ten large files at once on a thin line, and an incident in the middle of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from edged.app.enqueue import enqueue
from edged.base.config import Rate
from edged.model import Lane, State
from edged.wire.receipt import Proof
from tests.scenes.stage import happen, running, settled, stage, until

if TYPE_CHECKING:
    from pathlib import Path

    from edged.app.world import World
    from tests.simloop import SimClock, Simulate

SIZE = 2_000_000
COUNT = 10
RATE = "2Mbit/s"
PARALLEL = 2
SCRIPTED = ("capture", "detect", "notices", "last resort")  # the scene plays camera and detector


class Sampler:
    """Looks ten times a second at how many uploads are under way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.most = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            under_way = self._world.outward.transfers.under_way()
            self.most = max(self.most, sum(each.delivery.lane is Lane.BULK for each in under_way))
            await asyncio.sleep(0.1)


def test_ten_large_uploads_at_once(simulate: Simulate, tmp_path: Path) -> None:
    """Ten files go two at a time at the rate allowed, no byte twice; an incident meanwhile waits for no other file."""

    async def scene(clock: SimClock) -> None:
        async with stage(tmp_path, clock) as ends:
            config = ends.config(push={"rate": RATE, "parallel": PARALLEL})
            async with running(config, clock, without=SCRIPTED) as world, contextlib.AsyncExitStack() as stack:
                sampler = Sampler(world)
                job = asyncio.create_task(sampler.run())
                stack.callback(job.cancel)
                began = clock.mono()
                await enqueue(world.outbox, world.spool, clock, world.destinations, {"files": files(tmp_path)})
                await until(lambda: len(world.outward.transfers.under_way()) == PARALLEL)
                await happen(world, "door")
                await until(lambda: len(ends.told()) == 1)
                assert [file.kind for file in await ends.arrived()].count("document") <= PARALLEL
                await settled(world, limit=300.0)
                took = clock.mono() - began
                deliveries = await world.outbox.deliveries(limit=100)
            arrived = await ends.arrived()
            assert {each.state for each in deliveries} == {State.DONE}
            assert {each.receipt.proof for each in deliveries if each.receipt} == {Proof.SIGNED}
            assert sorted(file.key for file in arrived) == sorted(each.key for each in deliveries if each.receipt)
            assert [file.size for file in arrived if file.kind == "document"] == [SIZE] * COUNT
            assert sampler.most == PARALLEL
            # what had begun went on; then came what is worth more than all the files that still waited
            assert {file.kind for file in arrived[: 2 * PARALLEL]} == {"document", "snapshot", "clip"}
            sent = world.outward.counters.sent
            assert sum(file.size for file in arrived) <= sent < 1.03 * sum(file.size for file in arrived)
            assert world.outward.counters.wasted == 0
            assert took == pytest.approx(SIZE * COUNT / Rate.parse(RATE), rel=0.05)

    simulate(scene)


def files(folder: Path) -> list[str]:
    """Write the files and return their paths."""
    made = [folder / f"survey-{number}.bin" for number in range(COUNT)]
    for path in made:
        path.write_bytes(os.urandom(SIZE))
    return [str(path) for path in made]
