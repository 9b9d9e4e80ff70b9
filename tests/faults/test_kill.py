"""Device and receiver killed, hung, told to stop, sabotaged from within; the oracle judges what both ends hold then.

Incidents are recorded by hand: whether motion is seen depends on the time that a crowded machine has for it.
`./scripts/soak kill` does the same at random moments, hundreds of times.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

import pytest

from edged.base.errors import EdgedError
from scripts.soaks.rig import SABOTAGED, open_rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from scripts.soaks.oracle.judge import Finding
    from scripts.soaks.rig import Rig

pytestmark = pytest.mark.timeout(300)  # up to seven starts of real programs each: ten seconds, unless it is crowded

STILL = {
    "cameras": {
        "cam1": {
            "source": "synthetic",
            "size": "320x180",
            "rate": 10.0,
            "synthetic": {"walks": [], "lamps": []},
            "detect": {"merge": "1s", "post_roll": "500ms"},
        }
    }
}
# each is on the disk, or with its peer, when the log says so; what follows it is not
MOMENTS = ("fragment synced", "incident opened", "alert sent", "delivered", "clip sealed")


async def record(rig: Rig) -> None:
    """Have an incident begin, two seconds long, and be killed on the way or not."""
    with contextlib.suppress(EdgedError):
        await rig.record("cam1", 2.0)


@contextlib.asynccontextmanager
async def incident(rig: Rig, until: str) -> AsyncIterator[None]:
    """Begin an incident, and run the block as soon as the device's log says `until` once more."""
    await rig.watching()
    count = len(await rig.device.said(until)) + 1
    asking = asyncio.create_task(record(rig))
    await rig.device.says(until, count=count)
    yield
    await asking


async def breaches(rig: Rig) -> list[Finding]:
    """Let everything be delivered, stop both ends, and return what breaks the law; SMTP's own limit does not."""
    await rig.settle()
    verdict = await rig.judge()
    assert verdict.obligations > 0
    return [finding for finding in verdict.findings if finding.kind != "possible_duplicate"]


async def test_the_device_killed_at_each_step_of_an_incident(tmp_path: Path) -> None:
    """SIGKILL right after each thing that its log can say: it starts anew, and nothing is lost or there twice."""
    async with open_rig(tmp_path, device_table=STILL) as rig:
        await rig.start()
        for moment in MOMENTS:
            async with incident(rig, until=moment):
                rig.device.kill()
        starts = rig.device.starts
        await rig.device.until(lambda: rig.device.starts > starts)
        rig.device.kill()  # and once more, while it starts and salvages
        assert await breaches(rig) == []
        assert rig.device.exits[-signal.SIGKILL] == len(MOMENTS) + 1


async def test_the_receiver_killed_and_the_line_cut_while_clips_arrive(tmp_path: Path) -> None:
    """SIGKILL after a file was stored, the line cut in mid-file, answers lost: each clip is there once, and plays."""
    async with open_rig(tmp_path, device_table=STILL | {"outbox": {"delete_after_proof": True}}) as rig:
        await rig.start()
        async with incident(rig, until="incident opened"):
            await rig.receiver.says("file stored")
            rig.receiver.kill()
            await rig.receiver.ready()
        for number, cut in enumerate((700, 6_000), start=1):
            await rig.device.says("incident closed", count=number)  # else the recording would only prolong it
            async with incident(rig, until="incident opened"):
                rig.line.reset_after = rig.line.upstream + cut
                await rig.device.until(lambda: rig.line.reset_after is None)
                rig.receiver.kill()
                await rig.receiver.ready()
        await rig.device.says("incident closed", count=3)
        rig.line.lose_answer_at = rig.line.upstream + 1
        rig.mail_line.lose_answer_at = rig.mail_line.upstream + 1
        async with incident(rig, until="incident opened"):
            await rig.device.until(lambda: rig.line.lose_answer_at is None and rig.mail_line.lose_answer_at is None)
        assert await breaches(rig) == []


async def test_told_to_stop_once_twice_and_killed_on_the_way(tmp_path: Path) -> None:
    """In the middle of an incident: SIGTERM, SIGTERM twice, SIGKILL after SIGTERM; each time it starts anew."""
    async with open_rig(tmp_path, device_table=STILL) as rig:
        await rig.start()
        for number, then in enumerate((0, signal.SIGTERM, signal.SIGKILL), start=1):
            async with incident(rig, until="incident opened"):
                rig.device.send(signal.SIGTERM)
                await rig.device.says("edged stops", count=number)
                if then:
                    rig.device.send(then)
            await rig.device.ready()
        assert await breaches(rig) == []
        assert rig.device.starts == len(("first", "after term", "after twice", "after kill"))


async def test_a_wedged_loop_and_tasks_that_die_or_fall_silent(tmp_path: Path) -> None:
    """The watchdog ends a loop that no longer turns; a dead or silent task is started anew in the same process."""
    async with open_rig(tmp_path, device_table=STILL, device_command=SABOTAGED, watchdog=6.0) as rig:
        await rig.start()
        for how, task, told in (("die", "record cam1", "task failed"), ("silent", "detect cam1", "task silent")):
            rig.sabotage(how, task)
            await rig.device.says(told, task=task)
        async with incident(rig, until="incident opened"):
            rig.sabotage("wedge")
            await rig.device.until(lambda: rig.device.aborts > 0)
        await rig.device.ready()
        assert await breaches(rig) == []
