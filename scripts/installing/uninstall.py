"""./scripts/uninstall: edged off this machine; what people may still want stays, and is named."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tomllib
from pathlib import Path

from scripts.installing import units
from scripts.installing.places import (
    CATALOG,
    CONFIGURATION,
    CURRENT,
    DEVICE,
    PREFIX,
    PROGRAM,
    RECEIVER,
    UNITS,
    USERS,
    Role,
)
from scripts.installing.system import InstallError, alone, run, say, systemctl

_DROP_INS = Path("/etc/systemd/system")
_HELPER = Path("/var/lib/edged-act")  # the ledger of resets and reboots
_STAMPS = Path("/var/lib/systemd/timers")  # when timers fired last


def main() -> int:
    """Uninstall; 0 when it is done, 1 when it can't be, with nothing changed."""
    parser = argparse.ArgumentParser(prog="./scripts/uninstall", description=__doc__)
    parser.add_argument("--purge", action="store_true", help="remove configuration, recordings and users, too")
    parser.add_argument(
        "--lose-clips", action="store_true", help="with --purge: even what is proven to be nowhere else"
    )
    options = parser.parse_args()
    try:
        with alone():
            _uninstall(purge=options.purge, lose=options.lose_clips)
    except InstallError as error:
        say(str(error))
        return 1
    return 0


def _uninstall(*, purge: bool, lose: bool) -> None:
    left = _left_behind()
    if purge and left and not lose:
        raise InstallError(
            f"{left}; nothing was removed. To deliver it first: edged drain; to lose it: --purge --lose-clips"
        )
    states = {role: state for role in (DEVICE, RECEIVER) if (state := _state(role)).is_dir()}
    _remove_program()
    if purge:
        _purge(list(states.values()))
        return
    if CONFIGURATION.is_dir():
        say(f"left: {CONFIGURATION}, the configuration with its secrets")
    for role, state in states.items():
        say(
            f"left: {state}, what the {role.name} has kept: {_size(state) / 1e6:.0f} MB"
            + (f"; {left}" if left and role is DEVICE else "")
        )
    for place in sorted(_DROP_INS.glob("edged*")):
        say(f"left: {place}, settings of this site")
    say("left: the users edged and edged-receiver, to whom that belongs")
    say("to remove all that, too: sudo ./scripts/uninstall --purge")


def _left_behind() -> str:
    """Return what would be lost with the state directory, nothing when all is proven to be elsewhere."""
    program = CURRENT / "bin" / "edged"
    if not (program.exists() and DEVICE.config.exists() and (_state(DEVICE) / DEVICE.database).exists()):
        return ""
    done = run("runuser", "-u", DEVICE.user, "--", program, "ensure", "--json", check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return f"what is in {_state(DEVICE)} can't be looked at: {done.stderr.strip()}"
    count = len(found["unproven"])
    return f"{count} files are not proven to be anywhere else" if count else ""


def _state(role: Role) -> Path:
    try:
        return role.state()
    except (OSError, tomllib.TOMLDecodeError):
        return Path("/var/lib") / role.user  # a configuration that can't be read keeps nobody from leaving


def _remove_program() -> None:
    names = sorted(path.name for path in UNITS.glob("edged*"))
    if names:
        systemctl("disable", "--now", "--quiet", *names, check=False)
        say(f"stopped and removed {', '.join(names)}")
    for name in names:
        (UNITS / name).unlink()
    units.end_trial()
    systemctl("daemon-reload")
    systemctl("reset-failed", "edged*", check=False)
    if PROGRAM.is_symlink():
        PROGRAM.unlink()
    shutil.rmtree(PREFIX, ignore_errors=True)
    USERS.unlink(missing_ok=True)
    CATALOG.unlink(missing_ok=True)
    run("journalctl", "--update-catalog", check=False)
    say(f"removed {PREFIX}")


def _purge(states: list[Path]) -> None:
    for place in [*states, _HELPER, CONFIGURATION]:
        if place.is_mount():
            for inner in place.iterdir():
                shutil.rmtree(inner) if inner.is_dir() and not inner.is_symlink() else inner.unlink()
        else:
            shutil.rmtree(place, ignore_errors=True)
    for place in (*_DROP_INS.glob("edged*"), *_STAMPS.glob("stamp-edged*")):
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    systemctl("daemon-reload")
    for user in (DEVICE.user, RECEIVER.user):
        run("userdel", user, check=False)
    say(f"removed {', '.join(map(str, [*states, CONFIGURATION]))} and the users; nothing of edged is left")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


if __name__ == "__main__":
    sys.exit(main())
