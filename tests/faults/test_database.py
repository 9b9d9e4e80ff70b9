"""The device's database missing, empty, damaged, older, newer, locked: nothing recorded is lost, nothing sent twice.

Damage of every kind is done to a directory that the product itself has left (tests/app/shop.py). The receiver's own
database is in tests/receiver/test_database.py, a second edged on the same directory in tests/app/test_daemon.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import sqlite3
import sys
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest

from edged.app.fsck import CLEAN, FOUND, fsck
from edged.base.clock import SystemClock
from edged.base.copies import Schema, is_sound, open_checked
from edged.base.errors import CorruptDatabaseError, NewerSchemaError
from edged.model import DeliveryKind, Gap, Loss, State
from edged.outbox.nouns import Notice, NoticeKind
from edged.outbox.opening import schema
from edged.outbox.spool import Spool
from edged.outbox.store import open_outbox
from edged.record.salvage import salvage
from scripts.soaks.rig import open_rig
from scripts.soaks.tables import cameras
from tests.app.home import living, until
from tests.app.shop import describe, proof_of
from tests.app.test_daemon import daemon
from tests.faults.flips import flip, flip_value
from tests.record.stage import DESTINATIONS, INCIDENT, OTHER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.outbox.store import Outbox
    from tests.app.shop import Shop


@asynccontextmanager
async def started(shop: Shop) -> AsyncIterator[Outbox]:
    """Open and salvage as the daemon does at its start."""
    outbox = await open_outbox(shop.database, SystemClock())
    try:
        await salvage(outbox, Spool(shop.state), DESTINATIONS)
        yield outbox
    finally:
        await outbox.close()


async def keys(outbox: Outbox) -> dict[str, str]:
    """Return the key of each upload with its state."""
    return {one.key: one.state for one in await outbox.deliveries(limit=999) if one.path is not None}


async def require_law(outbox: Outbox, shop: Shop, held: dict[str, bytes], before: dict[str, str]) -> None:
    """Require every file with its bytes, a row and its old key; both incidents; what was proven, proven."""
    assert {path: shop.files().get(path) for path in held} == held
    incidents = await outbox.incidents()
    assert {one.id for one in incidents} == {INCIDENT, OTHER}
    assert all(one.closed is not None for one in incidents)
    for incident in (INCIDENT, OTHER):
        (clip,) = await outbox.clips_of(incident)
        assert clip.sha256 == hashlib.sha256(clip.path.read_bytes()).hexdigest()
    now = await keys(outbox)
    clips = {key: state for key, state in before.items() if key in now}
    assert set(before) - set(now) <= documents(shop)  # the sweep takes those in
    assert {key: now[key] for key in clips} == clips
    told = [one.incident for one in await outbox.deliveries(limit=999) if one.kind is DeliveryKind.ALERT]
    assert len(told) <= 4 + len(DESTINATIONS.people)  # its own alerts, or one digest to each


def documents(shop: Shop) -> set[str]:
    """Return the documents' ids, which are their keys."""
    return {path.parent.name for path in Spool(shop.state).found_documents()}


async def states(shop: Shop) -> dict[str, str]:
    """Return the uploads of the sound directory."""
    outbox = await open_outbox(shop.database, SystemClock())
    found = await keys(outbox)
    await outbox.close()
    return found


