"""From one release to the next: tried, and kept only if it becomes as well as the one before.

The trial touches nothing that lasts: the new release runs by units in /run, so that after a loss of power the former
one starts. Two cases have to switch for good first, and back if need be: where the new release changes a database
(after a loss of power only the new one could read it), and where a person has replaced the service's ExecStart.
A record says that a trial is under way; the next installation ends it.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.installing import databases, units
from scripts.installing.health import SETTLED, Look, UnwellError, look, wait_until_well
from scripts.installing.places import DEVICE, RECEIVER, RECORD, Role
from scripts.installing.release import Release, activate, active
from scripts.installing.system import InstallError, is_active, run, say, systemctl, write

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_LINES = 30  # of each service that failed
_BACK = 90.0  # seconds for the former release to become well again


def switch(release: Release, roles: Collection[Role]) -> None:
    """Make a release the active one without a trial; what runs goes on."""
    units.keep(release, active(), roles)
    activate(release)


def start(
    roles: Collection[Role],
    patience: float,
    before: Mapping[str, Look] | None = None,
    settled: float = SETTLED,
) -> None:
    """Start services, and wait until they are as well as `before`; raises InstallError with what they said."""
    began = time.time()
    for role in roles:
        systemctl("reset-failed", role.unit, check=False)  # the count of starts begins anew
        systemctl("start", "--no-block", role.unit)
    try:
        wait_until_well(before or {}, roles, patience, settled)
    except UnwellError as error:
        raise InstallError(f"{error}. The last it said:\n{said(error.units, began)}") from None


def upgrade(old: Release, new: Release, roles: Sequence[Role], patience: float) -> None:
    """Have the running services of `roles` go over to `new`.

    Raises InstallError with what the new release said when it did not become as well; then `old` runs again.
    """
    running = [role for role in roles if is_active(role.unit)]
    if not running:
        switch(new, roles)
        return
    before = {role.name: look(role) for role in running}
    raised = [role for role in running if new.schema(role) > old.schema(role)]
    write(RECORD, json.dumps({"old": str(old.path), "new": str(new.path), "running": [role.name for role in running]}))
    try:
        if raised or not units.begin_trial(new, running):
            _stop(running)
            for role in raised:
                databases.take_copy(role, old.name)
            switch(new, roles)
        else:
            _stop(running)
        start(running, patience, before)
        switch(new, roles)
    except (InstallError, KeyboardInterrupt) as error:
        say(f"{new.name} did not become well: {str(error) or 'interrupted'}")
        go_back(patience)
        raise InstallError(f"{old.name} runs again, {new.name} was not installed") from None
    RECORD.unlink()
    for role in raised:
        databases.drop_copy(role, old.name)


def go_back(patience: float) -> None:
    """End a trial that was not decided, if there is one: the release before runs again."""
    if not RECORD.exists():
        return
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    old = Release(path=Path(record["old"]))
    running = [role for role in (DEVICE, RECEIVER) if role.name in record["running"]]
    if not old.facts():
        say(f"an upgrade was interrupted, and there is no {old.name} to go back to")
        units.end_trial()
        RECORD.unlink()
        return
    if units.on_trial() or active() != old:
        say(f"going back to {old.name}")
        _stop(running)
        for role in running:
            databases.put_back(role, old.name, old.schema(role))
        units.keep(old, old, ())
        activate(old)
    for role in running:
        databases.drop_copy(role, old.name)
    RECORD.unlink()
    shutil.rmtree(record["new"], ignore_errors=True)
    start(running, max(patience, _BACK), settled=0.0)  # it is known


def said(names: Collection[str], since: float) -> str:
    """Return the last that each of these services said to the journal since a time (Unix seconds), indented."""
    run("journalctl", "--sync", check=False)
    told: list[str] = []
    for name in names:
        chosen = (f"_SYSTEMD_UNIT={name}", f"--since=@{since:.3f}", f"--lines={_LINES}")
        told += run("journalctl", *chosen, "--output=cat", "--no-pager", "--quiet", check=False).stdout.splitlines()
    return "\n".join(f"  {line}" for line in told)


def _stop(roles: Collection[Role]) -> None:
    systemctl("stop", *(role.unit for role in roles))
