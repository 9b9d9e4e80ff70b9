"""One SQLite file, one writer: every transaction is one function, run whole in the database's thread.

WAL, synchronous=FULL (measured: NORMAL loses acknowledged commits at a power cut), small pages (less wear),
migrations counted in `user_version`. A cancelled caller never leaves a transaction open.
Reads run on a second, query-only connection, so that a long listing never delays a commit; only the writer
checkpoints (two connections that write and checkpoint at once can corrupt a WAL file before SQLite 3.51.3).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

import aiosqlite

from edged.base.errors import CorruptDatabaseError, NewerSchemaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

T = TypeVar("T")

_PAGE_SIZE = 1024  # bytes; 10 kB instead of 25 kB written per incident
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}  # the second: for the index beside the WAL
_BUSY = 5.0  # seconds to wait for a lock that only a person's sqlite3 shell can hold


class Database:
    """An open database. Make it with `open_database`, end it with `close`.

    `on_damage` is called with the reason whenever a call meets damage, beside the error that its caller gets.
    """

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self.path = path
        self.on_damage: Callable[[str], None] = _ignore
        self._writer = writer
        self._reader = reader
        self._doubtful = False  # the disk failed under a commit

    async def run(
        self, transaction: Callable[[sqlite3.Connection], T], *, after: Callable[[], None] | None = None
    ) -> T:
        """Run `transaction` whole inside BEGIN IMMEDIATE and COMMIT; any exception rolls it back and is raised.

        Cancelling the caller does not stop the commit: transactions must be idempotent by key. `after` is called in
        the database's thread once it is committed, whether anyone still waits or not. A commit whose sync failed is not
        synced again: SQLite writes it anew, and first all that is on the disk is checked.
        """
        if self._doubtful:
            await self._look_again()
        return await self._ask(self._writer, self._noted, transaction, after)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` on the query-only connection."""
        return await self._ask(self._reader, _bare, query)

    async def probe(self) -> None:
        """Take and release the write lock without writing: raises what a commit would meet first."""
        await self._ask(self._writer, _bare, _lock_and_release)

    async def quick_check(self) -> None:
        """Raise CorruptDatabaseError if SQLite's own check finds damage."""
        await self.read(_quick_check)

    async def backup(self, target: Path) -> None:
        """Write a consistent copy to `target` while the database stays in use."""
        await self._ask(self._reader, _backup, target)

    async def close(self) -> None:
        """Close both connections; the last one folds the WAL into the file."""
        await self._reader.close()
        await self._writer.close()

    def _noted(
        self,
        connection: sqlite3.Connection,
        transaction: Callable[[sqlite3.Connection], T],
        after: Callable[[], None] | None,
    ) -> T:
        try:
            return _whole(connection, transaction, after)
        except sqlite3.OperationalError as error:
            self._doubtful = self._doubtful or _disk_failed(error)
            raise

    async def _look_again(self) -> None:
        """Have the disk say what it holds; the pages of a failed write are clean, so the kernel drops them."""
        await self._ask(self._reader, _check_anew, self.path)
        self._doubtful = False

    async def _ask(self, connection: aiosqlite.Connection, function: Callable[..., T], *args: Any) -> T:
        try:
            return await _call(connection, function, *args)
        except CorruptDatabaseError as error:
            self.on_damage(str(error))
            raise


def _ignore(_reason: str) -> None:
    """Leave damage to whoever made the call."""


async def open_database(path: Path, migrations: Sequence[str], *, checkpoints: bool = True) -> Database:
    """Open or create the database at `path` and bring it to version `len(migrations)`.

    Without `checkpoints` the WAL is left to another process, which has the database open and alone may fold it in.
    Raises CorruptDatabaseError (damaged), NewerSchemaError (written by a newer edged), sqlite3.OperationalError
    (disk full, read-only, locked).
    """
    writer = await aiosqlite.connect(path, isolation_level=None, timeout=_BUSY)
    try:
        await _call(writer, _prepare, path, tuple(migrations))
        if not checkpoints:
            await _call(writer, _leave_wal, None)
        reader = await aiosqlite.connect(path, isolation_level=None, timeout=_BUSY)
        await _call(reader, _query_only, None)
    except BaseException:
        await writer.close()
        raise
    return Database(path, writer, reader)


