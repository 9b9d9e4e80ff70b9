from __future__ import annotations

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


LEAVE = LastResortSettings(leave_after=Duration(1000), reboot_after=Duration(3000))
REBOOT = LastResortSettings(leave_after=Duration(1000), reboot=True, reboot_after=Duration(3000))
NOW = 10_000.0


@pytest.mark.parametrize(
    ("cameras", "settings", "asked", "expected"),
    [
        ([], LEAVE, None, Resort.WAIT),
        ([(None, True)], LEAVE, None, Resort.WAIT),
        ([(NOW - 999, True)], LEAVE, None, Resort.WAIT),
        ([(NOW - 1000, True)], LEAVE, None, Resort.LEAVE),
        ([(NOW - 1000, False)], LEAVE, None, Resort.WAIT),
        ([(NOW - 9000, True), (None, True)], REBOOT, None, Resort.WAIT),
        ([(NOW - 9000, True), (None, False)], LEAVE, None, Resort.WAIT),
        ([(NOW - 9000, True), (NOW - 500, True)], REBOOT, None, Resort.WAIT),
        ([(NOW - 9000, False), (NOW - 1500, True)], REBOOT, None, Resort.LEAVE),
        ([(NOW - 9000, False)], LEAVE, None, Resort.WAIT),
        ([(NOW - 2999, False)], REBOOT, None, Resort.WAIT),
        ([(NOW - 3000, False)], REBOOT, None, Resort.REBOOT),
        ([(NOW - 3000, True)], REBOOT, None, Resort.REBOOT),
        ([(NOW - 9000, True)], REBOOT, NOW - 299, Resort.WAIT),  # it comes, or is refused
        ([(NOW - 9000, True)], REBOOT, NOW - 300, Resort.LEAVE),
        ([(NOW - 9000, False)], REBOOT, NOW - 2999, Resort.WAIT),
        ([(NOW - 9000, False)], REBOOT, NOW - 3000, Resort.REBOOT),
        ([(NOW - 2000, False)], REBOOT, NOW - 5000, Resort.WAIT),  # another outage than the one before
    ],
)
def test_the_last_resort_is_for_a_box_without_any_camera(
    cameras: list[tuple[float | None, bool]], settings: LastResortSettings, asked: float | None, expected: Resort
) -> None:
    """One healthy camera keeps the box; a camera that was never there starts nothing anew; a reboot takes its time."""
    outlooks = [Outlook(lost=lost, ever=ever) for lost, ever in cameras]
    assert last_resort(outlooks, settings, now=NOW, asked=asked) is expected
