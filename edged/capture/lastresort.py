"""What is left when no camera delivers and opening them anew does not help: start edged anew, or the machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from edged.capture.settings import LastResortSettings

_GRACE = 300.0  # seconds within which a reboot that was asked for comes, or is refused


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
    asked: float | None,
) -> Resort:
    """Decide at `now` (mono); `asked` is when this run last asked for a reboot.

    Edged leaves only if a camera has delivered in this run: a camera that was never there would make it start anew
    for ever. For the same reason reboots have a budget a day, which the helper keeps: what it refuses is asked for
    again after as long an outage.
    """
    losses = [camera.lost for camera in cameras if camera.lost is not None]
    if not losses or len(losses) < len(cameras):
        return Resort.WAIT
    if asked is not None and now - asked < _GRACE:
        return Resort.WAIT
    outage = now - max(losses)
    if settings.reboot and min(outage, now - asked if asked is not None else outage) >= settings.reboot_after:
        return Resort.REBOOT
    if outage >= settings.leave_after and any(camera.ever for camera in cameras):
        return Resort.LEAVE
    return Resort.WAIT
