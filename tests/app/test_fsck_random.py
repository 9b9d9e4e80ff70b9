"""Whatever is wrong at once, in any order: fsck names it, a repair leaves all sound, and deletes nothing."""

from __future__ import annotations

import contextlib
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from edged.app.fsck import CLEAN
from edged.base.errors import NewerSchemaError
from edged.outbox.findings import Kind
from tests.app.shop import Shop
from tests.app.test_fsck import TAMPERING, look, repair
from tests.faults.flips import flip, flip_value

if TYPE_CHECKING:
    from pathlib import Path

_MANY = 4  # things wrong at once, at most


def spoil(shop: Shop, rng: random.Random) -> list[str]:
    """Do some of what may happen, one upon the other; return what it was."""
    done = []
    for name, tamper, *_ in rng.sample(TAMPERING, rng.randrange(1, _MANY + 1)):
        # a second blow may have nothing left to hit
        with contextlib.suppress(Exception):
            tamper(shop)
            done.append(name)
    if shop.database.exists() and shop.database.stat().st_size and rng.random() < 0.4:
        with contextlib.suppress(Exception):
            flip_value(shop.database, rng)
            done.append("a value")
    if shop.database.exists() and shop.database.stat().st_size and rng.random() < 0.2:
        flip(shop.database, rng, 3)
        done.append("bits")
    return done


@pytest.mark.parametrize("round_", range(5))
async def test_many_things_wrong_at_once(template: Path, tmp_path: Path, round_: int) -> None:
    """Eight directories: what lies in them before the repair lies in them after it, under its name or aside."""
    for seed in range(8 * round_, 8 * round_ + 8):
        state = tmp_path / f"{seed}" / "state"
        shop = Shop.copied(template, state)
        done = spoil(shop, random.Random(seed))
        held = {content: path for path, content in shop.files().items() if content != b"short"}  # that holds no picture
        try:
            found = await look(shop)
            mended = await repair(shop)
        except NewerSchemaError:
            continue  # a bit of the version number: refused, which is a clear word
        assert mended.code == found.code, (seed, done, mended.lines)
        left = await look(shop)
        assert left.code == CLEAN, (seed, done, left.lines)
        removed = {
            line.split(" -> ")[0].split(" ")[0] for line in mended.lines if line.endswith(f"done: {Kind.REMNANT}")
        }
        for content in held.keys() - set(shop.files().values()):
            assert held[content] in removed, (seed, done, held[content])
        for (path,) in shop.sql(
            "SELECT path FROM files WHERE deleted IS NOT NULL AND NOT EXISTS ("
            "SELECT 1 FROM deliveries WHERE subject = files.id AND proven = 1) AND NOT EXISTS ("
            "SELECT 1 FROM losses WHERE losses.name = files.name AND losses.incident IS files.incident)"
        ):
            pytest.fail(f"{seed} {done}: {path} is gone without a proof and without a loss")
        shutil.rmtree(state.parent)
