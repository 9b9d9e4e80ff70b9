"""Whether every row can be read: what a flipped bit makes of a value is found at the start, and not in mid-work.

SQLite finds damage to the file, to an index or a reference (`base.copies.look_through`). Here each value is held to its
column's type, and what is made a noun of later, to what that takes. A value that is wrong and yet possible shows only
beside the files: `edged fsck` compares them.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from edged.base.errors import CorruptDatabaseError
from edged.model import DeliveryKind, IncidentKind, Lane
from edged.outbox.nouns import NoticeKind
from edged.wire import receipt
from edged.wire.keys import is_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

_TYPES: dict[str, tuple[type, ...]] = {"INTEGER": (int,), "REAL": (float, int), "TEXT": (str,), "BLOB": (bytes,)}
_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_rows(connection: Connection) -> None:
    """Read every row; raises CorruptDatabaseError, or sqlite3.OperationalError of a text that is none."""
    for table, columns in _COLUMNS.items():
        _check(connection, table, columns)


def _check(connection: Connection, table: str, columns: dict[str, Callable[[Any], object]]) -> None:
    found = connection.execute(f"PRAGMA table_info({table})").fetchall()
    if not found:
        raise CorruptDatabaseError(f"there is no table {table}")
    held = [
        (_TYPES[info["type"]] + ((type(None),) * (not info["notnull"] and not info["pk"])), columns.get(info["name"]))
        for info in found
    ]
    for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 -- a name of our own schema
        for info, (kinds, read), value in zip(found, held, row, strict=True):
            if not isinstance(value, kinds):
                raise CorruptDatabaseError(f"{table}.{info['name']} holds a {type(value).__name__}")
            if read is not None and value is not None:
                read(value)


def _key(value: str) -> None:
    if not is_key(value):
        raise CorruptDatabaseError(f"{value!r} is no identity")


def _digest(value: str) -> None:
    if not _DIGEST.fullmatch(value):
        raise CorruptDatabaseError(f"{value!r} is no SHA-256")


def _size(value: int) -> None:
    if value < 0:
        raise CorruptDatabaseError(f"a size can't be {value}")


def _path(value: str) -> None:
    path = PurePath(value)
    if ".." in path.parts or not path.name or "\0" in value:
        raise CorruptDatabaseError(f"{value!r} is no file's path")


@lru_cache(256)
def _zones(value: str) -> None:
    zones = json.loads(value)
    if not isinstance(zones, list) or not all(isinstance(zone, str) for zone in zones):
        raise CorruptDatabaseError(f"{value!r} are no zones")


_COLUMNS: dict[str, dict[str, Callable[[Any], object]]] = {
    "boots": {},
    "meta": {},
    "incidents": {"id": _key, "kind": IncidentKind, "zones": _zones},
    "files": {"id": _key, "path": _path, "size": _size, "sha256": _digest},
    "deliveries": {
        "key": _key,
        "kind": DeliveryKind,
        "lane": Lane,
        "size": _size,
        "subject": _key,
        "receipt": receipt.from_json,
    },
    "windows": {},
    "notices": {"id": _key, "kind": NoticeKind, "zones": _zones},
    "gaps": {},
    "losses": {},
}
