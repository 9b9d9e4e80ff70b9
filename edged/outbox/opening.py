"""Opening the outbox: looked through, migrated, and when it is lost or damaged begun from its copy, or anew.

The copy is some hours old. It brings back what only the database has: the two ledgers, what is being held back, notices
and alerts on their way, a person's decisions. What came after it, salvage takes from the files and their sidecars, and
without a sound copy everything. Both ways keys stay the same, so that the receiver drops repeats.
"""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import TYPE_CHECKING

import structlog

from edged.base.copies import Schema, give_back, is_lost, is_sound, open_checked, set_aside
from edged.base.db import examine
from edged.base.errors import CorruptDatabaseError
from edged.outbox.soundness import check_rows

if TYPE_CHECKING:
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.base.db import Database

log = structlog.get_logger(__name__)


def schema() -> Schema:
    """Return the outbox's schema: its first version, and migrations once there are some."""
    first = resources.files("edged.outbox").joinpath("schema.sql").read_text(encoding="utf-8")
    return Schema(steps=(first,), check=check_rows)


async def open_sound(path: Path, clock: Clock) -> tuple[Database, bool]:
    """Open or create the database at `path`; True says that it is not the one that was used last.

    Then it was lost or damaged, and knows what its copy knew, or nothing. A damaged one is kept under another name.
    """
    anew = await asyncio.to_thread(is_lost, path) and await _take_copy_back(path)
    try:
        return await open_checked(path, schema()), anew
    except CorruptDatabaseError as error:
        aside = await asyncio.to_thread(set_aside, path, round(clock.wall()))
        log.error("database set aside", error=str(error), path=str(path), aside=str(aside))
    await _take_copy_back(path)
    return await open_checked(path, schema()), True


def copy_of(path: Path) -> Path:
    """Return where the copy of the database at `path` lies."""
    return path.with_name(path.name + ".backup")


async def _take_copy_back(path: Path) -> bool:
    copy = copy_of(path)
    if not await asyncio.to_thread(is_sound, copy, schema()):
        return False
    await asyncio.to_thread(give_back, copy, path)
    log.error("database taken back from its copy", path=str(path), copy=str(copy))
    return True


async def examine_outbox(path: Path) -> None:
    """Look at an outbox without changing it; raises as `base.db.examine` does."""
    await examine(path, newest=len(schema().steps))
