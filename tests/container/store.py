"""Folders made once and kept between runs, named by what they are made from; old ones go when nobody uses them.

Each has a lock file beside it: alone in it is who makes or removes the folder, and who uses it shares it until its
process ends. The lock's time is that of the last use.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from typing import IO, TYPE_CHECKING

from tests.container.machine import CACHE, HALF

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_KEPT = 2  # folders of a kind, beside those in use
_in_use: dict[Path, IO[str]] = {}


def kept(name: str, made_from: str, make: Callable[[Path], None], cache: Path = CACHE) -> Path:
    """Return the folder of that name and content, made by `make(path)` when it is not there: once, by one process."""
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{name}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"
    if folder not in _in_use:
        lock = _lock_of(folder).open("a")
        fcntl.flock(lock, fcntl.LOCK_SH)
        while not folder.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                half = folder.with_name(f"{folder.name}{HALF}")
                shutil.rmtree(half, ignore_errors=True)
                make(half)
                half.rename(folder)
            fcntl.flock(lock, fcntl.LOCK_SH)  # not in one step with the lock alone: the folder may go in between
        _in_use[folder] = lock
        _prune(name, cache)
    _lock_of(folder).touch()
    return folder


def _prune(name: str, cache: Path) -> None:
    """Remove the folders of that name but the last used, those in use, and what a killed process left half made."""
    found = [path for path in cache.glob(f"{name}-*") if path.is_dir()]
    whole = [path for path in found if path.suffix != HALF]
    whole.sort(key=lambda path: _used(_lock_of(path)), reverse=True)
    for folder in (*whole[_KEPT:], *(path for path in found if path.suffix == HALF)):
        with _lock_of(folder).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # somebody boots it, or makes it
            shutil.rmtree(folder, ignore_errors=True)  # another process may have been quicker


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name.removesuffix(HALF)}.lock")


def _used(lock: Path) -> float:
    return lock.stat().st_mtime if lock.exists() else 0.0
