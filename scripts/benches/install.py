"""./scripts/install in a bare Debian container: the first time over the network, again, and with a new version.

The baseline is what cannot be had for less: a virtual environment with the locked packages, from the same network.
Needs root, and the tests' packages (./scripts/setup --tests).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from scripts.benches.figure import Figure
from tests.container import lab
from tests.container.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONFIG = """
[device]
name = "bench"

[cameras.door]
source = "synthetic"
"""
_BARE = """
    python3 -m venv /tmp/bare
    /tmp/bare/bin/pip install -q --no-cache-dir --only-binary=:all: --require-hashes \
        -r /sources/first/requirements/runtime.txt
    rm -r /tmp/bare
"""


def figures(_argv: Sequence[str]) -> list[Figure]:
    """Return all figures."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Sources(folder=Path(folder))
        first, second = sources.make("first"), sources.make("second", "9.9.9")
        with lab.boot(lab.debian(), network=True, binds=[f"{folder}:/sources:ro"]) as box:
            return _measure(box, first, second)


def _measure(box: lab.Box, first: str, second: str) -> list[Figure]:
    bare = _seconds(box, _BARE)
    box.put("/etc/edged/edged.toml", _CONFIG)
    fresh = _seconds(box, f"{first}/install")
    one = _megabytes(box)
    again = _seconds(box, f"{first}/install")
    upgrade = _seconds(box, f"{second}/install")
    return [
        Figure(figure="install.first", value=fresh, unit="s", baseline=bare, ratio=fresh / bare),
        Figure(figure="install.again", value=again, unit="s", aim="seconds"),
        Figure(figure="install.upgrade", value=upgrade, unit="s"),
        Figure(figure="install.release", value=one, unit="MB"),
        Figure(figure="install.release.second", value=_megabytes(box) - one, unit="MB"),
    ]


def _seconds(box: lab.Box, script: str) -> float:
    started = perf_counter()
    box.sh(script, limit=3600)
    return perf_counter() - started


def _megabytes(box: lab.Box) -> float:
    return int(box.sh("du -sk /opt/edged | cut -f1").stdout) * 1024 / 1e6
