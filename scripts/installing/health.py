"""Whether a service is as well as it was: what it says of itself, and what systemd says of it."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scripts.installing.places import DEVICE, Role
from scripts.installing.system import InstallError, properties, say

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class UnwellError(InstallError):
    """Services did not become well; `units` names them."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{unit}: {text}" for unit, text in wrong.items()))
        self.units = tuple(wrong)


SETTLED = 5.0  # seconds that a new version must stay well
_LOOK = 0.5
_ANSWER = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One look at a service. `restarts`: how often it ended by itself; `cameras`: name and whether well."""

    state: str
    pid: int = 0
    restarts: int = 0
    answers: bool = True
    cameras: Mapping[str, bool] = field(default_factory=dict)


def judge(now: Look, before: Look | None) -> str:
    """Return what is worse with a service than `before` (None: it did not run), nothing when it is well.

    A line or a camera that was away before is no fault of a new version.
    """
    if now.restarts:
        return f"it ended by itself {now.restarts} times and was started again"
    if now.state != "active":
        return f"it is {now.state}"
    if not now.answers:
        return "it does not answer"
    delivered = {name for name, well in (before.cameras if before else {}).items() if well}
    lost = sorted(name for name in delivered if not now.cameras.get(name, True))
    return f"no pictures come from {', '.join(lost)}, as they did before" if lost else ""


def look(role: Role) -> Look:
    """Look at a service once."""
    shown = properties(role.unit, "ActiveState", "SubState", "MainPID", "NRestarts", "Job")
    state = shown["ActiveState"] if shown.get("Job", "0") in {"", "0"} else "activating"
    cameras = _status(role) if role is DEVICE and state == "active" else {}
    return Look(
        state=state,
        pid=int(shown["MainPID"]),
        restarts=int(shown["NRestarts"]) + (shown["SubState"] == "auto-restart"),
        answers=cameras is not None,
        cameras={name: bool(state["well"]) for name, state in (cameras or {}).items()},
    )


def wait_until_well(
    before: Mapping[str, Look], roles: Collection[Role], patience: float, settled: float = SETTLED
) -> None:
    """Wait until every service has been well for `settled` seconds.

    Raises UnwellError with what is wrong once one has ended by itself, or `patience` seconds are over.
    """
    started = time.monotonic()
    since: float | None = None
    pids: list[int] = []
    while True:
        looks = {role: look(role) for role in roles}
        wrong = {role.unit: text for role, seen in looks.items() if (text := judge(seen, before.get(role.name)))}
        now = time.monotonic()
        ended = any(seen.restarts or seen.state in {"failed", "inactive"} for seen in looks.values())
        if wrong and (ended or now - started > patience):
            raise UnwellError(wrong)
        same = pids == [seen.pid for seen in looks.values()]
        pids = [seen.pid for seen in looks.values()]
        since = (since if since is not None and same else now) if not wrong else None
        if since is not None and now - since >= settled:
            say(f"{' and '.join(role.unit for role in roles)}: well after {since - started:.1f} s")
            return
        time.sleep(_LOOK)


def _status(role: Role) -> dict[str, dict[str, Any]] | None:
    """Ask edged's control socket for its cameras; None when it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_ANSWER)
            line.connect(str(role.state() / "control.sock"))
            line.sendall(b'{"command": "status", "args": {}}\n')
            answer = json.loads(line.makefile().readline())
    except (OSError, ValueError):
        return None
    result: dict[str, dict[str, Any]] | None = answer.get("result")
    return result
