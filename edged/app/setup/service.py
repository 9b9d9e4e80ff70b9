"""After the configuration is written: `edged check` as the service's user, and the service itself."""

from __future__ import annotations

import grp
import os
import shutil
import subprocess
import sys
from pathlib import Path

from edged.app.setup.box import service_user
from edged.app.setup.terminal import ask_yes, say

_UNIT = "edged.service"
_CONFIG = Path("/etc/edged/edged.toml")  # of the unit
_GROUP = "video"  # likewise


def check(path: Path) -> None:
    """Show what `edged check` says, as the user that the service runs as: it may see less than root."""
    command = [sys.executable, "-P", "-c", "from edged.cli import main; main()", "check", "--config", str(path)]
    user = service_user()
    if user is None:
        subprocess.run(command, check=False)  # noqa: S603 -- our own program
        return
    video = {each.gr_gid for each in grp.getgrall() if each.gr_name == _GROUP}
    groups = video | set(os.getgrouplist(user.pw_name, user.pw_gid))
    subprocess.run(  # noqa: S603 -- likewise
        command, check=False, cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=sorted(groups)
    )


def offer_start(path: Path) -> None:
    """Offer to start the service, or to start it anew, where there is one for this configuration."""
    if path != _CONFIG or _systemctl("cat", _UNIT):
        say(f"\nstart it with: edged run --config {path}")
        return
    running = _systemctl("is-active", "--quiet", _UNIT) == 0
    question = "Start edged anew, so that it uses this?" if running else "Start edged now, and at every boot?"
    if not ask_yes(f"\n{question}"):
        return
    failed = _systemctl("restart", _UNIT) if running else _systemctl("enable", "--now", _UNIT)
    say("it did not start; see: journalctl -u edged -e" if failed else "it runs; see: systemctl status edged")


def _systemctl(*words: str) -> int:
    """Run systemctl silently and return its code, 1 where there is none."""
    program = shutil.which("systemctl")
    if program is None:
        return 1
    return subprocess.run([program, *words], capture_output=True, check=False).returncode  # noqa: S603 -- our own words
