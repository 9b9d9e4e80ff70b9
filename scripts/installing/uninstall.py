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
_STATES = Path("/var/lib")
_HELPER = _STATES / "edged-act"  # the ledger of resets and reboots
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
    states = {role: state for role in (DEVICE, RECEIVER) if (state := _state(role)).is_dir()}
    alone_here = {role: text for role, state in states.items() if (text := _nowhere_else(role, state))}
    if purge and alone_here and not lose:
        raise InstallError(
            f"{'; '.join(alone_here.values())}; nothing was removed. To deliver what waits: edged drain; to lose it:"
            " --purge --lose-clips"
        )
    _remove_program()
    if purge:
        _purge(list(states.values()))
        return
    if CONFIGURATION.is_dir():
        say(f"left: {CONFIGURATION}, the configuration with its secrets")
    for role, state in states.items():
        about = [
            f"what the {role.name} has kept",
            f"{_size(state) / 1e6:.0f} MB",
            *filter(None, [alone_here.get(role)]),
        ]
        say(f"left: {state}: {', '.join(about)}")
    for place in sorted(_DROP_INS.glob("edged*")):
        say(f"left: {place}, settings of this site")
    say("left: the users edged and edged-receiver, to whom that belongs")
    say("to remove all that, too: sudo ./scripts/uninstall --purge")


def _nowhere_else(role: Role, state: Path) -> str:
    """Return what would be lost with a state directory, nothing when all of it is proven to be elsewhere."""
    if not (state / role.database).exists():
        return ""
    if role is RECEIVER:
        return f"{state} may be the only place of what it received"
    program = CURRENT / "bin" / "edged"
    if not (program.exists() and role.config.exists()):
        return f"without edged and its configuration nobody can tell whether {state} is proven to be elsewhere"
    done = run("runuser", "-u", role.user, "--", program, "ensure", "--json", check=False)
    try:
        count = len(json.loads(done.stdout)["unproven"])
    except (ValueError, KeyError):
        return f"what is in {state} can't be looked at: {done.stderr.strip()}"
    return f"{count} files are not proven to be anywhere else" if count else ""


def _state(role: Role) -> Path:
    try:
        return role.state()
    except (OSError, tomllib.TOMLDecodeError):
        return _STATES / role.user  # a configuration that can't be read keeps nobody from leaving


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
    ours = [state for state in states if state.parent == _STATES]  # other folders may hold other people's files, too
    places = [*ours, _HELPER, CONFIGURATION, *_DROP_INS.glob("edged*"), *_STAMPS.glob("stamp-edged*")]
    for place in places:
        _remove(place)
    systemctl("daemon-reload")
    for user in (DEVICE.user, RECEIVER.user):
        run("userdel", user, check=False)
    say(f"removed {', '.join(map(str, [*ours, CONFIGURATION]))} and the users")
    for state in set(states) - set(ours):
        say(f"left: {state}, a folder of your own choice: remove by hand what is edged's in it")


def _remove(place: Path) -> None:
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.is_mount():
        for inner in place.iterdir():
            _remove(inner)
    else:
        shutil.rmtree(place, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


if __name__ == "__main__":
    sys.exit(main())
