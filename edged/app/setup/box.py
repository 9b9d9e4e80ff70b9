"""What the box knows of itself: its name, its time zone, and whom its files are for."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edged.app.setup.answers import valid_name

USER = "edged"  # as the unit says
_ZONES = "zoneinfo/"


def device_name() -> str:
    """Return the host's name as a device's name."""
    return valid_name(socket.gethostname().partition(".")[0])


def timezone(root: Path = Path("/")) -> str:
    """Return the system's time zone, "UTC" where it does not tell one that can be used."""
    for told in (_linked(root / "etc/localtime"), _said(root / "etc/timezone")):
        try:
            return ZoneInfo(told).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return "UTC"


def service_user() -> pwd.struct_passwd | None:
    """Return the user that the service runs as; None when there is none, or when files can't be given to it."""
    try:
        return pwd.getpwnam(USER) if os.geteuid() == 0 else None
    except KeyError:
        return None


def _linked(path: Path) -> str:
    try:
        return str(path.readlink()).partition(_ZONES)[2]
    except OSError:
        return ""


def _said(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
