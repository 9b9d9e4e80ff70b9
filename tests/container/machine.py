"""What the lab needs of this machine: its tools, its locks, its way to the network, and cgroups of the box's own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CACHE = Path.home() / ".cache" / "edged-container"
HALF = ".half"  # the end of a tree's name while it is being made
_TOOLS = ("mmdebstrap", "systemd-nspawn", "nsenter", "unshare", "setpriv")
_CGROUPS = Path("/sys/fs/cgroup")
_OURS = "edged-lab-"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class UnavailableError(Exception):
    """There can be no container here; the text says what is missing."""


def require() -> None:
    """Raise UnavailableError where containers can't be had."""
    if os.geteuid() != 0:
        raise UnavailableError("containers take root")
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        raise UnavailableError(f"not installed: {', '.join(missing)} (./scripts/setup --tests)")


def cgroups(name: str) -> list[Path]:
    """Make a group called `name` in each hierarchy: two boxes in one would share their units' groups.

    It lies below this process's own; below the unified hierarchy's root where that is all there is, since a group that
    holds processes hands no controller down.
    """
    made = []
    _sweep()
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, own = line.split(":", 2)
        hierarchy = _CGROUPS / (controllers.removeprefix("name=") or "unified")
        group = (hierarchy / own.lstrip("/") if hierarchy.is_dir() else _CGROUPS) / name
        group.mkdir()
        made.append(group)
        if "cpuset" in controllers:  # a new group of this one has no processor until it is told
            for key in ("cpuset.cpus", "cpuset.mems"):
                (group / key).write_text((group.parent / key).read_text(encoding="ascii"), encoding="ascii")
    return made


def remove_cgroups(groups: Iterable[Path]) -> None:
    """Remove them with what the box made below; a process that is still ending in one leaves it to the next box."""
    for group in groups:
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def box_name() -> str:
    """Return a name that no other box has, and that tells whose it is."""
    return f"{_OURS}{os.getpid()}-{secrets.token_hex(3)}"


def _sweep() -> None:
    """Remove the groups that a killed process left behind."""
    for folder, groups, _ in os.walk(_CGROUPS):  # other than a glob it bears groups that vanish meanwhile
        for name in [name for name in groups if name.startswith(_OURS)]:
            owner = name.removeprefix(_OURS).partition("-")[0]
            if owner.isdigit() and not Path("/proc", owner).exists():
                remove_cgroups([Path(folder, name)])


def network_options() -> list[str]:
    """Return nspawn's options for this machine's network, with its resolver and the authorities it trusts."""
    options = ["--resolv-conf=replace-host"]
    if Path(_CERTIFICATES).exists():
        options.append(f"--bind-ro={_CERTIFICATES}")
    return options


def network_environment() -> dict[str, str]:
    """Return what tells pip in a box how this machine reaches its index."""
    wanted = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_PROXY")
    found = {name: os.environ[name] for name in wanted if name in os.environ}
    return found | ({"PIP_CERT": _CERTIFICATES} if Path(_CERTIFICATES).exists() else {})


def apt_settings() -> list[str]:
    """Return this machine's settings of how apt reaches its archives, a line each."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return [line for line in dump.splitlines() if line.startswith(("Acquire::http", "Acquire::https"))]
