"""What is left when no camera delivers and opening them anew does not help: start edged anew, or the machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from edged.capture.settings import LastResortSettings

_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """How one camera stands: without pictures since `lost` (mono; None: it delivers), `ever` delivered in this run."""

    lost: float | None
    ever: bool


class Resort(StrEnum):
    """What to do."""

    WAIT = "wait"
    LEAVE = "leave"
    REBOOT = "reboot"


def last_resort(
    cameras: Collection[Outlook],
    settings: LastResortSettings,
    *,
    now: float,
    wall: float,
    reboots: Collection[float],
) -> Resort:
    """Decide at `now` (mono) and `wall` (Unix seconds, as `reboots` are: those done before).

    Edged leaves only if a camera has delivered in this run: a camera that was never there would make it start anew
    for ever. For the same reason a reboot has a budget.
    """
    losses = [camera.lost for camera in cameras if camera.lost is not None]
    if not losses or len(losses) < len(cameras):
        return Resort.WAIT
    outage = now - max(losses)
    ages = [wall - reboot for reboot in reboots if 0 <= wall - reboot < _DAY]
    # one that was just asked for is under way: asking again would spend the day's budget on the same outage
    may_reboot = len(ages) < settings.reboots_a_day and min(ages, default=_DAY) >= settings.reboot_after
    if settings.reboot is not None and outage >= settings.reboot_after and may_reboot:
        return Resort.REBOOT
    if outage >= settings.leave_after and any(camera.ever for camera in cameras):
        return Resort.LEAVE
    return Resort.WAIT
