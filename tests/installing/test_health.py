"""When a service counts as well after an upgrade."""

from __future__ import annotations

import pytest

from scripts.installing.health import Look, judge

_WELL = Look(state="active", pid=7, cameras={"door": True, "yard": False})


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (_WELL, None, ""),
        (_WELL, _WELL, ""),
        (Look(state="active", cameras={"door": True, "yard": True}), _WELL, ""),
        (Look(state="active", cameras={"door": True, "new": False}), _WELL, ""),  # the configuration has changed
        (Look(state="active", cameras={"door": False, "yard": False}), _WELL, "no pictures come from door"),
        (Look(state="active", cameras={"door": False}), None, ""),
        (Look(state="active", cameras={"door": False}), Look(state="failed"), ""),
        (Look(state="active", restarts=2), _WELL, "it ended by itself 2 times"),
        (Look(state="activating"), _WELL, "it is activating"),
        (Look(state="failed"), None, "it is failed"),
        (Look(state="active", answers=False), _WELL, "it does not answer"),
    ],
)
def test_no_worse_than_before_is_well(now: Look, before: Look | None, said: str) -> None:
    """What was away before is no fault of the new version; what it has lost is."""
    found = judge(now, before)
    assert found.startswith(said)
    assert bool(found) == bool(said)
