"""Trees of files to boot: a bare Debian, and one in which edged was installed, each made once and kept.

A tree is never changed after it was made: `boot` writes into a layer of its own.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.container.box import boot
from tests.container.machine import apt_settings, require
from tests.container.store import kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REPOSITORY = Path(__file__).parent.parent.parent
_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "ca-certificates", "iproute2", "procps"),
    *("python3", "python3-venv"),  # or each tree that is installed would fetch it anew
)
_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
_SPARED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
# what an installation is made from, and what of it makes another set of packages or another installer
_INSTALLED_FROM = ("pyproject.toml", "README.md", "LICENSE", "config", "edged", "systemd")
_SLOW = ("requirements", "scripts/install", "scripts/installing")
_PATIENT = 1800.0  # seconds, for what an emulated processor does in a hundred


def debian(suite: str = "bookworm", arch: str = "amd64", extra: tuple[str, ...] = ()) -> Path:
    """Return a minimal Debian with systemd and Python; `extra` names further packages."""
    require()
    packages = ",".join(sorted({*_PACKAGES, *extra}))
    made_from = f"{packages} {_SPARED} {_HOSTS}"
    return kept(f"debian-{suite}-{arch}", made_from, lambda tree: _bootstrap(tree, suite, arch, packages))


def wheels(base: Path) -> Path:
    """Return a folder with the locked wheels that the tree's own Python and processor need."""

    def fetch(folder: Path) -> None:
        folder.mkdir()
        with boot(
            base, network=True, binds=[f"{REPOSITORY / 'requirements'}:/requirements:ro", f"{folder}:/wheels"]
        ) as box:
            box.sh(
                """
                python3 -m venv /tmp/venv
                cd /requirements
                /tmp/venv/bin/pip download -q --require-hashes --only-binary=:all: -d /wheels -r runtime.txt
            """,
                limit=_PATIENT,
            )

    made_from = f"{base.name} {(REPOSITORY / 'requirements' / 'runtime.txt').read_text(encoding='utf-8')}"
    return kept(f"wheels-{base.name.rpartition('-')[0]}", made_from, fetch)


@functools.cache  # a run tries one version, whoever is at work on the sources meanwhile
def installed(suite: str = "bookworm", arch: str = "amd64", extra: tuple[str, ...] = ()) -> Path:
    """Return a tree in which `scripts/install` was run for a device and a receiver, which have not been started.

    It is run a second time over a tree that has the packages already: a change of edged then costs seconds.
    """
    base = debian(suite, arch, extra)
    house = wheels(base)
    with TemporaryDirectory() as folder:
        sources = Path(folder)
        slow, all_of_it = (_copied(sources, names) for names in (_SLOW, _INSTALLED_FROM))
        first = kept(f"packages-{suite}-{arch}", f"{house.name} {slow} {_INSTALL}", _installing(base, house, sources))
        made_from = f"{first.name} {all_of_it}"
        return kept(f"installed-{suite}-{arch}", made_from, _installing(first, house, sources))


# Without a camera the device is left without a configuration, and the receiver is not begun.
_INSTALL = """
    cd /src
    export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
    ./scripts/install --device --receiver http://127.0.0.1:8378 --no-start
"""


def _installing(base: Path, house: Path, sources: Path) -> Callable[[Path], None]:
    """Return what makes a tree from `base` by installing `sources`."""

    def install(tree: Path) -> None:
        subprocess.run(["cp", "-a", base, tree], check=True)
        with boot(tree, keep=True, binds=[f"{sources}:/src:ro", f"{house}:/wheels:ro"]) as box:
            box.sh(_INSTALL, limit=_PATIENT)

    return install


def _bootstrap(tree: Path, suite: str, arch: str, packages: str) -> None:
    options = [f"--aptopt={line}" for line in apt_settings()]
    spared = [f"--dpkgopt=path-exclude={place}" for place in _SPARED]
    command = ["mmdebstrap", "-q", "--variant=minbase", f"--architectures={arch}", f"--include={packages}"]
    done = subprocess.run([*command, *options, *spared, suite, tree], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"mmdebstrap {suite} {arch} failed:\n{done.stderr[-4000:]}")
    (tree / "etc/hosts").write_text(_HOSTS, encoding="ascii")
    (tree / "etc/hostname").write_text("lab\n", encoding="ascii")


def _copied(target: Path, names: Iterable[str]) -> str:
    """Copy what of the sources is named, so that it stands still, and return its hash."""
    digest = hashlib.sha256()
    for name in names:
        place = REPOSITORY / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and "__pycache__" not in path.parts:
                copy = target / path.relative_to(REPOSITORY)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)
                digest.update(f"{path.relative_to(REPOSITORY)}\0".encode() + copy.read_bytes())
    return digest.hexdigest()
