"""`edged receive fsck`: a disk that rots is found, nothing changed unless asked, no receipt claims what is gone."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from edged.base.clock import SystemClock
from edged.base.errors import EdgedError, NewerSchemaError
from edged.receiver import admin
from edged.receiver.app import serve
from edged.receiver.copies import CopyLoop
from edged.receiver.fsck import CLEAN, FOUND, fsck
from tests.receiver.client import Device, manifest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edged.receiver.settings import ReceiverConfig

CLIP, OTHER = os.urandom(30_000), os.urandom(20_000)
TOLD, LATER = manifest_of(CLIP, incident="f00d" * 8, part=1), manifest_of(OTHER, incident="beef" * 8, part=1)


@pytest.fixture
async def stopped(config: ReceiverConfig) -> ReceiverConfig:
    """A receiver that holds two clips, one of them for two keys, and does not run."""
    key = await admin.add_device(config, "shop")
    async with serve(config) as serving:
        url = f"http://127.0.0.1:{serving.port}"
        async with Device(url, "shop", key, SystemClock().wall()) as shop:
            for data, told in ((CLIP, TOLD), (OTHER, LATER)):
                await shop.upload(data, told)
        await CopyLoop(serving.world.store.database, serving.world.vault.copy, SystemClock()).step()
    return config


def everything(config: ReceiverConfig) -> dict[str, bytes]:
    """Return every file but the lock, which only people read."""
    files = (path for path in config.state.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(config.state)): path.read_bytes() for path in files}


def blob(config: ReceiverConfig, sha256: str) -> Path:
    """Return where a content lies."""
    return config.state / "blobs" / sha256[:2] / sha256


def rot(path: Path) -> None:
    """Flip a bit."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def records(config: ReceiverConfig) -> list[Path]:
    """Return the records."""
    return sorted(config.state.glob("records/??/*"))


def forget_rows(config: ReceiverConfig) -> None:
    """Lose a row, which its record still tells."""
    with closing(sqlite3.connect(config.state / "receiver.db")) as connection:
        connection.execute("DELETE FROM file WHERE sha256 = ?", (LATER.sha256,))
        connection.commit()


async def test_what_a_receiver_leaves_is_sound(stopped: ReceiverConfig) -> None:
    """Also while it runs, and after a repair that had nothing to do."""
    before = everything(stopped)
    assert (await fsck(stopped, repair=False)).lines == ("nothing is wrong",)
    assert (await fsck(stopped, repair=True)).code == CLEAN
    assert everything(stopped) == before
    async with serve(stopped):
        assert (await fsck(stopped, repair=False)).code == CLEAN
        with pytest.raises(EdgedError, match="a receiver runs on"):
            await fsck(stopped, repair=True)


@pytest.mark.parametrize(
    ("spoil", "words", "kept"),
    [
        (lambda config: blob(config, TOLD.sha256).unlink(), f"{TOLD.key} is missing -> would claim it no more", 1),
        (lambda config: rot(blob(config, TOLD.sha256)), f"{TOLD.key} has other bytes than arrived -> would claim", 1),
        (
            lambda config: blob(config, TOLD.sha256).write_bytes(b"short"),
            f"{TOLD.key} has 5 bytes instead of 30000 -> would claim",
            1,
        ),
        (lambda config: records(config)[0].unlink(), "has no record -> would write it", 2),
        (forget_rows, f"{LATER.key} has a record and no row -> would enter it again", 2),
        (lambda config: (config.state / "receiver.db").unlink(), "receiver.db: is missing, or empty -> would set", 2),
        (
            lambda config: (config.state / "receiver.db.backup").write_bytes(b"torn"),
            "receiver.db.backup is damaged -> would remove",
            2,
        ),
        (
            lambda config: (config.state / "receiver.db").write_bytes(b"\xee" * 9000),
            "receiver.db: the database is damaged: file is not a database -> would set it aside",
            2,
        ),
    ],
    ids=["content missing", "bit rot", "content cut", "no record", "no row", "no database", "copy", "damaged"],
)
async def test_what_is_wrong_is_named_and_put_right(
    stopped: ReceiverConfig, spoil: Callable[[ReceiverConfig], object], words: str, kept: int
) -> None:
    """One line for each; what is whole stays, what is damaged is kept aside, and its receipt is not given any more."""
    spoil(stopped)
    before = everything(stopped)
    report = await fsck(stopped, repair=False)
    assert report.code == FOUND
    assert words in report.lines[0]
    assert report.lines[-1] == "1 findings"
    assert everything(stopped) == before
    assert (await fsck(stopped, repair=True)).code == FOUND
    assert (await fsck(stopped, repair=False)).code == CLEAN
    async with serve(stopped) as serving:
        held = await serving.world.store.contents()
        assert len(held) == kept
        assert await serving.world.registry.key_of("shop")
    after = everything(stopped)
    for name, content in before.items():
        if name.startswith("blobs/"):
            assert after.get(name, after.get(f"damaged/{name.rsplit('/')[-1]}")) == content


async def test_what_can_t_be_judged(stopped: ReceiverConfig, tmp_path: Path) -> None:
    """A newer schema and a directory that is none are refused with a word."""
    with closing(sqlite3.connect(stopped.state / "receiver.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerSchemaError, match="newer edged"):
        await fsck(stopped, repair=True)
    stopped.state.rename(tmp_path / "elsewhere")
    with pytest.raises(EdgedError, match="is no directory"):
        await fsck(stopped, repair=False)
    assert not stopped.state.exists()
