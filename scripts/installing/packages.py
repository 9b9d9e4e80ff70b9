"""What has to come from the system's own packages."""

from __future__ import annotations

import shutil
import sys

from scripts.installing.system import InstallError, run, say

_VENV = "python3-venv"
_PICAMERA = "python3-picamera2"  # with the libcamera that fits it; only Raspberry Pi OS has it


def provide() -> None:
    """Install the system's packages that are needed and can be had. Raises InstallError."""
    missing = [] if run(sys.executable, "-c", "import ensurepip", check=False).returncode == 0 else [_VENV]
    if shutil.which("apt-get") is None:
        if missing:
            raise InstallError("Python's venv module is incomplete: install it with the system's packages")
        return
    if sys.executable == "/usr/bin/python3" and not _is_installed(_PICAMERA) and _can_be_had(_PICAMERA):
        missing.append(_PICAMERA)
    if not missing:
        return
    say(f"installing {' '.join(missing)}")
    try:
        run("apt-get", "update", "-qq")
        quiet = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends")
        run(*quiet, *missing)
    except InstallError as error:
        raise InstallError(f"{error}\ninstall: look at the network, then run this again; nothing was changed") from None


def _is_installed(package: str) -> bool:
    return run("dpkg-query", "-W", "-f", "${db:Status-Status}", package, check=False).stdout == "installed"


def _can_be_had(package: str) -> bool:
    return "Candidate: (none)" not in (shown := run("apt-cache", "policy", package, check=False).stdout) and bool(shown)
