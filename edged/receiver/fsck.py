"""`edged receive fsck`: rows, records and contents held against each other, and with --repair put right.

Every content is hashed, which is the point: a disk that rots is found before the device that had the clip has deleted
it. To look changes nothing and may be done beside a running receiver; to repair needs its lock.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edged.base.clock import SystemClock
from edged.base.copies import is_lost, is_sound, look_through, open_to_read
from edged.base.errors import CorruptDatabaseError, EdgedError, NewerSchemaError
from edged.base.lock import hold, is_held
from edged.receiver.opening import open_sound, schema
from edged.receiver.uploads import Uploads
from edged.receiver.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edged.receiver.settings import ReceiverConfig

CLEAN, FOUND, UNABLE = 0, 1, 2
_READ = 1024 * 1024
_AGAIN = 2.0  # seconds until what a running receiver may only have been busy with is looked at again


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is wrong; `content` is the SHA-256 that it is about, if it is about one."""

    text: str
    remedy: str
    content: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was found, as lines for people, and the command's exit code."""

    lines: tuple[str, ...]
    code: int


async def fsck(config: ReceiverConfig, *, repair: bool) -> Report:
    """Examine a receiver's state directory, and put right what is wrong if asked.

    EdgedError says what keeps it from being examined or repaired: a running receiver, a newer schema.
    """
    vault = Vault(config.state)
    if not await asyncio.to_thread(vault.root.is_dir):
        raise EdgedError(f"{vault.root} is no directory: there is nothing to examine; see state")
    alive = await asyncio.to_thread(is_held, vault.lock)
    if repair and alive:
        raise EdgedError(f"a receiver runs on {vault.root}: stop it before a repair; nothing was changed")
    found = await _found(vault)
    if found and alive:
        await asyncio.sleep(_AGAIN)
        again = set(await _found(vault))
        found = [finding for finding in found if finding in again]
    if not repair or not found:
        return Report(lines=tuple(_lines(found, "would")), code=FOUND if found else CLEAN)
    with hold(vault.lock):
        await _mend(config, vault, found)
        left = await _found(vault)
    mended = [finding for finding in found if finding not in left]
    return Report(lines=(*_lines(mended, "done:")[:-1], *_lines(left, "could not")), code=UNABLE if left else FOUND)


def examine(vault: Vault) -> Iterator[Finding]:
    """Look at everything once. Blocks; raises NewerSchemaError, or sqlite3.OperationalError when it can't be read."""
    wrong = _database_wrong(vault)
    if wrong:
        remedy = "set it aside, go on from its copy, and enter again what the records tell"
        yield Finding(text=f"{vault.database}: {wrong}", remedy=remedy)
        return
    if vault.copy.exists() and not is_sound(vault.copy, schema()):
        yield Finding(text=f"{vault.copy} is damaged", remedy="remove it; the running receiver takes it anew")
    if is_lost(vault.database):
        return
    with closing(open_to_read(vault.database)) as connection:
        rows = connection.execute("SELECT id, owner, key, sha256, size FROM file ORDER BY id").fetchall()
    yield from _contents(vault, rows)
    recorded = {path.name for path in (vault.root / "records").glob("??/*") if path.suffix != ".new"}
    known = {row["id"] for row in rows}
    for row in rows:
        if row["id"] not in recorded:
            yield Finding(text=f"{_name(row)} has no record", remedy="write it")
    for record in vault.records.read(recorded - known):
        if vault.holds(record.file.sha256, record.file.size):
            yield Finding(
                text=f"{record.file.owner}'s {record.file.key} has a record and no row", remedy="enter it again"
            )


def _contents(vault: Vault, rows: list[sqlite3.Row]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for row in rows:
        sha256 = row["sha256"]
        if sha256 not in seen:
            seen[sha256] = _content_wrong(vault.blob(sha256), sha256, row["size"])
        if seen[sha256]:
            kept = "" if seen[sha256] == "is missing" else ", and keep what is left in damaged/"
            remedy = f"claim it no more, so that whoever still has it can send it again{kept}"
            yield Finding(text=f"the content of {_name(row)} {seen[sha256]}", remedy=remedy, content=sha256)


def _content_wrong(path: Path, sha256: str, size: int) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_READ):
                digest.update(block)
            found = file.tell()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"can't be read: {error.strerror}"
    if found != size:
        return f"has {found} bytes instead of {size}"
    return "" if digest.hexdigest() == sha256 else "has other bytes than arrived"


def _database_wrong(vault: Vault) -> str:
    if is_lost(vault.database):
        return "is missing, or empty" if vault.holds_content() or vault.copy.exists() else ""
    try:
        with closing(open_to_read(vault.database)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(schema().steps):
                raise NewerSchemaError(
                    f"{vault.database} was written by a newer edged (schema {version}): use that one"
                )
            look_through(connection, schema())
    except sqlite3.OperationalError:
        raise
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return f"the database is damaged: {error}"
    except CorruptDatabaseError as error:
        return str(error)
    return ""


async def _found(vault: Vault) -> list[Finding]:
    return await asyncio.to_thread(lambda: list(examine(vault)))


async def _mend(config: ReceiverConfig, vault: Vault, found: list[Finding]) -> None:
    """Put everything right; what the receiver does at each start, does the most of it."""
    clock = SystemClock()
    if any(finding.text.startswith(str(vault.copy)) for finding in found):
        await asyncio.to_thread(vault.copy.unlink)
    store, anew = await open_sound(vault, clock)
    try:
        uploads = Uploads(store, vault, config.limits, clock)
        await uploads.recover(anew=anew)
        for finding in await _found(vault):
            if finding.content:
                await asyncio.to_thread(vault.keep_aside, finding.content)
                for file in await store.files_with(finding.content):
                    await uploads.drop(file)
    finally:
        await store.database.close()


def _lines(found: list[Finding], doing: str) -> list[str]:
    said = [f"{finding.text} -> {doing} {finding.remedy}" for finding in found]
    return [*said, f"{len(found)} findings" if found else "nothing is wrong"]


def _name(row: sqlite3.Row) -> str:
    return f"{row['owner']}'s {row['key']}"
