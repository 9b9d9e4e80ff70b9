"""Flipped bits: anywhere in a file, or within a value that a database holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from pathlib import Path


def flip(path: Path, rng: random.Random, bits: int, *, start: int = 0) -> None:
    """Flip bits of a file anywhere from `start` on."""
    content = bytearray(path.read_bytes())
    for _ in range(bits):
        content[rng.randrange(start, len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def flip_value(path: Path, rng: random.Random) -> None:
    """Make another letter or digit of one in a value that the database holds: what no check of SQLite's sees."""
    content = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        values = [
            str(value)
            for column in ("sha256", "path", "id")
            for (value,) in connection.execute(f"SELECT {column} FROM files").fetchall()
        ]
    value = rng.choice(values).encode()
    places = [at for at in range(len(content)) if content.startswith(value, at)]
    content[rng.choice(places) + rng.randrange(len(value))] ^= 1
    path.write_bytes(content)
