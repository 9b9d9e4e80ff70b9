"""The databases across an upgrade: a newer release may change them to what the older one can't read.

All of it is done as the service's own user.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

from scripts.installing.system import InstallError, as_user, say, sync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.installing.places import Role

_LOG = "-wal"  # what is committed and not yet in the database's own file


def require_readable(role: Role, name: str, newest: int) -> None:
    """Raise InstallError if a role's database is newer than what the release `name` knows."""
    path = _path(role)
    found = as_user(role.user, lambda: _version(path))
    if found > newest:
        raise InstallError(
            f"{path} is of a newer edged: schema {found}, and {name} knows {newest} at most; nothing was changed."
            " Install that version or a later one"
        )


def take_copy(role: Role, name: str) -> None:
    """Copy a role's database, whose service has stopped, beside it under the name of the release that reads it."""
    path = _path(role)
    as_user(role.user, lambda: _take_copy(path, name))


def put_back(role: Role, name: str, newest: int) -> None:
    """Give the release `name`, which knows schemas up to `newest`, its copy back if it can't read what is there.

    What a newer release wrote stays beside it. Its clips, snapshots and receipts are not lost: they have files with
    sidecars, which the next start takes in.
    """
    path = _path(role)
    if as_user(role.user, lambda: _put_back(path, name, newest)):
        say(f"{path} is as it was before the upgrade; what the new version wrote is kept in {path.name}.newer")


def drop_copy(role: Role, name: str) -> None:
    """Remove the copy that is not needed any more."""
    path = _path(role)
    as_user(role.user, lambda: _drop(path, name))


def _path(role: Role) -> Path:
    return role.state() / role.database


def _copy(path: Path, name: str, suffix: str = "") -> Path:
    return path.with_name(f"{path.name}.before-{name}{suffix}")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _version(path: Path) -> int:
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        (found,) = database.execute("PRAGMA user_version").fetchone()
    return int(found)


def _take_copy(path: Path, name: str) -> None:
    _drop(path, name)
    for suffix in (_LOG, ""):  # the database's own last: its copy counts, once it is there
        if _beside(path, suffix).exists():
            target = _copy(path, name, suffix)
            shutil.copy2(_beside(path, suffix), target)
            with target.open("rb") as file:
                os.fsync(file.fileno())
    if path.exists():
        sync_directory(path.parent)


def _put_back(path: Path, name: str, newest: int) -> bool:
    copy = _copy(path, name)
    if not copy.exists() or _version(path) <= newest:
        return False
    for suffix in ("", _LOG, "-shm"):
        if _beside(path, suffix).exists():
            _beside(path, suffix).replace(path.with_name(f"{path.name}.newer{suffix}"))
    log = _copy(path, name, _LOG)
    if log.exists():
        log.replace(_beside(path, _LOG))
    copy.replace(path)
    sync_directory(path.parent)
    return True


def _drop(path: Path, name: str) -> None:
    for suffix in ("", _LOG):
        _copy(path, name, suffix).unlink(missing_ok=True)
