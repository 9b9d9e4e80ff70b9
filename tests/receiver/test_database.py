"""The receiver's database missing, empty, damaged or old: no file is lost with it, and none proven that is not here."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edged.base.clock import SystemClock
from edged.base.errors import EdgedError, NewerSchemaError
from edged.receiver import admin
from edged.receiver.app import serve
from edged.receiver.copies import CopyLoop
from edged.wire import receipt
from tests.faults.flips import flip
from tests.receiver.client import Device, manifest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.receiver.app import Serving
    from edged.receiver.settings import ReceiverConfig

CLIP = os.urandom(50_000)
TOLD = manifest_of(CLIP, incident="f00d" * 8, camera="door", part=1, final=True, opened=7.0, zones=("yard",))
LOST = ("missing", "empty", "never filled")  # nothing is there that could be damaged
LATER = manifest_of(CLIP[:20_000], incident="beef" * 8, camera="door", part=1, opened=9.0)


@asynccontextmanager
async def living(config: ReceiverConfig, key: str) -> AsyncIterator[tuple[Serving, Device]]:
    """A receiver that listens, and the device "shop" with `key`."""
    async with serve(config) as serving:
        url = f"http://127.0.0.1:{serving.port}"
        async with Device(url, "shop", key, SystemClock().wall()) as shop:
            yield serving, shop


async def filled(config: ReceiverConfig, *, copy: bool = True) -> str:
    """Let a clip arrive, take a copy, let another arrive, and stop; return the device's key."""
    key = await admin.add_device(config, "shop")
    async with living(config, key) as (serving, shop):
        await shop.upload(CLIP, TOLD)
        if copy:
            assert await CopyLoop(serving.world.store.database, serving.world.vault.copy, SystemClock()).step()
        await shop.upload(CLIP[:20_000], LATER)
    return key


async def holds_both(config: ReceiverConfig, key: str) -> None:
    """Require both clips with their incidents, each proven anew, and repeats dropped."""
    async with living(config, key) as (serving, shop):
        for told, data in ((TOLD, CLIP), (LATER, CLIP[:20_000])):
            fetched = await shop.request("GET", f"/receipts/{told.key}")
            proof = receipt.from_json(fetched.body)
            assert receipt.verify(proof, key)
            assert proof.sha256 == told.sha256
            assert (await shop.request("GET", f"/clips/{told.key}")).body == data
            assert (await shop.create(told)).headers[receipt.HEADER]
        (later, first) = await serving.world.store.incidents(owner="shop", before=99.0, limit=9)
        assert (first.id, first.zones, first.parts, first.opened) == (TOLD.incident, ("yard",), 1, 7.0)
        assert (later.id, later.parts) == (LATER.incident, None)


def blobs(config: ReceiverConfig) -> set[str]:
    """Return the contents on the disk."""
    return {path.name for path in config.state.glob("blobs/??/*")}


def damage(path: Path, how: str) -> None:
    """Do to the database what a bad card does."""
    size = path.stat().st_size
    rng = random.Random(how)
    match how:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "no database":
            path.write_bytes(b"no database at all" * 200)
        case "unreadable value":
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("UPDATE incident SET zones = '[\"ya'")
                connection.commit()
        case "no tables":
            path.unlink()
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode = wal")
                connection.execute("PRAGMA user_version = 1")
        case "never filled":
            path.unlink()
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode = wal")
        case _:
            with path.open("r+b") as file:
                file.truncate(rng.randrange(1, size))


@pytest.mark.parametrize(
    "how",
    ["missing", "empty", "never filled", "no database", "unreadable value", "no tables", "cut 1", "cut 2", "cut 3"],
)
async def test_a_lost_database_is_made_anew_from_its_copy_and_the_records(config: ReceiverConfig, how: str) -> None:
    """What arrived after the copy is entered again; the devices' keys hold; what is damaged is kept aside."""
    key = await filled(config)
    database = config.state / "receiver.db"
    damage(database, how)
    broken = b"" if how == "missing" else database.read_bytes()
    await holds_both(config, key)
    aside = [path.read_bytes() for path in config.state.glob("receiver.db.corrupt-*[0-9]")]
    assert aside == ([] if how in LOST else [broken])


