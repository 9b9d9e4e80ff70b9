"""The recovery ladder as a table: what is tried next after so many failures in a row, and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What a rung does before it waits."""

    REOPEN = "reopen"
    RESET = "reset"  # ask the system's helper unit to reset the hardware, then reopen


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """`action`, then `wait` seconds, then the camera is opened anew."""

    action: Action
    wait: float


_SECOND = Rung(action=Action.REOPEN, wait=1.0)

# A camera that restarts is back within seconds, a switch within a minute; after a minute a person or the
# hardware has to do something, and one attempt a minute costs nothing.
LADDER = (
    _SECOND,
    _SECOND,
    _SECOND,
    _SECOND,
    _SECOND,
    Rung(action=Action.REOPEN, wait=5.0),
    Rung(action=Action.REOPEN, wait=10.0),
    Rung(action=Action.REOPEN, wait=20.0),
    Rung(action=Action.REOPEN, wait=40.0),
    Rung(action=Action.RESET, wait=60.0),
)
_LAST = Rung(action=Action.REOPEN, wait=60.0)
RESET_EVERY = 60  # attempts beyond the ladder, about an hour

STEADY = 30.0  # seconds of pictures after which the next failure starts from the lowest rung


def rung(failures: int) -> Rung:
    """Return the rung after `failures` in a row, from 1."""
    if failures <= len(LADDER):
        return LADDER[failures - 1]
    return LADDER[-1] if (failures - len(LADDER)) % RESET_EVERY == 0 else _LAST
