"""What has to come from the system's own packages."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from scripts.installing.system import InstallError, run, say

_VENV = "python3-venv"
_PICAMERA = "python3-picamera2"  # with the libcamera that fits it; only Raspberry Pi OS has it
_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))


def provide() -> None:
    """Install the system's packages that are needed and can be had. Raises InstallError."""
    if run(sys.executable, "-c", "import ensurepip", check=False).returncode:
        _provide_venv()
    if sys.executable != "/usr/bin/python3" or not _is_raspberry_os() or _is_installed(_PICAMERA):
        return
    try:
        _install(_PICAMERA)
    except InstallError as error:
        say(f"{error}\ninstall: without {_PICAMERA} no Pi camera works; run this again once the network is better")


def _provide_venv() -> None:
    if shutil.which("apt-get") is None:
        raise InstallError("Python's venv module is incomplete: install it with the system's packages")
    try:
        _install(_VENV)
    except InstallError as error:
        raise InstallError(f"{error}\ninstall: look at the network, then run this again; nothing was changed") from None


def _install(package: str) -> None:
    say(f"installing {package}")
    run("apt-get", "update", "-qq")
    quiet = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends")
    run(*quiet, "-o", "DPkg::Lock::Timeout=300", package)


def _is_installed(package: str) -> bool:
    return run("dpkg-query", "-W", "-f", "${db:Status-Status}", package, check=False).stdout == "installed"


def _is_raspberry_os() -> bool:
    """Return whether apt knows the Pi's own archive; its lists may not have been fetched yet."""
    files = [path for place in _SOURCES for path in (place.glob("*") if place.is_dir() else [place]) if path.is_file()]
    return any("raspberrypi" in path.read_text(encoding="utf-8", errors="replace") for path in files)
