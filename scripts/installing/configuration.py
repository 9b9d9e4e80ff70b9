"""The first configuration, and what the new release says of the one that is there."""

from __future__ import annotations

import os
import pwd
import re
from typing import TYPE_CHECKING

from scripts.installing.places import DEVICE, Role
from scripts.installing.system import InstallError, run, say, write

if TYPE_CHECKING:
    from scripts.installing.release import Release

_JUDGE = """
import sys
from pathlib import Path
from edged.base.errors import ConfigError
{imports}
try:
    {load}
except ConfigError as error:
    sys.exit("\\n".join(f"  {{mistake}}" for mistake in error.mistakes))
"""
_JUDGES = {
    "device": _JUDGE.format(
        imports="from edged.settings import load_device",
        load="load_device(Path(sys.argv[1]))",
    ),
    "receiver": _JUDGE.format(
        imports="from edged.base.config import load; from edged.receiver.settings import ReceiverConfig",
        load="load(Path(sys.argv[1]), ReceiverConfig)",
    ),
}
_REFUSED = 2  # edged's exit code for what it can't do, with a sentence
_URL = re.compile(r'^public_url = ".*"$', re.MULTILINE)


def configure(role: Role, release: Release, url: str) -> bool:
    """Write a role's configuration unless there is one; return whether there is one now."""
    if role.config.exists():
        return True
    if role is DEVICE:
        return _found(role, release)
    text = (release.path / "config" / role.config.name).read_text(encoding="utf-8")
    write(role.config, _URL.sub(f'public_url = "{url.rstrip("/")}"', text, count=1), mode=0o640)
    os.chown(role.config, 0, pwd.getpwnam(role.user).pw_gid)
    say(f"wrote {role.config}")
    return True


def _found(role: Role, release: Release) -> bool:
    """Have edged write down the cameras that it finds, and tell what it says; that there is none is no error."""
    done = run(release.program, "setup", "--yes", "--config", role.config, check=False)
    said = "\n  ".join(["edged setup:", *(done.stdout + done.stderr).splitlines()])
    if done.returncode not in {0, _REFUSED}:
        raise InstallError(f"{said}\ninstall: {release.name} does not work; nothing that runs was changed")
    say(said)
    return role.config.exists()


def require_usable(role: Role, release: Release) -> None:
    """Raise InstallError with every mistake that the release finds in a role's configuration."""
    judged = run(
        "runuser", "-u", role.user, "--", release.python, "-I", "-c", _JUDGES[role.name], role.config, check=False
    )
    if judged.returncode:
        raise InstallError(
            f"{release.name} can't use {role.config}:\n{judged.stderr.strip()}\n"
            "install: correct it and run this again; nothing that runs was changed"
        )


def show_check(role: Role, release: Release) -> None:
    """Show what `edged check` has to say, as the service's user sees it; a line that is down keeps nothing up."""
    if role is not DEVICE:
        return
    done = run("runuser", "-u", role.user, "--", release.program, "check", "--config", role.config, check=False)
    say("\n  ".join(["edged check:", *(done.stdout + done.stderr).splitlines()]))
