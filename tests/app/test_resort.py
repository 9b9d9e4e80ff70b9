"""When no camera delivers for long: edged leaves for a new start, or asks for a reboot within its budget."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from edged.app.resort import LastResort
from edged.base.units import Duration
from edged.capture.settings import LastResortSettings
from tests.app.test_notices import Cameras
from tests.outbox.world import HandClock

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0


def resort(
    state: Path, cameras: Cameras, clock: HandClock, left: list[str], *, reboot: Path | None = None
) -> LastResort:
    """Return what looks at all cameras together, with the default figures."""
    settings = LastResortSettings(leave_after=Duration(HOUR), reboot=reboot, reboot_after=Duration(3 * HOUR))
    return LastResort(settings, clock, health=cameras, leave=left.append, ledger=state / "reboots.json")


async def test_edged_leaves_when_no_camera_came_back_for_an_hour(state_dir: Path) -> None:
    """Not a second sooner, and with the reason."""
    clock, cameras, left = HandClock(), Cameras(), list[str]()
    looking = resort(state_dir, cameras, clock, left)
    await looking.step()
    cameras.set("door", "gone")
    await looking.step()
    clock.at += HOUR - 1
    await looking.step()
    assert left == []
    clock.at += 1
    await looking.step()
    assert left == ["no camera delivers and opening them anew did not help"]


async def test_one_camera_that_delivers_keeps_edged(state_dir: Path) -> None:
    """Leaving would interrupt the healthy one."""
    clock, cameras, left = HandClock(), Cameras(), list[str]()
    looking = resort(state_dir, cameras, clock, left)
    await looking.step()
    cameras.set("yard", "gone")
    await looking.step()
    clock.at += 5 * HOUR
    await looking.step()
    assert left == []


async def test_a_camera_that_was_never_there_keeps_edged(state_dir: Path) -> None:
    """Otherwise it would make edged start anew for ever."""
    clock, cameras, left = HandClock(), Cameras(), list[str]()
    cameras.set("door", "never there")
    looking = resort(state_dir, cameras, clock, left)
    await looking.step()
    clock.at += 5 * HOUR
    await looking.step()
    assert left == []


async def test_a_reboot_is_asked_for_once_a_day(state_dir: Path) -> None:
    """The wish is a file; the ledger survives the reboot, so the next run asks no second time that day."""
    clock, cameras, left = HandClock(), Cameras(), list[str]()
    wish = state_dir / "reboot-please"
    cameras.set("door", "gone")
    looking = resort(state_dir, cameras, clock, left, reboot=wish)
    await looking.step()
    clock.at += 3 * HOUR
    await looking.step()
    assert wish.read_text() == "no camera delivers\n"
    assert json.loads((state_dir / "reboots.json").read_text()) == [clock.wall()]
    for run in range(1, 9):  # each three hours long: the eighth ends a day after the reboot
        wish.unlink()
        looking = resort(state_dir, cameras, clock, left, reboot=wish)
        await looking.step()
        clock.at += 3 * HOUR
        await looking.step()
        assert wish.exists() is (run == 8)
        wish.touch()
    assert left == []


@pytest.mark.parametrize("content", ["", "[", "{}", '["x"]', "7", "[null]"])
async def test_a_damaged_ledger_counts_as_none(state_dir: Path, content: str) -> None:
    """The budget of that day is then at most doubled; the box is not left without its last means."""
    (state_dir / "reboots.json").write_text(content)
    clock, cameras, wish = HandClock(), Cameras(), state_dir / "reboot-please"
    cameras.set("door", "gone")
    looking = resort(state_dir, cameras, clock, [], reboot=wish)
    await looking.step()
    clock.at += 3 * HOUR
    await looking.step()
    assert wish.exists()
