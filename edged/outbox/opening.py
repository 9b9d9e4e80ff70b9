"""Opening the outbox: checked, migrated, and when damaged set aside for a fresh one."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import TYPE_CHECKING

import structlog

from edged.base.db import Database, examine, open_database
from edged.base.errors import CorruptDatabaseError

if TYPE_CHECKING:
    from pathlib import Path

    from edged.base.clock import Clock

log = structlog.get_logger(__name__)

_NEWEST = 1  # schema versions: schema.sql, and migrations once there are some


async def open_sound(path: Path, clock: Clock) -> tuple[Database, bool]:
    """Open or create the database at `path`; a damaged one is set aside for a fresh one, and True says so."""
    migrations = (resources.files("edged.outbox").joinpath("schema.sql").read_text(encoding="utf-8"),)
    try:
        return await _open_checked(path, migrations), False
    except CorruptDatabaseError as error:
        aside = await asyncio.to_thread(_set_aside, path, round(clock.wall()))
        log.error("database set aside", error=str(error), path=str(path), aside=str(aside))
        return await open_database(path, migrations), True


async def _open_checked(path: Path, migrations: tuple[str, ...]) -> Database:
    database = await open_database(path, migrations)
    try:
        await database.quick_check()
    except BaseException:
        await database.close()
        raise
    return database


def _set_aside(path: Path, now: int) -> Path:
    aside = path.with_name(f"{path.name}.corrupt-{now}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


async def examine_outbox(path: Path) -> None:
    """Look at an outbox without changing it; raises as `base.db.examine` does."""
    await examine(path, newest=_NEWEST)
