"""Device and receiver killed, hung, told to stop, sabotaged from within; the oracle judges what both ends hold then.

`./scripts/soak kill` does the same at random moments, hundreds of times.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from scripts.soaks.rig import SABOTAGED, open_rig
from scripts.soaks.tables import cameras

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.soaks.oracle.judge import Finding
    from scripts.soaks.rig import Rig

pytestmark = pytest.mark.timeout(300)  # up to seven starts of real programs each: ten seconds, unless it is crowded

BUSY = {"cameras": cameras(2, every=4.5, walk=1.5)}
# each is on the disk, or with its peer, when the log says so; what follows it is not
MOMENTS = ("fragment synced", "incident opened", "alert sent", "delivered", "clip sealed")


async def breaches(rig: Rig) -> list[Finding]:
    """Let everything be delivered, stop both ends, and return what breaks the law; SMTP's own limit does not."""
    await rig.settle()
    verdict = await rig.judge()
    assert verdict.obligations > 0
    return [finding for finding in verdict.findings if finding.kind != "possible_duplicate"]


async def happens(rig: Rig, event: str) -> None:
    """Wait until the device's log says `event` once more than now."""
    await rig.device.says(event, count=len(await rig.device.said(event)) + 1)


async def test_the_device_killed_at_each_step_of_an_incident(tmp_path: Path) -> None:
    """SIGKILL right after each thing that its log can say: it starts anew, and nothing is lost or there twice."""
    async with open_rig(tmp_path, device_table=BUSY) as rig:
        await rig.start()
        for moment in MOMENTS:
            await happens(rig, moment)
            rig.device.kill()
            if moment == "incident opened":  # and once more, while it starts and salvages
                await rig.device.until(lambda: rig.device.starts == 3)
                rig.device.kill()
            await rig.device.ready()
        assert await breaches(rig) == []
        assert rig.device.exits[-signal.SIGKILL] == len(MOMENTS) + 1


async def test_the_receiver_killed_and_the_line_cut_while_clips_arrive(tmp_path: Path) -> None:
    """SIGKILL after a file was stored and while one comes in, answers lost: each clip is there once, and plays."""
    async with open_rig(tmp_path, device_table=BUSY | {"outbox": {"delete_after_proof": True}}) as rig:
        await rig.start()
        await rig.receiver.says("file stored")
        rig.receiver.kill()
        await rig.receiver.ready()
        for cut in (400, 2_000, 6_000):
            rig.line.reset_after = rig.line.upstream + cut
            await rig.device.until(lambda: rig.line.reset_after is None)
            rig.receiver.kill()
            await rig.receiver.ready()
        rig.line.lose_answer_at = rig.line.upstream + 1
        rig.mail_line.lose_answer_at = rig.mail_line.upstream + 1
        await rig.device.until(lambda: rig.line.lose_answer_at is None and rig.mail_line.lose_answer_at is None)
        assert await breaches(rig) == []


async def test_told_to_stop_once_twice_and_killed_on_the_way(tmp_path: Path) -> None:
    """In the middle of an incident: SIGTERM, SIGTERM twice, SIGKILL after SIGTERM; each time it starts anew."""
    async with open_rig(tmp_path, device_table=BUSY) as rig:
        await rig.start()
        for number, then in enumerate((0, signal.SIGTERM, signal.SIGKILL), start=1):
            await happens(rig, "incident opened")
            rig.device.send(signal.SIGTERM)
            if then:
                await rig.device.says("edged stops", count=number)
                rig.device.send(then)
            await rig.device.ready()
        assert await breaches(rig) == []
        assert sum(rig.device.exits.values()) == len(("term", "twice", "kill", "in order"))


async def test_a_wedged_loop_and_tasks_that_die_or_fall_silent(tmp_path: Path) -> None:
    """The watchdog ends a loop that no longer turns; a dead or silent task is started anew in the same process."""
    async with open_rig(tmp_path, device_table=BUSY, device_command=SABOTAGED, watchdog=5.0) as rig:
        await rig.start()
        for how, task, told in (
            ("die", "record cam1", "task failed"),
            ("silent", "detect cam2", "task silent"),
        ):
            rig.sabotage(how, task)
            await rig.device.says(told, task=task)
        assert rig.device.starts == 1
        await happens(rig, "incident opened")
        rig.sabotage("wedge")
        await rig.device.until(lambda: rig.device.aborts == 1)
        await rig.device.ready()
        assert await breaches(rig) == []