@pytest.mark.parametrize("how", ["missing", "empty"])
async def test_without_a_copy_the_files_come_back_and_the_devices_do_not(config: ReceiverConfig, how: str) -> None:
    """Nothing is deleted on the word of an empty database; the device is given a new key."""
    await filled(config, copy=False)
    held = blobs(config)
    (config.state / "receiver.db.backup").unlink(missing_ok=True)
    damage(config.state / "receiver.db", how)
    async with serve(config):
        assert blobs(config) == held
    await holds_both(config, await admin.add_device(config, "shop"))


async def test_a_damaged_database_without_a_copy_is_refused(config: ReceiverConfig) -> None:
    """The sentence says what to do; nothing is touched."""
    await filled(config)
    database = config.state / "receiver.db"
    damage(database, "no database")
    (config.state / "receiver.db.backup").write_bytes(b"no copy either")
    before = {path: path.read_bytes() for path in config.state.rglob("*") if path.is_file()}
    with pytest.raises(EdgedError, match=r"receiver\.db: .* no sound copy of it. Put one there; or move the file away"):
        async with serve(config):
            pass
    assert {path: path.read_bytes() for path in config.state.rglob("*") if path.is_file()} == before


async def test_files_that_nothing_knows_stop_the_start(config: ReceiverConfig) -> None:
    """An earlier edged kept no records: with its database gone, its files are not taken for rubbish."""
    await filled(config)
    held = blobs(config)
    shutil.rmtree(config.state / "records")
    for path in config.state.glob("receiver.db*"):
        path.unlink()
    with pytest.raises(EdgedError, match="nothing else says what the files in"):
        async with serve(config):
            pass
    assert blobs(config) == held


async def test_an_older_database_put_back_by_a_person_loses_nothing(config: ReceiverConfig) -> None:
    """What arrived since is entered from its records, though the database is sound."""
    key = await filled(config)
    shutil.copy(config.state / "receiver.db.backup", config.state / "receiver.db")
    await holds_both(config, key)


async def test_records_are_written_for_files_that_have_none(config: ReceiverConfig) -> None:
    """After an update from an edged without records a lost database is no worse."""
    key = await filled(config)
    shutil.rmtree(config.state / "records")
    async with living(config, key):
        assert len(list(config.state.glob("records/??/*"))) == 2
    damage(config.state / "receiver.db", "empty")
    await holds_both(config, key)


