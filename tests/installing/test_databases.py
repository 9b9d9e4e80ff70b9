"""A database before and after an upgrade, with what SQLite keeps beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts.installing.databases import _drop, _put_back, _take_copy, _version

if TYPE_CHECKING:
    from pathlib import Path

_LIVE = "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of version 1 whose last row is in its log alone, as a killed program leaves it."""
    path, made = tmp_path / "outbox.db", tmp_path / "made.db"
    with closing(sqlite3.connect(made)) as connection:
        connection.executescript(f"{_LIVE} CREATE TABLE clips (name); PRAGMA user_version = 1;")
        connection.execute("INSERT INTO clips VALUES ('one')")
        connection.commit()
        path.write_bytes(made.read_bytes())
        path.with_name("outbox.db-wal").write_bytes(made.with_name("made.db-wal").read_bytes())
    return path


def _migrate(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("ALTER TABLE clips ADD COLUMN size; PRAGMA user_version = 2;")
        connection.execute("INSERT INTO clips VALUES ('two', 2)")
        connection.commit()


def _rows(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM clips").fetchall()


def test_what_a_newer_version_wrote_is_kept_beside(database: Path) -> None:
    """The copy holds what was in the log, too; nothing of the newer database's log is played into it."""
    _take_copy(database, "old")
    _migrate(database)
    assert _put_back(database, "old", newest=1)
    assert (_version(database), _rows(database)) == (1, [("one",)])
    assert _rows(database.with_name("outbox.db.newer")) == [("one", None), ("two", 2)]


def test_what_can_be_read_is_not_exchanged(database: Path) -> None:
    """Rows that the new version wrote stay where its schema is the same, or nothing was migrated yet."""
    _take_copy(database, "old")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("INSERT INTO clips VALUES ('two')")
        connection.commit()
    assert not _put_back(database, "old", newest=1)
    assert _rows(database) == [("one",), ("two",)]
    _drop(database, "old")
    assert sorted(path.name for path in database.parent.glob("*before*")) == []


def test_a_copy_that_was_interrupted_is_none(database: Path) -> None:
    """The log is copied first, so that without the database's own copy there is nothing to give back."""
    _take_copy(database, "old")
    database.with_name("outbox.db.before-old").unlink()
    _migrate(database)
    assert not _put_back(database, "old", newest=1)
    assert _version(database) == 2


def test_without_a_database_there_is_nothing_to_do(tmp_path: Path) -> None:
    """A device that has never run has no version, no copy, and nothing to be given back."""
    path = tmp_path / "outbox.db"
    _take_copy(path, "old")
    assert (_version(path), _put_back(path, "old", newest=1)) == (0, False)
    assert list(tmp_path.iterdir()) == []
