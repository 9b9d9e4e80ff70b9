"""The device killed in the middle of everything, twice."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from edged.base.clock import SystemClock
from edged.outbox.store import open_outbox
from edged.supervise.control import call
from tests.scenes.stage import check_proven, pictures, stage, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.scenes.stage import Stage

# a figure is in view from second 3 on for so long that the device is killed meanwhile
CAMERA = {
    "source": "synthetic",
    "size": "640x360",
    "quality": 12,
    "synthetic": {"period": "1h", "walks": [3.0], "walk": "30s", "lamps": []},
    "detect": {"merge": "2s", "post_roll": "1s"},
}
THIN = 400_000.0  # bytes a second
PIECE = 600_000  # bytes that have gone up when the device is killed; a clip part has some 2 million
HELD = 256_000  # bytes that the line may hold of two uploads: they were on their way and come too late


class Program:
    """`edged run` as a process, with the events of its log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.events.append(json.loads(line))

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return what the log has of `event`."""
        return [each for each in self.events if each["event"] == event]

    async def end(self) -> int:
        """Wait for its end and return the exit code."""
        async with asyncio.timeout(30):
            await self._reading
            return await self.process.wait()


@asynccontextmanager
async def program(config: Path) -> AsyncIterator[Program]:
    """Run the device; what still runs at the end is killed."""
    command = "from edged.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", command, "run", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
        limit=1024 * 1024,
    )
    running = Program(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await running.end()


def toml(value: object) -> str:
    """Return `value` as TOML has it within a line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)} = {toml(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value)


class Intake:
    """What the receiver has of clips that are not yet whole; `upload` is the one that was first seen."""

    def __init__(self, ends: Stage) -> None:
        self._ends = ends
        self._seen: dict[str, int] = {}  # upload -> bytes that had gone up when it was first seen

    async def flows(self) -> bool:
        """Return whether a clip's bytes are going up and it is not yet whole."""
        begun = [each.id for each in await self._ends.receiver.world.store.uploads() if each.manifest.kind == "clip"]
        gone = self._ends.line.upstream
        self._seen = {upload: self._seen.get(upload, gone) for upload in begun}
        return any(gone - since > PIECE for since in self._seen.values())

    async def kept(self) -> bool:
        """Return whether a part of a clip has been kept."""
        vault = self._ends.receiver.world.vault
        return any(vault.length(upload) for upload in self._seen)


async def kill_in_the_middle(ends: Stage, config: Path) -> str:
    """Run the device until an incident is being recorded and a clip is half sent, kill it; return the incident's id."""
    intake = Intake(ends)
    async with program(config) as device:
        await until(lambda: bool(device.said("clip sealed")))
        await until(intake.flows)
        (opened,) = device.said("incident opened")
        assert device.said("incident closed") == []
        device.process.kill()
    await until(intake.kept)
    return str(opened["incident"])


@pytest.mark.timeout(180)
async def test_a_restart_in_the_middle_of_everything(tmp_path: Path) -> None:
    """Killed while it records and sends, started, killed again, started: nothing is lost, and nothing comes twice."""
    clock = SystemClock()
    async with stage(tmp_path, clock) as ends:
        tables = ends.tables(
            cameras={"door": CAMERA}, alerts={"cooldown": "0s"}, record={"part": "2s"}, log={"style": "json"}
        )
        config = tmp_path / "edged.toml"
        config.write_text("".join(f"{name} = {toml(table)}\n" for name, table in tables.items()))
        ends.line.rate = THIN
        killed = [await kill_in_the_middle(ends, config) for _ in range(2)]
        ends.line.rate = None
        state = tmp_path / "device"
        async with program(config) as device:
            await until(lambda: bool(device.said("edged runs")))
            drained = await call(state / "control.sock", "drain", {"wait": 40.0}, timeout=60.0)
            assert drained == {"empty": True, "waiting": 0}
            device.process.terminate()
            assert await device.end() == 0
        outbox = await open_outbox(state / "outbox.db", clock)
        incidents = {incident.id: incident for incident in await outbox.incidents()}
        clips = await check_proven(ends, outbox)
        await outbox.close()
        assert incidents.keys() >= set(killed)
        for name in killed:
            assert incidents[name].recovered
            assert incidents[name].closed is not None
            parts = clips[name]
            assert [clip.part for clip in parts] == list(range(1, len(parts) + 1))
            assert all(pictures(clip.path) for clip in parts)
        assert Counter(incident for told in ends.told() for incident in told.incidents) == Counter(list(incidents))
        assert len({told.message_id for told in ends.told()}) == len(incidents)
        # each kill may cost what was on its way, not what had arrived
        assert ends.line.upstream < sum(file.size for file in await ends.arrived()) + 2 * HELD