@pytest.mark.parametrize("copy", ["copy", "no copy", "torn copy"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "overwritten", "header", "text"])
async def test_a_lost_database_is_made_anew(shop: Shop, damage: str, copy: str) -> None:
    """From its copy and the files, or from the files alone: the same keys, the same bytes, the proofs."""
    before, held = await states(shop), shop.files()
    backup = shop.state / "outbox.db.backup"
    if copy == "no copy":
        backup.unlink()
    elif copy == "torn copy":
        backup.write_bytes(backup.read_bytes()[:3000] + b"\xee" * 9000)
    content = shop.database.read_bytes()
    match damage:
        case "missing":
            shop.database.unlink()
        case "text":
            shop.database.write_bytes(b"this was a database once\n" * 99)
        case _:
            size = len(content)
            new = {
                "empty": b"",
                "cut": content[: size // 3],
                "overwritten": content[:5000] + b"\xee" * (size - 6000) + content[-1000:],
                "header": b"\0" * 100 + content[100:],
            }
            shop.database.write_bytes(new[damage])
    async with started(shop) as outbox:
        await require_law(outbox, shop, held, before)
    aside = [path for path in shop.state.glob("outbox.db.corrupt-*") if path.suffix[-1].isdigit()]
    assert len(aside) == (damage not in {"missing", "empty"})
    assert (await fsck(shop.config(), repair=True)).code in {0, 1}  # the document waits for the sweep
    assert (await fsck(shop.config(), repair=False)).code == CLEAN


async def test_cut_at_every_tenth_page(shop: Shop) -> None:
    """Wherever a file system gave up, no length makes the start fail or a clip go."""
    before, held = await states(shop), shop.files()
    content = shop.database.read_bytes()
    lengths = [1, 99, 100, 511, 1023, *range(1024, len(content), 10 * 1024 + 13)]
    for length in lengths:
        for path in shop.state.glob("outbox.db[.-]*[0-9lm]"):
            path.unlink()
        shop.database.write_bytes(content[:length])
        async with started(shop) as outbox:
            await require_law(outbox, shop, held, before)


@pytest.mark.parametrize("where", ["anywhere", "in a value"])
async def test_flipped_bits(shop: Shop, where: str) -> None:
    """Forty times: it starts, every file is there; what looks possible and is wrong, fsck puts right."""
    held = shop.files()
    pristine = shop.everything()
    mended = 0
    for seed in range(40):
        for path in shop.state.rglob("*"):
            if path.is_file() and str(path) not in pristine:
                path.unlink()
        for name, content in pristine.items():
            (shop.state / name).write_bytes(content)
        rng = random.Random(seed)
        if where == "anywhere":
            flip(shop.database, rng, rng.choice([1, 1, 2, 8, 64]))
        else:
            flip_value(shop.database, rng)
        try:
            async with started(shop):
                pass
        except NewerSchemaError:
            continue  # the one number that says so was hit: refused, and nothing touched
        mended += (await fsck(shop.config(), repair=True)).code
        report = await fsck(shop.config(), repair=False)
        assert report.code == CLEAN, (seed, report.lines)
        kept = {path: content for path, content in shop.files().items() if not path.endswith(".damaged")}
        assert kept == held, seed
    assert mended or where == "anywhere"  # some are of the kind that only the files can tell


async def test_a_damaged_log_costs_commits_and_no_clip(shop: Shop) -> None:
    """What a crash left in the log is checksummed: SQLite drops what is damaged, and the files tell the rest."""
    before, held = await states(shop), shop.files()
    with closing(sqlite3.connect(shop.database, isolation_level=None)) as open_still:
        open_still.execute("PRAGMA wal_autocheckpoint = 0")
        for _ in range(20):
            open_still.execute("UPDATE deliveries SET attempts = attempts + 1")
        open_still.execute("DELETE FROM deliveries WHERE incident = ?", (OTHER,))
        crashed = shop.state.with_name("crashed")
        shutil.copytree(shop.state, crashed)
    for seed in range(12):
        state = shop.state.with_name(f"crashed-{seed}")
        shutil.copytree(crashed, state)
        rng = random.Random(seed)
        flip(state / "outbox.db-wal", rng, rng.choice([1, 3, 40]), start=0 if seed % 3 else 32)
        copy = type(shop)(state=state)
        async with started(copy) as outbox:
            assert {one.id for one in await outbox.incidents()} == {INCIDENT, OTHER}
            assert {path: copy.files().get(path) for path in held} == held
            assert set(await keys(outbox)) <= set(before)


async def test_the_copy_brings_back_what_no_file_tells(shop: Shop) -> None:
    """Gaps, losses and notices on their way; a proof that came after the copy is taken from the sidecar."""
    clock = SystemClock()
    outbox = await open_outbox(shop.database, clock)
    now = outbox._now()
    await outbox.open_gap(Gap(camera="door", start=now, end=now, reason="unplugged"))
    await outbox.add_loss(Loss(what="seconds", name="x", incident=None, bytes=1, reason="slow card", at=now))
    await outbox.add_notice(Notice(id="n" * 32, kind=NoticeKind.SYSTEM, since=now, text="hot"), ("mail:a@example.org",))
    await outbox.database.backup(shop.state / "new")
    (shop.state / "new").replace(shop.state / "outbox.db.backup")
    for delivery in await outbox.deliveries_of(OTHER):
        await outbox.complete(delivery.id, proof_of(delivery))
    await describe(outbox)
    await outbox.close()
    shop.database.write_bytes(b"\xee" * 4000)
    async with started(shop) as outbox:
        assert outbox.rebuilt
        assert [one.gap.reason for one in await outbox.gaps()] == ["unplugged"]
        assert [one.reason for one in await outbox.losses()] == ["slow card"]
        assert [one.state for one in await outbox.deliveries_for("n" * 32)] == [State.PENDING]
        assert {one.state for one in await outbox.deliveries_of(OTHER)} == {State.DONE}


async def test_an_older_database_that_is_put_back_learns_from_the_files(shop: Shop) -> None:
    """What came after it, the files and their sidecars tell: a failed upgrade of edged puts such a one back."""
    before, held = await states(shop), shop.files()
    with closing(sqlite3.connect(shop.database)) as database:
        database.execute("PRAGMA foreign_keys = on")
        files = [identity for (identity,) in database.execute("SELECT id FROM files WHERE incident = ?", [OTHER])]
        database.executemany("DELETE FROM deliveries WHERE subject = ?", [[each] for each in (*files, OTHER)])
        database.execute("DELETE FROM files WHERE incident = ?", [OTHER])
        database.execute("DELETE FROM incidents WHERE id = ?", [OTHER])
        database.commit()
    async with started(shop) as outbox:
        assert not outbox.rebuilt
        await require_law(outbox, shop, held, before)


async def test_alerts_that_may_not_have_gone_out_are_told_in_one_digest(shop: Shop) -> None:
    """Without a copy the sidecars tell which were sent; of the others one digest goes to each recipient, once."""
    (shop.state / "outbox.db.backup").unlink()
    shop.database.unlink()
    for _ in range(2):  # a second start tells nothing anew
        async with started(shop) as outbox:
            alerts = [one for one in await outbox.deliveries(limit=99) if one.kind is DeliveryKind.ALERT]
            assert sorted(one.destination for one in alerts) == sorted(DESTINATIONS.people)
            notice = await outbox.notice(alerts[0].subject)
            assert notice is not None
            assert (notice.kind, notice.count, notice.incident) == (NoticeKind.RECOVERED, 1, OTHER)


def _read_notes(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT colour FROM notes").fetchall()


OLDER = "CREATE TABLE notes (text TEXT NOT NULL); INSERT INTO notes VALUES ('kept');"
STEPS = (
    "ALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue';",
    "CREATE INDEX by_colour ON notes (colour);",
)


async def test_an_older_schema_is_led_to_the_newest(tmp_path: Path) -> None:
    """Step by step, keeping what is there; a step that was done is not done again."""
    path = tmp_path / "notes.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"{OLDER} PRAGMA user_version = 1;")
    for _ in range(2):
        database = await open_checked(path, Schema(steps=(OLDER, *STEPS), check=_read_notes))
        rows = await database.read(lambda tx: [tuple(row) for row in tx.execute("SELECT * FROM notes")])
        assert rows == [("kept", "blue")]
        await database.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)


async def test_an_older_schema_that_is_no_such_is_damage(shop: Shop) -> None:
    """A version number that fell to zero would have every table made again: the file is set aside instead."""
    before, held = await states(shop), shop.files()
    shop.sql("PRAGMA user_version = 0")
    async with started(shop) as outbox:
        await require_law(outbox, shop, held, before)
    assert list(shop.state.glob("outbox.db.corrupt-*"))


@pytest.mark.parametrize(("told", "flipped"), [(b"seconds ", b"secgnds "), (b"'pending',", b"'pendinf',")])
async def test_a_schema_with_a_flipped_bit_is_damage(shop: Shop, told: bytes, flipped: bytes) -> None:
    """A column of another name, a condition that no row can meet: SQLite calls that sound."""
    content = shop.database.read_bytes()
    assert told in content
    shop.database.write_bytes(content.replace(told, flipped, 1))
    async with started(shop) as outbox:
        assert outbox.rebuilt
        assert {one.id for one in await outbox.incidents()} == {INCIDENT, OTHER}


async def test_a_schema_that_is_no_text_is_damage(shop: Shop) -> None:
    """SQLite quotes a piece of it in its error, which Python can't decode then: that must not end every start."""
    content = shop.database.read_bytes()
    shop.database.write_bytes(content.replace(b"NOT NULL CHECK", b"NOT NULL\xa0CHECK"))
    assert shop.database.read_bytes() != content
    async with started(shop) as outbox:
        assert outbox.rebuilt
    shop.database.write_bytes(content.replace(b"NOT NULL CHECK", b"NOT NULL\xa0CHECK"))
    assert (await fsck(shop.config(), repair=False)).code == FOUND


async def test_a_newer_schema_is_refused_by_the_daemon(shop: Shop, tmp_path: Path) -> None:
    """One sentence, exit code 2, nothing touched."""
    shop.sql("PRAGMA user_version = 99")
    before = shop.database.read_bytes()
    async with daemon(tmp_path) as refused:
        assert await refused.end() == 2
    assert "was written by a newer edged (schema 99, this one knows 1)" in "".join(refused.plain)
    assert shop.database.read_bytes() == before
    assert not list(shop.state.glob("*.corrupt*"))


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_database_that_another_program_locks_is_waited_for_and_named(shop: Shop) -> None:
    """Its process number is in the error; once it ends, everything goes on. Nothing is taken for damage."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(shop.database)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    try:
        with pytest.raises(sqlite3.OperationalError, match=rf"outbox\.db is locked by process {process.pid} \(python"):
            await open_outbox(shop.database, SystemClock())
    finally:
        process.kill()
        await process.wait()
    async with started(shop) as outbox:
        assert not outbox.rebuilt
    assert not list(shop.state.glob("*.corrupt*"))


async def test_damage_met_while_it_runs_starts_edged_anew(shop: Shop) -> None:
    """Rows that wait would wait for ever: the daemon leaves in order, and its next start goes on from the copy."""
    settings = shop.config()
    async with living(settings) as world:
        with pytest.raises(CorruptDatabaseError):
            await world.outbox.database.read(_malformed)
        await until(lambda: bool(world.left))
        assert "damaged" in world.left


def _malformed(_connection: sqlite3.Connection) -> None:
    raise sqlite3.DatabaseError("database disk image is malformed")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("incidents", "kind = 'motioo'"),
        ("incidents", "zones = '[7]'"),
        ("incidents", "zones = CAST(x'5bff5d' AS TEXT)"),
        ("files", "size = -4"),
        ("files", "sha256 = 'x'"),
        ("files", "path = '../../etc/passwd'"),
        ("files", "taken_wall = 'noon'"),
        ("deliveries", "kind = 'clup'"),
        ("deliveries", "lane = 'bulx'"),
        ("deliveries", "receipt = '{'"),
        ("deliveries", "subject = x'00'"),
        ("losses", "reason = 7.5"),
    ],
)
async def test_a_row_that_can_t_be_read_is_damage_at_the_start(shop: Shop, table: str, change: str) -> None:
    """And not an error in the middle of the work, at each start anew."""
    if table == "losses":
        columns = "what, name, bytes, reason, at_wall, at_mono, at_boot, at_synced"
        shop.sql(f"INSERT INTO losses ({columns}) VALUES ('clip', 'x', 1, 'y', 0, 0, 1, 1)")
        change = "reason = x'00'"
    shop.sql(f"UPDATE {table} SET {change}")
    assert not is_sound(shop.database, schema())
    async with started(shop) as outbox:
        assert outbox.rebuilt
        assert {one.id for one in await outbox.incidents()} == {INCIDENT, OTHER}


@pytest.mark.timeout(300)  # three lives of real programs
async def test_both_ends_lose_their_databases_and_the_oracle_finds_nothing(tmp_path: Path) -> None:
    """Overwritten under the running programs, which are killed then: each clip is at the receiver, once, and plays."""
    table = {"cameras": cameras(2, every=4.5, walk=1.5)}
    async with open_rig(tmp_path, device_table=table) as rig:
        await rig.start()
        await rig.receiver.says("file stored", count=3)
        for path in (rig.device_state / "outbox.db", rig.receiver_state / "receiver.db"):
            for each in (path, path.with_name(path.name + "-wal")):
                with each.open("r+b") as file:
                    file.write(b"\xee" * each.stat().st_size)
        for program in (rig.device, rig.receiver):
            program.kill()
        for program in (rig.device, rig.receiver):
            await program.ready()
        await rig.receiver.says("file stored", count=6)
        await rig.settle()
        verdict = await rig.judge()
    assert verdict.obligations > 0
    assert [finding for finding in verdict.findings if finding.kind != "possible_duplicate"] == []
    assert list(rig.device_state.glob("outbox.db.corrupt-*"))
    assert list(rig.receiver_state.glob("receiver.db.corrupt-*"))
