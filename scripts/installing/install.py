"""./scripts/install: edged's program, units, users and first configuration, or what is newer of them."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

from scripts.installing import databases, packages, units
from scripts.installing.configuration import configure, require_usable, show_check
from scripts.installing.places import CONFIGURATION, DEVICE, RECEIVER, ROLES, USERS, Role
from scripts.installing.release import Release, active, build, prune, wanted
from scripts.installing.system import InstallError, alone, is_active, is_enabled, properties, run, say, systemctl, write
from scripts.installing.upgrade import go_back, start, switch, upgrade

if TYPE_CHECKING:
    from collections.abc import Sequence

_USERS = """\
# made by edged's installation
u edged - "edged" /var/lib/edged -
m edged video
u edged-receiver - "edged receiver" /var/lib/edged-receiver -
"""


_ADDRESS = re.compile(r"https?://[\w.:\[\]/~-]+")


def main() -> int:
    """Install; 0 when all is well, 1 when what was installed before goes on, 2 when nothing could be begun."""
    options = _options()
    began = time.monotonic()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the line over which somebody upgrades a far box may break
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.umask(0o022)
    try:
        with alone():
            _install(options)
    except InstallError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; what was installed before is untouched, run this again to go on")
        return 130
    say(f"done in {time.monotonic() - began:.0f} s on {socket.gethostname()} ({os.uname().machine})")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./scripts/install", description=__doc__)
    parser.add_argument("--device", action="store_true", help="a device; what is meant without any other word")
    parser.add_argument("--receiver", metavar="URL", help="a receiver, which browsers and devices reach at URL")
    parser.add_argument("--no-start", action="store_true", help="start nothing, and leave what runs as it is")
    text = "seconds that a new version has to become as well as the one before (default: %(default)s)"
    parser.add_argument("--patience", type=float, default=90.0, metavar="SECONDS", help=text)
    options = parser.parse_args()
    if options.receiver and not _ADDRESS.fullmatch(options.receiver):
        parser.error(f"--receiver: {options.receiver} must be an address like https://cctv.example.org")
    return options


def _install(options: argparse.Namespace) -> None:
    go_back(options.patience)
    known = _roles()
    roles = _asked(options, known)
    packages.provide()
    old, new = active(), wanted()
    build(new)
    _people()
    fresh = [role for role in roles if role not in known or not role.config.exists()]
    configured = [role for role in roles if configure(role, new, options.receiver or "")]
    for role in configured:
        require_usable(role, new)
        databases.require_readable(role, new.name, new.schema(role))
        if new != old or role in fresh:
            show_check(role, new)
    if options.no_start or old in {None, new}:
        switch(new, roles)
    elif old is not None:
        _renew(old, new, roles, options.patience)
    units.enable(new.units(), [role for role in roles if role not in known])
    write(ROLES, "".join(f"{role.name}\n" for role in roles))
    if not options.no_start:
        _wake(new, roles, configured, options.patience)
    prune()
    _advise(new, roles, configured, unchanged=old == new)


def _renew(old: Release, new: Release, roles: Sequence[Role], patience: float) -> None:
    if old.works():
        upgrade(old, new, roles, patience)
        return
    say(f"{old.name} does not work any more (has the system's Python changed?), so there is no way back to it")
    switch(new, roles)
    systemctl("stop", *(role.unit for role in roles))


def _wake(release: Release, roles: Sequence[Role], configured: Sequence[Role], patience: float) -> None:
    """Start what is made to start with the machine and does not run."""
    units.wake(release.units(), roles)
    idle = [role for role in configured if is_enabled(role.unit) and not is_active(role.unit)]
    if idle:
        start(idle, patience)


def _roles() -> list[Role]:
    names = ROLES.read_text(encoding="utf-8").split() if ROLES.exists() else []
    return [role for role in (DEVICE, RECEIVER) if role.name in names]


def _asked(options: argparse.Namespace, known: Sequence[Role]) -> list[Role]:
    asked = {DEVICE} if options.device or not (known or options.receiver) else set()
    asked |= {RECEIVER} if options.receiver else set()
    return [role for role in (DEVICE, RECEIVER) if role in asked or role in known]


def _people() -> None:
    """Make the users, and the directory of the configurations."""
    write(USERS, _USERS)
    run("systemd-sysusers", USERS)
    CONFIGURATION.mkdir(mode=0o755, exist_ok=True)


def _advise(release: Release, roles: Sequence[Role], configured: Sequence[Role], *, unchanged: bool) -> None:
    say(f"{release.name} {'was installed already: nothing was restarted' if unchanged else 'is installed'}")
    for role in roles:
        if role not in configured:
            say(f"nothing is configured yet, so {role.unit} waits. Next: sudo edged setup")
        elif not is_active(role.unit):
            say(f"{role.unit} does not run. Next: sudo systemctl start {role.unit}")
        elif not release.is_run_by(int(properties(role.unit, "MainPID")["MainPID"])):
            say(f"{role.unit} still runs the former version. Next: sudo systemctl restart {role.unit}")
        elif role is DEVICE:
            say("next: sudo edged setup (mail, receiver, names); then: sudo -u edged edged check --send")
        else:
            say("next: sudo -u edged-receiver edged receive device add NAME, and user add NAME")


if __name__ == "__main__":
    sys.exit(main())
