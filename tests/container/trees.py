"""Trees of files to boot: a bare Debian, and one in which edged was installed, each made once and kept.

A tree's folder is named by the hash of what it is made from. Each use leaves its mark, and what was not used for two
weeks goes. A tree is never changed after it was made: `boot` writes into a layer of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.container.box import boot
from tests.container.machine import CACHE, apt_settings, locked, require

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parent.parent.parent
_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "ca-certificates", "iproute2", "procps"),
    *("python3", "python3-venv"),  # or each tree that is installed would fetch it anew
)
_SPARED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
_INSTALLED_FROM = ("pyproject.toml", "README.md", "LICENSE", "config", "edged", "requirements", "scripts", "systemd")
_KEPT_INSTALLED = 3


def debian(suite: str = "bookworm", arch: str = "amd64", extra: tuple[str, ...] = ()) -> Path:
    """Return a minimal Debian with systemd and Python; `extra` names further packages."""
    packages = ",".join(sorted({*_PACKAGES, *extra}))
    return _made(
        f"debian-{suite}-{arch}", f"{packages} {_SPARED}", lambda tree: _bootstrap(tree, suite, arch, packages)
    )


def wheels(base: Path) -> Path:
    """Return a folder with the locked wheels that the tree's own Python and processor need."""

    def fetch(folder: Path) -> None:
        folder.mkdir()
        with boot(
            base, network=True, binds=[f"{REPOSITORY / 'requirements'}:/requirements:ro", f"{folder}:/wheels"]
        ) as box:
            box.sh("""
                python3 -m venv /tmp/venv
                cd /requirements
                /tmp/venv/bin/pip download -q --require-hashes --only-binary=:all: -d /wheels -r runtime.txt
            """)

    made_from = f"{base.name} {(REPOSITORY / 'requirements' / 'runtime.txt').read_text(encoding='utf-8')}"
    return _made("wheels", made_from, fetch)


def installed(suite: str = "bookworm", arch: str = "amd64", extra: tuple[str, ...] = ()) -> Path:
    """Return a tree in which edged and its receiver were installed; nothing is configured or running."""
    base = debian(suite, arch, extra)
    house = wheels(base)

    def install(tree: Path) -> None:
        subprocess.run(["cp", "-a", base, tree], check=True)
        with boot(tree, keep=True, binds=[f"{REPOSITORY}:/src:ro", f"{house}:/wheels:ro"]) as box:
            box.sh(_INSTALL)

    tree = _made(f"installed-{suite}-{arch}", f"{base.name} {house.name} {_digest()} {_INSTALL}", install)
    _prune(f"installed-{suite}-{arch}", keep=_KEPT_INSTALLED)
    return tree


_INSTALL = """
    export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
    mkdir -p /opt/edged/releases /etc/edged
    python3 -m venv /opt/edged/releases/lab
    pip=/opt/edged/releases/lab/bin/pip
    $pip install -q --require-hashes --only-binary=:all: -r /src/requirements/runtime.txt
    mkdir /tmp/build
    cp -a /src/pyproject.toml /src/README.md /src/LICENSE /src/edged /src/config /tmp/build
    $pip install -q --no-deps --no-build-isolation /tmp/build
    rm -r /tmp/build
    ln -s releases/lab /opt/edged/current
    ln -s /opt/edged/current/bin/edged /usr/local/bin/edged
    useradd --system --no-create-home --home-dir /var/lib/edged --shell /usr/sbin/nologin --groups video edged
    useradd --system --no-create-home --home-dir /var/lib/edged-receiver --shell /usr/sbin/nologin edged-receiver
    cp -r /src/systemd/*.service /src/systemd/*.timer /etc/systemd/system
    sed -i 's,/opt/edged/.venv/bin/edged,/opt/edged/current/bin/edged,' /etc/systemd/system/edged*.service
"""


def _bootstrap(tree: Path, suite: str, arch: str, packages: str) -> None:
    options = [f"--aptopt={line}" for line in apt_settings()]
    spared = [f"--dpkgopt=path-exclude={place}" for place in _SPARED]
    command = ["mmdebstrap", "-q", "--variant=minbase", f"--architectures={arch}", f"--include={packages}"]
    done = subprocess.run([*command, *options, *spared, suite, tree], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"mmdebstrap {suite} {arch} failed:\n{done.stderr[-4000:]}")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="ascii")
    (tree / "etc/hostname").write_text("lab\n", encoding="ascii")


def _made(name: str, made_from: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of that name and content, made by `make` when it is not there; two processes make it once."""
    require()
    folder = CACHE / f"{name}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"
    with locked(CACHE / f"{folder.name}.lock"):
        if not folder.exists():
            half = CACHE / f"{folder.name}.half"
            shutil.rmtree(half, ignore_errors=True)
            make(half)
            half.rename(folder)
        (CACHE / f"{folder.name}.lock").touch()
    return folder


def _digest() -> str:
    """Return the hash of all that an installation is made from."""
    digest = hashlib.sha256()
    for name in _INSTALLED_FROM:
        place = REPOSITORY / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(REPOSITORY)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _prune(name: str, *, keep: int) -> None:
    """Remove the trees of that name but the newest `keep`."""
    locks = sorted(CACHE.glob(f"{name}-*.lock"), key=lambda lock: lock.stat().st_mtime, reverse=True)
    for lock in locks[keep:]:
        with lock.open("a") as file, contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(CACHE / lock.stem, ignore_errors=True)
            lock.unlink()
