from __future__ import annotations

import asyncio
import gc
import sqlite3
from typing import TYPE_CHECKING

import aiosqlite
import pytest

from edged.base.db import Database, examine, open_database
from edged.base.errors import CorruptDatabaseError, NewerSchemaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

NOTES = "CREATE TABLE notes (text TEXT PRIMARY KEY);"
MORE = "ALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'; CREATE INDEX by_colour ON notes (colour);"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database lies."""
    return tmp_path / "notes.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    """A fresh database with one table."""
    opened = await open_database(path, [NOTES])
    yield opened
    await opened.close()


def insert(*notes: str) -> Callable[[sqlite3.Connection], None]:
    """Return the transaction that enters `notes`."""

    def transaction(tx: sqlite3.Connection) -> None:
        tx.executemany("INSERT INTO notes (text) VALUES (?)", [(note,) for note in notes])

    return transaction


def run(statement: str) -> Callable[[sqlite3.Connection], None]:
    """Return the transaction of one statement."""

    def transaction(tx: sqlite3.Connection) -> None:
        tx.execute(statement)

    return transaction


async def texts(database: Database) -> list[str]:
    """Return all notes as the reader sees them."""
    return await database.read(lambda tx: [row["text"] for row in tx.execute("SELECT text FROM notes ORDER BY rowid")])


async def test_the_private_call_keeps_its_promise(path: Path) -> None:
    """The private method of aiosqlite still runs a function whole in its thread and returns what it returns."""
    async with aiosqlite.connect(path) as connection:
        call: Callable[..., Awaitable[object]] = connection._execute
        assert await call(lambda conn, number: (conn is connection._conn, number + 1), connection._conn, 1) == (True, 2)


async def test_the_pragmas_are_those_that_were_measured(database: Database) -> None:
    """WAL, FULL, small pages and foreign keys on the writer; the reader neither writes nor checkpoints."""

    def pragmas(connection: sqlite3.Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "page_size", "foreign_keys", "query_only", "wal_autocheckpoint")
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    writer, reader = await database.run(pragmas), await database.read(pragmas)
    assert (writer["journal_mode"], writer["synchronous"], writer["page_size"]) == ("wal", 2, 1024)
    assert (writer["foreign_keys"], writer["query_only"]) == (1, 0)
    assert (reader["query_only"], reader["wal_autocheckpoint"]) == (1, 0)


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    """Whatever a function wrote before it raised is rolled back, and the next transaction is not disturbed."""

    def fail(tx: sqlite3.Connection) -> None:
        insert("lost")(tx)
        raise LookupError("no")

    with pytest.raises(LookupError):
        await database.run(fail)
    await database.run(insert("kept"))
    assert await texts(database) == ["kept"]


async def test_a_statement_that_rolls_back_itself_is_reported(database: Database) -> None:
    """A conflict that SQLite answers with a rollback raises that error, not one about the rollback."""
    await database.run(insert("once"))
    with pytest.raises(sqlite3.IntegrityError):
        await database.run(run("INSERT OR ROLLBACK INTO notes (text) VALUES ('once')"))
    assert await texts(database) == ["once"]


async def test_cancelled_callers_leave_no_transaction_open(database: Database) -> None:
    """Of two hundred tasks half are cancelled, at every stage: what was not is kept, and nothing is stuck."""
    tasks = [asyncio.create_task(database.run(insert(f"{number:03}"))) for number in range(200)]
    for number, task in enumerate(tasks):
        if number % 2:
            for _ in range(number % 5):
                await asyncio.sleep(0)
            task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    kept = [f"{number:03}" for number, outcome in enumerate(outcomes) if outcome is None]
    assert len(kept) >= 100
    assert set(map(type, outcomes)) <= {type(None), asyncio.CancelledError}
    found = await texts(database)
    assert set(kept) <= set(found)
    await database.probe()


async def test_a_failure_after_its_caller_was_cancelled_is_silent(database: Database) -> None:
    """Nobody waits for that error any more: it is no unhandled one either (pytest's warnings are errors)."""
    unhandled: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    task = asyncio.create_task(database.run(run("SELECT * FROM missing")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await texts(database)
    await database.probe()
    gc.collect()
    assert unhandled == []


async def test_readers_see_commits_at_once_and_never_write(database: Database) -> None:
    """What was committed is there for the next read; writing through the reader is refused."""
    await database.run(insert("seen"))
    assert await texts(database) == ["seen"]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database.read(insert("sneaked"))


async def test_a_long_read_does_not_delay_a_commit(database: Database) -> None:
    """A commit goes through while a reader is in the middle of its query, which keeps seeing its own moment."""
    loop = asyncio.get_running_loop()
    reading, commit_done = asyncio.Event(), asyncio.Event()

    def slow(tx: sqlite3.Connection) -> int:
        tx.execute("BEGIN")
        before = tx.execute("SELECT count(*) FROM notes").fetchone()[0]
        loop.call_soon_threadsafe(reading.set)
        asyncio.run_coroutine_threadsafe(commit_done.wait(), loop).result()
        after = tx.execute("SELECT count(*) FROM notes").fetchone()[0]
        tx.execute("COMMIT")
        return int(after - before)

    read = asyncio.create_task(database.read(slow))
    await reading.wait()
    await database.run(insert("meanwhile"))
    commit_done.set()
    assert await read == 0
    assert await texts(database) == ["meanwhile"]


async def test_migrations_go_on_from_where_a_file_is(path: Path) -> None:
    """A file of version 1 is brought to version 2 once, and keeps its rows."""
    first = await open_database(path, [NOTES])
    await first.run(insert("old"))
    await first.close()
    for _ in range(2):
        second = await open_database(path, [NOTES, MORE])
        assert await second.read(lambda tx: [tuple(row) for row in tx.execute("SELECT text, colour FROM notes")]) == [
            ("old", "blue")
        ]
        await second.close()


async def test_a_migration_that_fails_leaves_the_version_before(path: Path) -> None:
    """Half a migration is none: the file opens as it was with the migrations that it knew."""
    first = await open_database(path, [NOTES])
    await first.close()
    with pytest.raises(sqlite3.OperationalError):
        await open_database(path, [NOTES, "ALTER TABLE notes ADD COLUMN colour TEXT; CREATE NONSENSE;"])
    again = await open_database(path, [NOTES, MORE])
    await again.close()


async def test_a_newer_file_is_refused(path: Path) -> None:
    """A file of a later version is not touched, and the message says what to do."""
    newer = await open_database(path, [NOTES, MORE])
    await newer.close()
    with pytest.raises(NewerSchemaError, match="install that one again"):
        await open_database(path, [NOTES])


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
async def test_a_file_that_is_no_database_is_corrupt(path: Path, content: bytes) -> None:
    """Opening it raises the error that lets the caller set it aside."""
    path.write_bytes(content)
    with pytest.raises(CorruptDatabaseError):
        await open_database(path, [NOTES])


async def test_damage_inside_is_found_by_the_quick_check(path: Path) -> None:
    """Pages overwritten in the middle of a sound file are found."""
    database = await open_database(path, [NOTES])
    await database.run(insert(*(f"note {number}" + "x" * 200 for number in range(200))))
    await database.quick_check()
    await database.close()
    with path.open("r+b") as file:
        file.seek(20 * 1024)
        file.write(b"\xee" * 1024 * 10)
    damaged = await open_database(path, [NOTES])
    with pytest.raises(CorruptDatabaseError):
        await damaged.quick_check()
    await damaged.close()


async def test_after_a_failed_sync_the_disk_is_asked_before_the_next_commit(path: Path) -> None:
    """A disk that failed one write may have failed others: what it holds is checked, and damage found."""
    database = await open_database(path, [NOTES])
    await database.run(insert(*(f"note {number}" + "x" * 200 for number in range(200))))
    await database._writer.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(20 * 1024)
        file.write(b"\xee" * 1024 * 10)
    await database.run(insert("nothing has failed yet"))
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        await database.run(_failing_sync)
    with pytest.raises(CorruptDatabaseError):
        await database.run(insert("not entered"))
    await database.close()


def _failing_sync(_: sqlite3.Connection) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    raise error


async def test_the_probe_meets_what_a_commit_would_meet(path: Path, database: Database) -> None:
    """With the write lock held by another program for longer than the wait, the probe fails as a commit would."""
    await database._writer.execute("PRAGMA busy_timeout = 10")
    await database.probe()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await database.probe()
    other.execute("ROLLBACK")
    other.close()
    await database.probe()


async def test_a_backup_is_a_whole_database(tmp_path: Path, database: Database) -> None:
    """The copy holds what was committed, opens on its own, and the database goes on."""
    await database.run(insert("saved"))
    await database.backup(tmp_path / "copy.db")
    await database.run(insert("later"))
    copy = await open_database(tmp_path / "copy.db", [NOTES])
    await copy.quick_check()
    assert await texts(copy) == ["saved"]
    await copy.close()


async def test_closing_folds_the_log_into_the_file(path: Path) -> None:
    """After an ordered end there is one file, which another program can copy."""
    database = await open_database(path, [NOTES])
    await database.run(insert("folded"))
    await database.close()
    assert [each.name for each in path.parent.iterdir()] == ["notes.db"]
    again = await open_database(path, [NOTES])
    assert await texts(again) == ["folded"]
    await again.close()


async def test_a_guest_leaves_the_log_to_its_host(path: Path, database: Database) -> None:
    """Opened beside another process without checkpoints, a database only adds to the log, however long that is."""
    await database.run(insert(*(f"host {number}" for number in range(10))))
    guest = await open_database(path, [NOTES], checkpoints=False)
    before = path.stat().st_size
    try:
        for start in range(0, 4000, 400):
            await guest.run(insert(*(f"{number:04} {'x' * 400}" for number in range(start, start + 400))))
    finally:
        grown = path.stat().st_size - before
        await guest.close()
    assert grown == 0
    assert path.stat().st_size == before
    assert len(await texts(database)) == 4010


async def test_examining_changes_nothing(path: Path, database: Database) -> None:
    """A database in use is examined from beside it; a newer one and a damaged one are told apart."""
    await database.run(insert(*(f"note {number}" + "x" * 200 for number in range(200))))
    await examine(path, 1)
    with pytest.raises(NewerSchemaError):
        await examine(path, 0)
    assert len(await texts(database)) == 200
    missing = path.with_name("missing.db")
    with pytest.raises(sqlite3.OperationalError):
        await examine(missing, 1)
    assert not missing.exists()
    missing.write_bytes(b"this is no database" * 100)
    with pytest.raises(CorruptDatabaseError):
        await examine(missing, 1)
