"""A database's copy beside it: taken while it is in use, given back when the database itself is lost or damaged.

SQLite's own check sees damage to the file's structure, and what contradicts an index or a CHECK. A flipped bit inside a
value it can't see: so a schema comes with a `check` that reads every row as it will be read later.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from edged.base.db import open_database
from edged.base.disk import sync_directory
from edged.base.errors import CorruptDatabaseError, EdgedError
from edged.base.lock import lockers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from edged.base.db import Database

_BESIDE = ("", "-wal", "-shm", "-journal")  # a database's files


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """A schema's versions, each the script that leads to it, and what reads every row of the newest, or raises."""

    steps: tuple[str, ...]
    check: Callable[[sqlite3.Connection], None]


async def open_checked(path: Path, schema: Schema) -> Database:
    """Open or create the database at `path` and look it through; raises as `base.db.open_database` does."""
    try:
        database = await open_database(path, schema.steps)
    except sqlite3.OperationalError as error:
        if not _is_senseless(error):
            raise
        raise CorruptDatabaseError(f"the database is damaged: {error}") from error
    try:
        await database.read(lambda connection: look_through(connection, schema))
    except BaseException:
        await database.close()
        raise
    return database


def look_through(connection: sqlite3.Connection, schema: Schema) -> None:
    """Raise CorruptDatabaseError if SQLite finds damage, the tables are not the schema's, or a row can't be read.

    Of the whole check, `integrity_check`, the part that `quick_check` leaves out is what finds a flipped bit in an
    indexed value: the index and its table contradict each other.
    """
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise CorruptDatabaseError(f"the database is damaged: {verdict}")
    stray = connection.execute("PRAGMA foreign_key_check").fetchone()
    if stray is not None:
        raise CorruptDatabaseError(f"the database is damaged: a row of {stray[0]} refers to none of {stray[2]}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    try:
        if version <= len(schema.steps) and _objects(connection) != _made_by(schema.steps[:version]):
            raise CorruptDatabaseError("its tables are not what edged made")
        schema.check(connection)
    except (EdgedError, ValueError, TypeError, LookupError, AttributeError, sqlite3.OperationalError) as error:
        if isinstance(error, sqlite3.OperationalError) and not _is_senseless(error):
            raise
        raise CorruptDatabaseError(f"the database is damaged: {error}") from error


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a database to read it alone, changing nothing; it may be in use. Raises sqlite3.Error. Blocks."""
    # one that nobody works with has no log, and read as immutable it gets none; whoever works with it keeps one there
    used = path.with_name(path.name + "-wal").exists()
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{'' if used else '&immutable=1'}", uri=True)
    connection.row_factory = sqlite3.Row
    return connection


async def take_copy(database: Database, target: Path) -> None:
    """Put a consistent copy of `database`, which stays in use, at `target`, whole or not at all; it lasts."""
    new = target.with_name(target.name + ".new")
    await asyncio.to_thread(_make_empty, new)
    try:
        await database.backup(new)
        await asyncio.to_thread(_put_in_place, new, target)
    finally:
        await asyncio.to_thread(new.unlink, missing_ok=True)  # what a full disk has left of it


def is_sound(copy: Path, schema: Schema) -> bool:
    """Return whether the copy is there, undamaged, and not of a newer schema; it is only read. Blocks."""
    if not copy.exists() or not copy.stat().st_size:
        return False
    try:
        with contextlib.closing(open_to_read(copy)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            look_through(connection, schema)
    except (sqlite3.Error, UnicodeDecodeError, CorruptDatabaseError):
        return False
    return 0 < int(version) <= len(schema.steps)


def give_back(copy: Path, path: Path) -> None:
    """Put the copy in the place of the database at `path`, which is gone or set aside; it lasts. Blocks."""
    new = path.with_name(path.name + ".new")
    _make_empty(new)
    shutil.copyfile(copy, new)
    for suffix in _BESIDE[1:]:  # a log that a lost database left must not be played into another
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    _put_in_place(new, path)


def set_aside(path: Path, now: int) -> Path:
    """Give a damaged database with its log the name of `now` (Unix seconds) and return that; it lasts. Blocks."""
    aside = path.with_name(f"{path.name}.corrupt-{now}")
    for suffix in _BESIDE:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    sync_directory(path.parent)
    return aside


def is_lost(path: Path) -> bool:
    """Return whether there is no database at `path`, or one in which nothing was ever made. Blocks."""
    if not path.exists() or not path.stat().st_size:
        return True
    try:
        with contextlib.closing(open_to_read(path)) as connection:
            (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except (sqlite3.Error, UnicodeDecodeError):
        return False  # damaged or out of reach: opening it tells
    return not objects and not version


def _objects(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    return [tuple(row) for row in found]


@lru_cache(8)
def _made_by(steps: tuple[str, ...]) -> list[tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for script in steps:
            connection.executescript(script)
        return _objects(connection)


@contextlib.asynccontextmanager
async def naming_lockers(path: Path) -> AsyncIterator[None]:
    """Have the error of a lock that was waited for in vain name the processes that hold one on the database."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        raise await asyncio.to_thread(_locked, path, error) from error


def _locked(path: Path, error: sqlite3.OperationalError) -> sqlite3.OperationalError:
    by = {name for suffix in _BESIDE for name in lockers(path.with_name(path.name + suffix))}
    told = sqlite3.OperationalError(f"{path} is locked by {' and '.join(sorted(by)) or 'another program'}: end it")
    told.sqlite_errorcode = error.sqlite_errorcode
    return told


def _is_senseless(error: sqlite3.OperationalError) -> bool:
    """Return whether a statement failed for what the file holds (a table is missing, a text is none), not the disk."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR or "decode" in str(error)


def _make_empty(new: Path) -> None:
    # what a power cut left of an earlier copy is no database, and SQLite would refuse to write into it for ever
    for suffix in _BESIDE:
        new.with_name(new.name + suffix).unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _put_in_place(new: Path, target: Path) -> None:
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.replace(target)
    sync_directory(target.parent)
