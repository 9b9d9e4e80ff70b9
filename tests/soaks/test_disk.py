"""A device that does not own up to what a full disk cost is caught; one that does is not."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from edged.base.config import Duration
from edged.model import EventKind
from edged.record.settings import RecordSettings
from scripts.soaks.oracle import device
from scripts.soaks.oracle.coverage import judge_coverage
from tests.disks import can_mount, small_disk
from tests.record.footage import packets
from tests.record.stage import INCIDENT, stage
from tests.simloop import START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.record.stage import Stage
    from tests.simloop import SimClock, Simulate

BEGIN = START + 1.0
SETTINGS = RecordSettings(part=Duration(4), pause_after_error=Duration(2))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB that really fills up."""
    if not can_mount:
        pytest.skip("mounting a disk needs root")
    with small_disk(tmp_path / "disk") as mount:
        yield mount


async def incident_on_a_disk_that_fills(on: Stage, disk: Path) -> None:
    """Let an incident of 20 s happen; its disk is full from the 5th second to the 11th."""
    playing = asyncio.ensure_future(on.play(packets(seconds=26, start=BEGIN)))
    await on.until(BEGIN + 2.5)
    await on.emit(EventKind.OPENED, BEGIN + 2.0)
    await on.until(BEGIN + 7.0)
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize)
    await on.until(BEGIN + 13.0)
    filler.unlink()
    await on.until(BEGIN + 23.0)
    await on.emit(EventKind.CLOSED, BEGIN + 22.0, keep_until=BEGIN + 24.0)
    await playing
    await asyncio.sleep(1.0)


def test_the_ledger_is_held_to_every_missing_second(simulate: Simulate, disk: Path) -> None:
    """What the disk did not take is in the ledger, to the second; without an entry, or with less, it is lost."""
    state, stages = disk / "state", list["Stage"]()

    async def scene(clock: SimClock) -> None:
        def has_room() -> bool:
            return not stages[0].outbox.ballast.given_up

        async with stage(clock, state, settings=SETTINGS, has_room=has_room) as on:
            stages.append(on)
            await incident_on_a_disk_that_fills(on, disk)
            clips = await on.outbox.clips_of(INCIDENT)
            assert sum(clip.seconds for clip in clips) < 19.0
            assert await on.outbox.count_losses() > 0

    simulate(scene)
    assert judge_coverage(device.look(state)) == []
    assert tampered(state, "UPDATE losses SET reason = '0.1 s of the clip: ' WHERE what = 'seconds'") == ["lost"]
    assert tampered(state, "DELETE FROM losses") == ["lost"]


def tampered(state: Path, change: str) -> list[str]:
    """Return the kinds of findings after a change of the device's rows."""
    with sqlite3.connect(state / "outbox.db") as connection:
        connection.execute(change)
    connection.close()
    return [finding.kind for finding in judge_coverage(device.look(state))]
