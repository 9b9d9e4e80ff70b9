"""Opening the receiver's database: looked through, and when it is lost or damaged made anew from its copy and records.

The copy has the devices' keys and the logins, which nothing else has; what arrived after it was taken, the records
beside the files tell (`Uploads.recover`). Without a copy the receiver refuses to start rather than go on with no device
known; and content that nothing knows is never taken for rubbish then.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import structlog

from edged.base.copies import Schema, give_back, is_lost, is_sound, open_checked, set_aside
from edged.base.errors import CorruptDatabaseError, EdgedError
from edged.receiver.store import Store, migrations
from edged.wire import heartbeat, manifest

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.receiver.vault import Vault

log = structlog.get_logger(__name__)


async def open_sound(vault: Vault, clock: Clock) -> tuple[Store, bool]:
    """Open or create the database; True says that it is not the one that was used last, and may know too little.

    Raises EdgedError that says what to do where it can't be had, sqlite3.OperationalError where the disk refuses.
    """
    anew = await asyncio.to_thread(_replace_lost, vault)
    try:
        return Store(await open_checked(vault.database, schema())), anew
    except CorruptDatabaseError as error:
        await asyncio.to_thread(_replace_damaged, vault, str(error), round(clock.wall()))
    return Store(await open_checked(vault.database, schema())), True


def schema() -> Schema:
    """Return the receiver's schema."""
    return Schema(steps=migrations(), check=check_rows)


def check_rows(connection: sqlite3.Connection) -> None:
    """Read what is parsed when it is used; the tables are STRICT, so SQLite itself holds the rest to its types."""
    for row in connection.execute("SELECT manifest FROM upload"):
        manifest.parse(row["manifest"])
    for row in connection.execute("SELECT heartbeat FROM device WHERE heartbeat IS NOT NULL"):
        heartbeat.parse(row["heartbeat"].encode())
    for row in connection.execute("SELECT zones FROM incident"):
        json.loads(row["zones"])


def _replace_lost(vault: Vault) -> bool:
    if not is_lost(vault.database):
        return False
    if is_sound(vault.copy, schema()):
        give_back(vault.copy, vault.database)
        log.error("database missing, its copy is used", path=str(vault.database))
        return True
    if not vault.holds_content():
        return False  # the first start
    if not vault.records.identities():
        raise EdgedError(
            f"{vault.database} is missing and nothing else says what the files in {vault.root} are: put a copy of the"
            " database there, or choose another state directory"
        )
    log.error("database missing, made anew from the files; add the devices and logins again", path=str(vault.database))
    return True


def _replace_damaged(vault: Vault, why: str, now: int) -> None:
    path: Path = vault.database
    if not is_sound(vault.copy, schema()):
        raise EdgedError(
            f"{path}: {why}. There is no sound copy of it. Put one there; or move the file away, then the files are"
            " entered again from their records, but devices and logins have to be added anew"
        )
    aside = set_aside(path, now)
    give_back(vault.copy, path)
    log.error("database damaged, its copy is used", path=str(path), aside=str(aside), why=why)
