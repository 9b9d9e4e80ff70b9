"""A release: edged with everything it imports, in a directory of its own that nothing changes once it is complete.

A release's name holds a hash of all that it is made of, so that the same sources are the same release.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.installing.places import CURRENT, PREFIX, PROGRAM, RELEASES, SOURCE, WHEELS, Role
from scripts.installing.system import InstallError, link, run, say, write

_PICAMERA = Path("/usr/lib/python3/dist-packages/picamera2")
_LOCK = SOURCE / "requirements" / "runtime.txt"
_TIED = ("setpriv", "--pdeathsig", "KILL", "--")  # what is left behind would go on writing where the next run works
_KEPT = 2  # releases: the active one, and one to look at when something is wrong
_ROOM = 700_000_000  # bytes: a release (0.4 GB), and its packages as they are fetched
_FACTS = "release.json"
_USED = "used"  # a release's mark, as old as the last time that it became, or ceased to be, the active one
_UNITS = {".service", ".timer", ".path"}
_IMPORTS = "import edged.app.daemon, edged.receiver.app"  # a release that can't even be imported is none
_COPIED = ("systemd", "config")  # beside the program in a release: what belongs to its version


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A release's directory; it is complete once `facts` has something to tell."""

    path: Path

    @property
    def name(self) -> str:
        """Version and hash."""
        return self.path.name

    @property
    def program(self) -> Path:
        """The command."""
        return self.path / "bin" / "edged"

    @property
    def python(self) -> Path:
        """The interpreter that sees the release's packages."""
        return self.path / "bin" / "python"

    def facts(self) -> dict[str, Any]:
        """Return what the release was made of, nothing while it is not complete."""
        try:
            facts: dict[str, Any] = json.loads((self.path / _FACTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return facts

    def works(self) -> bool:
        """Return whether its program can be run: a system's new Python does not know the packages of the former."""
        return run(self.program, "--version", check=False).returncode == 0

    def is_run_by(self, process: int) -> bool:
        """Return whether a process (by its id) was started from this release."""
        try:
            command = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            return False
        return command.startswith(bytes(self.path) + b"/")

    def schema(self, role: Role) -> int:
        """Return the newest version of a role's database that this release knows."""
        script = f"import {role.schema} as opening; print(len(opening.schema().steps))"
        return int(run(self.python, "-I", "-c", script).stdout)

    def units(self) -> dict[str, str]:
        """Return the release's units: name and text."""
        found = sorted(path for path in (self.path / "systemd").iterdir() if path.suffix in _UNITS)
        return {path.name: path.read_text(encoding="utf-8") for path in found}


def active() -> Release | None:
    """Return the release that `current` names."""
    release = Release(path=CURRENT.resolve())
    return release if CURRENT.is_symlink() and release.facts() else None


def wanted() -> Release:
    """Return the release that these sources make, be it there or not."""
    (version,) = re.findall(r'^__version__ = "(.+)"$', (SOURCE / "edged" / "__init__.py").read_text(), re.MULTILINE)
    found = hashlib.sha256(_base().encode())
    for path in sorted(_sources()):
        content = path.read_bytes()
        found.update(f"{path.relative_to(SOURCE)} {len(content)}\n".encode() + content)
    return Release(path=RELEASES / f"{version}-{found.hexdigest()[:12]}")


def build(release: Release) -> None:
    """Make a release unless it is there. Raises InstallError; what is installed is not touched."""
    if release.facts():
        return
    RELEASES.mkdir(parents=True, exist_ok=True)
    base = _twin()
    free = shutil.disk_usage(PREFIX).free
    if base is None and free < _ROOM:
        raise InstallError(
            f"{PREFIX} has {free / 1e6:.0f} MB left, a release needs {_ROOM / 1e6:.0f} MB; nothing was changed"
        )
    shutil.rmtree(release.path, ignore_errors=True)
    try:
        _make(release, base)
    except InstallError as error:
        shutil.rmtree(release.path, ignore_errors=True)
        raise InstallError(f"{error}\ninstall: {release.name} can't be built; nothing that runs was changed") from None
    os.sync()  # what is complete must be so after a loss of power, too
    write(release.path / _FACTS, json.dumps({"name": release.name, "base": _base()}, indent=2) + "\n")


def _make(release: Release, base: Release | None) -> None:
    run(*_TIED, sys.executable, "-m", "venv", *_site(), *(["--without-pip"] if base else []), release.path)
    if base is None:
        say("fetching and unpacking the packages of requirements/runtime.txt")
        _pip(release, "--only-binary=:all:", "--require-hashes", "-r", _LOCK)
        if _site():  # what the system's picamera2 needs was compiled for the system's numpy, and loads with no other
            run(release.python, "-m", "pip", "uninstall", "-q", "-y", "--root-user-action=ignore", "numpy")
    else:
        _share(base, release)
    say(f"building {release.name}")
    _pip(release, "--no-deps", "--no-index", "--no-build-isolation", SOURCE)
    run(release.python, "-I", "-c", _IMPORTS)
    for name in _COPIED:
        shutil.copytree(SOURCE / name, release.path / name)
    if wanted() != release:
        raise InstallError("the sources changed while they were being installed; run this again")


def _pip(release: Release, *arguments: str | Path) -> None:
    # not the settings of a checkout's owner; what has been fetched is kept until all is done: lines break
    cache = [] if "PIP_CACHE_DIR" in os.environ else ["--cache-dir", str(WHEELS)]
    quiet = ("-q", "--disable-pip-version-check", "--root-user-action=ignore", "--no-input")
    WHEELS.mkdir(exist_ok=True)
    place = f"TMPDIR={WHEELS}"  # /tmp may lie in the memory of a box that has little
    run(*_TIED, "env", place, release.python, "-m", "pip", "install", *quiet, *cache, *arguments)


def _twin() -> Release | None:
    """Return a release with the very packages that are wanted: they need not be fetched again, nor lie there twice."""
    found = (Release(path=path) for path in _all())
    return next((each for each in found if each.facts().get("base") == _base()), None)


def _share(base: Release, release: Release) -> None:
    """Give a release the packages of another by hard links: neither ever changes them."""
    (packages,) = base.path.glob("lib/python3*/site-packages")
    target = release.path / packages.relative_to(base.path)
    shutil.rmtree(target)
    own = shutil.ignore_patterns("edged", "edged-*.dist-info")
    shutil.copytree(packages, target, ignore=own, copy_function=os.link, symlinks=True)


def prune() -> None:
    """Remove what is neither the active release nor the one that was active last, and what was fetched."""
    now = active()
    used = [path for path in _all() if (path / _USED).exists()]
    used.sort(key=lambda path: (now is not None and path == now.path, (path / _USED).stat().st_mtime))
    for path in _all():
        if path not in used[-_KEPT:]:
            shutil.rmtree(path)
    shutil.rmtree(WHEELS, ignore_errors=True)


def activate(release: Release) -> None:
    """Make a release the active one, at once and lasting."""
    before = active()
    if before == release:
        return
    for each in filter(None, (before, release)):
        (each.path / _USED).touch()
    link(CURRENT, release.path)
    link(PROGRAM, CURRENT / "bin" / "edged")


def _all() -> list[Path]:
    return [path for path in RELEASES.iterdir() if path.is_dir()] if RELEASES.is_dir() else []


def _sources() -> list[Path]:
    inside = [path for name in ("edged", *_COPIED) for path in (SOURCE / name).rglob("*")]
    return [path for path in [*inside, SOURCE / "pyproject.toml"] if path.is_file() and "__pycache__" not in path.parts]


def _base() -> str:
    """Return what the packages of a release depend on: lock, interpreter, machine, the system's own packages."""
    lock = hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]
    python = f"{sys.executable} {sys.version_info.major}.{sys.version_info.minor}"
    return " ".join([lock, python, platform.machine(), *_site()])


def _site() -> list[str]:
    # Raspberry Pi OS brings picamera2 together with the libcamera that fits it, for the system's Python alone
    return ["--system-site-packages"] if _PICAMERA.is_dir() and sys.executable == "/usr/bin/python3" else []