async def test_a_newer_database_is_refused_and_left_alone(config: ReceiverConfig) -> None:
    """A version from the future is no damage: its copy is not put in its place."""
    await filled(config)
    with closing(sqlite3.connect(config.state / "receiver.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = (config.state / "receiver.db").read_bytes()
    with pytest.raises(NewerSchemaError, match="install that one again"):
        async with serve(config):
            pass
    assert (config.state / "receiver.db").read_bytes() == before


async def test_a_device_added_beside_a_lost_database_joins_those_of_its_copy(config: ReceiverConfig) -> None:
    """The command does as the receiver would: it does not begin a database with one device in it."""
    key = await filled(config)
    damage(config.state / "receiver.db", "missing")
    await admin.add_device(config, "shed")
    await holds_both(config, key)
    assert [row["name"] for row in await admin.list_devices(config)] == ["shed", "shop"]


@pytest.mark.parametrize("ask", ["receipt", "create", "head"])
async def test_content_that_is_gone_is_not_proven_and_taken_anew(config: ReceiverConfig, ask: str) -> None:
    """A receiver that lost a file from its disk claims it no more: whoever still has it may send it again."""
    key = await filled(config)
    async with living(config, key) as (serving, shop):
        file = await serving.world.store.file("shop", key=TOLD.key)
        assert file is not None
        serving.world.vault.blob(TOLD.sha256).unlink()
        if ask == "receipt":
            assert (await shop.request("GET", f"/receipts/{TOLD.key}")).status == 404
        if ask == "head":
            assert (await shop.head(f"/files/{file.id}")).status == 410
        assert (await shop.upload(CLIP, TOLD)).sha256 == TOLD.sha256
    await holds_both(config, key)


async def test_content_that_rotted_is_not_taken_for_what_arrives(config: ReceiverConfig) -> None:
    """Equal bytes share one file; before a receipt is given for it, it is looked whether it still is those bytes."""
    key = await filled(config)
    async with living(config, key) as (serving, shop):
        blob = serving.world.vault.blob(TOLD.sha256)
        blob.write_bytes(b"\0" * len(CLIP))
        await shop.upload(CLIP, replace(TOLD, key="again"))
        assert blob.read_bytes() == CLIP
        assert (config.state / "damaged" / TOLD.sha256).read_bytes() == b"\0" * len(CLIP)


async def test_a_file_that_retention_took_does_not_come_back(config: ReceiverConfig) -> None:
    """Its record goes with it, though its content stays, which another file shares."""
    key = await filled(config, copy=False)
    async with living(config, key) as (serving, shop):
        await shop.upload(CLIP, replace(TOLD, key="other"))
        file = await serving.world.store.file("shop", key=TOLD.key)
        assert file is not None
        await serving.world.uploads.drop(file)
    for path in config.state.glob("receiver.db*"):
        path.unlink()
    async with serve(config) as serving:
        assert await serving.world.store.file("shop", key="other") is not None
        assert await serving.world.store.file("shop", key=TOLD.key) is None


async def test_a_damaged_record_keeps_the_content(config: ReceiverConfig) -> None:
    """What it was about is not known any more, so nothing whole is swept."""
    await filled(config)
    held = blobs(config)
    for path in config.state.glob("receiver.db*"):
        path.unlink()
    (broken, _) = sorted(config.state.glob("records/??/*"))
    broken.write_bytes(broken.read_bytes()[:40])
    async with serve(config):
        assert blobs(config) == held


async def test_the_copy_follows_devices_at_once_and_files_by_the_hour(config: ReceiverConfig) -> None:
    """A key is in one place only for a minute; a copy is not taken for each file, nor when nothing changed."""
    key = await filled(config)
    async with living(config, key) as (serving, shop):
        copies = CopyLoop(serving.world.store.database, config.state / "copy", SystemClock())
        assert [await copies.step(), await copies.step()] == [True, False]
        await shop.upload(b"more", replace(TOLD, key="k", size=4, sha256=manifest_of(b"more").sha256))
        assert not await copies.step()
        await admin.add_device(config, "shed")
        assert await copies.step()


async def test_a_torn_copy_is_taken_anew(config: ReceiverConfig) -> None:
    """What a power cut left of a copy does not keep the next from being taken."""
    key = await filled(config)
    async with living(config, key) as (serving, _):
        (config.state / "copy.new").write_bytes(b"\xee" * 5000)
        assert await CopyLoop(serving.world.store.database, config.state / "copy", SystemClock()).step()
    assert not (config.state / "copy.new").exists()


async def test_flipped_bits(config: ReceiverConfig, tmp_path: Path) -> None:
    """Thirty times: it starts with what it holds, or refuses with a word; no content goes, and none is made up."""
    key = await filled(config)
    held = blobs(config)
    served = 0
    for seed in range(30):
        state = tmp_path / f"flipped-{seed}"
        shutil.copytree(config.state, state)
        rng = random.Random(seed)
        flip(state / "receiver.db", rng, rng.choice([1, 2, 8, 64]))
        spoiled = replace(config, state=state)
        try:
            async with living(spoiled, key) as (serving, shop):
                served += 1
                files = {file.sha256 for file in await serving.world.store.oldest(1e12, 9)}
                assert files <= held
                for told, data in ((TOLD, CLIP), (LATER, CLIP[:20_000])):  # proven as it is, or sent again
                    found = await shop.create(told)
                    proof = found.headers.get(receipt.HEADER)
                    given = receipt.from_header(proof) if proof else await shop.upload(data, told)
                    assert given.sha256 == told.sha256
        except NewerSchemaError:
            pass
        assert blobs(spoiled) == held, seed
        shutil.rmtree(state)
    assert served > 25
