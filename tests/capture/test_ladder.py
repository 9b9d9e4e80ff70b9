from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edged.base.config import Duration
from edged.capture.ladder import Action, rung
from edged.capture.lastresort import Outlook, Resort, last_resort
from edged.capture.settings import LastResortSettings


def test_the_ladder_goes_slower_and_slower() -> None:
    """One second five times, then 5, 10, 20, 40, and a minute for ever."""
    assert [rung(failures).wait for failures in range(1, 13)] == [1, 1, 1, 1, 1, 5, 10, 20, 40, 60, 60, 60]


def test_the_hardware_is_reset_when_opening_anew_did_not_help_and_then_once_an_hour() -> None:
    """A reset is asked for after about a minute and a half, and again after every sixty further attempts."""
    resets = [failures for failures in range(1, 200) if rung(failures).action is Action.RESET]
    assert resets == [10, 70, 130, 190]


LEAVE = LastResortSettings(leave_after=Duration(100), reboot_after=Duration(300))
REBOOT = LastResortSettings(leave_after=Duration(100), reboot=Path("/run/x"), reboot_after=Duration(300))
OFTEN = replace(REBOOT, reboots_a_day=3)
NOW, WALL, DAY = 1000.0, 1_780_000_000.0, 86_400.0


@pytest.mark.parametrize(
    ("cameras", "settings", "reboots", "expected"),
    [
        ([], LEAVE, [], Resort.WAIT),
        ([(None, True)], LEAVE, [], Resort.WAIT),
        ([(NOW - 99, True)], LEAVE, [], Resort.WAIT),
        ([(NOW - 100, True)], LEAVE, [], Resort.LEAVE),
        ([(NOW - 100, False)], LEAVE, [], Resort.WAIT),
        ([(NOW - 900, True), (None, True)], REBOOT, [], Resort.WAIT),
        ([(NOW - 900, True), (NOW - 50, True)], REBOOT, [], Resort.WAIT),
        ([(NOW - 900, False), (NOW - 150, True)], REBOOT, [], Resort.LEAVE),
        ([(NOW - 900, False)], LEAVE, [], Resort.WAIT),
        ([(NOW - 900, False)], REBOOT, [], Resort.REBOOT),
        ([(NOW - 900, True)], REBOOT, [], Resort.REBOOT),
        ([(NOW - 900, False)], REBOOT, [WALL - DAY / 2], Resort.WAIT),
        ([(NOW - 900, True)], REBOOT, [WALL - DAY / 2], Resort.LEAVE),
        ([(NOW - 900, False)], REBOOT, [WALL - DAY], Resort.REBOOT),
        ([(NOW - 900, False)], OFTEN, [WALL - 299], Resort.WAIT),
        ([(NOW - 900, False)], OFTEN, [WALL - 300], Resort.REBOOT),
        ([(NOW - 900, False)], OFTEN, [WALL - 900, WALL - 600, WALL - 300], Resort.WAIT),
    ],
)
def test_the_last_resort_is_for_a_box_without_any_camera(
    cameras: list[tuple[float | None, bool]], settings: LastResortSettings, reboots: list[float], expected: Resort
) -> None:
    """One healthy camera keeps the box; a camera that was never there starts nothing anew; reboots have a budget."""
    outlooks = [Outlook(lost=lost, ever=ever) for lost, ever in cameras]
    assert last_resort(outlooks, settings, now=NOW, wall=WALL, reboots=reboots) is expected
