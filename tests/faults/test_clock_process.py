"""The real program with a wall clock that stands in 1970, and is set while it runs."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edged.base.clock import SystemClock
from edged.supervise.control import CommandError
from scripts.soaks.oracle.places import opened, rows
from scripts.soaks.rig import open_rig
from scripts.soaks.tables import cameras

if TYPE_CHECKING:
    from scripts.soaks.rig import Rig

SOURCE = Path(__file__).with_name("wall.c")
QUERY = (
    "SELECT incidents.id, opened_wall, opened_synced, opened_mono, epoch"
    " FROM incidents JOIN boots ON opened_boot = boots.id ORDER BY seq"
)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """The wall clock that can be set, compiled."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is here: ./scripts/setup --tests installs one")
    made = tmp_path / "wall.so"
    subprocess.run((compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", made, SOURCE), check=True)
    return made


@pytest.mark.timeout(240)
async def test_the_program_in_1970_signs_delivers_and_corrects_itself(tmp_path: Path, library: Path) -> None:
    """What it recorded in 1970 is proven at the receiver; once its clock is set, the boot's epoch is, and no row."""
    wall = tmp_path / "wall"
    now = SystemClock().wall()
    wall.write_text(f"{60 - int(now)} 0")
    quiet = {"cameras": cameras(1, every=3600.0)}
    environment = {"LD_PRELOAD": str(library), "EDGED_TEST_WALL": str(wall)}
    async with open_rig(tmp_path / "rig", device_table=quiet, environment=environment) as rig:
        await rig.start()
        first = await recorded(rig)
        await rig.device.says("delivered", kind="clip", incident=first)
        await rig.device.says("incident closed", incident=first)  # until then a second recording would prolong it
        assert all(event["timestamp"].startswith("1970-01-01") for event in await rig.device.events())
        told = await looked(rig)
        assert [(row["id"], row["opened_synced"], row["epoch"]) for row in told] == [(first, 0, None)]
        assert told[0]["opened_wall"] < 3600

        wall.write_text("0 1")
        second = await recorded(rig)
        await rig.device.says("delivered", kind="clip", incident=second)
        async with asyncio.timeout(60):
            while (await looked(rig))[0]["epoch"] is None:
                await asyncio.sleep(0.2)
        early, late = await looked(rig)
        assert (early["opened_wall"], early["opened_synced"]) == (told[0]["opened_wall"], 0)
        assert now - 60 < early["epoch"] + early["opened_mono"] < late["opened_wall"] < SystemClock().wall()
        await rig.settle()
        verdict = await rig.judge()
    assert [finding for finding in verdict.findings if finding.kind != "possible_duplicate"] == []
    assert verdict.obligations >= 2


async def recorded(rig: Rig) -> str:
    """Record by hand as soon as the camera gives pictures; return the incident."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await rig.record("cam1", 2.0)
            except CommandError:  # the camera is only starting
                await asyncio.sleep(0.2)


async def looked(rig: Rig) -> list[dict[str, Any]]:
    """Return the device's incidents with what is known of their boot's clock."""

    def read() -> list[dict[str, Any]]:
        with opened(rig.device_state / "outbox.db") as connection:
            return rows(connection, QUERY)

    return await asyncio.to_thread(read)
