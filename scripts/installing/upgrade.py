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
from scripts.installing.health import look, wait_until_well
from scripts.installing.places import DEVICE, RECEIVER, RECORD, Role
from scripts.installing.release import Release, activate, active
from scripts.installing.system import InstallError, is_active, run, say, systemctl, write

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_BACK = 90.0  # seconds for the former release to become well again


def switch(release: Release, roles: Collection[Role]) -> None:
    """Make a release the active one without a trial; what runs goes on."""
    units.keep(release, active(), roles)
    activate(release)


def start(roles: Collection[Role], patience: float) -> None:
    """Start services that do not run, and wait until they are well; raises InstallError with what they said."""
    began = time.time()
    _start(roles)
    try:
        wait_until_well({}, roles, patience)
    except InstallError as error:
        raise InstallError(f"{error}\n{said(roles, began)}") from None


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
    began = time.time()
    write(RECORD, json.dumps({"old": str(old.path), "new": str(new.path), "running": [role.name for role in running]}))
    try:
        if raised or not units.begin_trial(new, running):
            _stop(running)
            for role in raised:
                databases.take_copy(role, old.name)
            switch(new, roles)
        else:
            _stop(running)
        _start(running)
        wait_until_well(before, running, patience)
        switch(new, roles)
    except (InstallError, KeyboardInterrupt) as error:
        why = str(error) or "interrupted"
        say(f"{new.name} did not become well: {why}. The last it said:\n{said(running, began)}")
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
    say(f"going back to {old.name}")
    _stop(running)
    for role in running:
        databases.put_back(role, old.name, old.schema(role))
        databases.drop_copy(role, old.name)
    if active() != old:
        units.keep(old, old, ())
        activate(old)
    units.end_trial()
    _start(running)
    RECORD.unlink()
    shutil.rmtree(record["new"], ignore_errors=True)
    wait_until_well({}, running, max(patience, _BACK))


def said(roles: Collection[Role], since: float) -> str:
    """Return the last that services said to the journal since a time (Unix seconds), indented."""
    chosen = [word for role in roles for word in ("--unit", role.unit)]
    lines = run(
        "journalctl", *chosen, f"--since=@{since:.0f}", "--output=cat", "--no-pager", "--lines=20", check=False
    ).stdout.splitlines()
    return "\n".join(f"  {line}" for line in lines) or "  (nothing in the journal)"


def _start(roles: Collection[Role]) -> None:
    for role in roles:
        systemctl("reset-failed", role.unit, check=False)  # the count of starts begins anew
        systemctl("start", "--no-block", role.unit)


def _stop(roles: Collection[Role]) -> None:
    systemctl("stop", *(role.unit for role in roles))