def lacks_room(error: sqlite3.OperationalError) -> bool:
    """Return whether a statement failed for want of space on the disk."""
    return getattr(error, "sqlite_errorcode", None) in _NO_ROOM  # errors of our own have no code


def _disk_failed(error: sqlite3.OperationalError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR


def _check_anew(_: sqlite3.Connection, path: Path) -> None:
    # the WAL alone: to close any descriptor of the database itself would give up SQLite's locks on it (fcntl(2))
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path.with_name(f"{path.name}-wal"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    fresh = sqlite3.connect(path)  # one that remembers no page
    try:
        _query_only(fresh, None)
        _quick_check(fresh)
    finally:
        fresh.close()


async def _call(connection: aiosqlite.Connection, function: Callable[..., T], *args: Any) -> T:
    # aiosqlite has no public call for a whole function; tests/base/test_db.py holds this one to its promise.
    # Its thread works off whatever was queued, though the caller be cancelled: no shield is needed.
    call: Awaitable[T] = connection._execute(function, connection._conn, *args)  # type: ignore[no-untyped-call]  # noqa: SLF001
    try:
        return await call
    except UnicodeDecodeError as error:  # SQLite's own message holds a piece of a damaged schema
        raise CorruptDatabaseError(f"the database is damaged: {error}") from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError | sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise CorruptDatabaseError(f"the database is damaged: {error}") from error


def _whole(
    connection: sqlite3.Connection, transaction: Callable[[sqlite3.Connection], T], after: Callable[[], None] | None
) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = transaction(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    if after is not None:
        after()
    return result


def _bare(connection: sqlite3.Connection, query: Callable[[sqlite3.Connection], T]) -> T:
    return query(connection)


def _lock_and_release(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")


def _prepare(connection: sqlite3.Connection, path: Path, migrations: tuple[str, ...]) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")  # must come before WAL
    # the row must be fetched: an error of this PRAGMA is otherwise silent
    (mode,) = connection.execute("PRAGMA journal_mode = wal").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError(f"{path} can't use a write-ahead log (journal mode is {mode})")
    connection.execute("PRAGMA synchronous = full")
    connection.execute("PRAGMA foreign_keys = on")
    _migrate(connection, path, migrations)


def _migrate(connection: sqlite3.Connection, path: Path, migrations: tuple[str, ...]) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise NewerSchemaError(
            f"{path} was written by a newer edged (schema {version}, this one knows {len(migrations)}):"
            " install that one again"
        )
    for number, script in enumerate(migrations[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA user_version = {number};\nCOMMIT;")


def _leave_wal(connection: sqlite3.Connection, _: None) -> None:
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def _query_only(connection: sqlite3.Connection, _: None) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA query_only = on")
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def _quick_check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise CorruptDatabaseError(f"the database is damaged: {verdict}")


def _backup(connection: sqlite3.Connection, target: Path) -> None:
    copy = sqlite3.connect(target)
    try:
        connection.backup(copy)
    finally:
        copy.close()


async def examine(path: Path, newest: int) -> None:
    """Look at a database without changing it; it may be in use by another process.

    Raises CorruptDatabaseError, NewerSchemaError (beyond version `newest`), sqlite3.OperationalError.
    """
    connection = await aiosqlite.connect(f"file:{path}?mode=ro", uri=True, timeout=_BUSY)
    try:
        await _call(connection, _examine, path, newest)
    finally:
        await connection.close()


def _examine(connection: sqlite3.Connection, path: Path, newest: int) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > newest:
        raise NewerSchemaError(f"{path} was written by a newer edged (schema {version}): install that one again")
    _quick_check(connection)
