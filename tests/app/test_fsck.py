"""`edged fsck`: each thing that can be wrong is named in plain words, changed only when asked, and then put right."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from edged.app.client import ask
from edged.app.fsck import CLEAN, FOUND, fsck
from edged.base.errors import EdgedError, NewerSchemaError
from edged.outbox.findings import Kind
from edged.outbox.spool import Spool
from tests.app.home import living, until, watching
from tests.record.stage import INCIDENT, OTHER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edged.app.fsck import Report
    from edged.app.world import World
    from tests.app.shop import Shop


async def look(shop: Shop) -> Report:
    """Examine."""
    return await fsck(shop.config(), repair=False)


async def repair(shop: Shop) -> Report:
    """Examine and repair."""
    return await fsck(shop.config(), repair=True)


async def test_what_a_device_leaves_is_sound(shop: Shop) -> None:
    """Nothing is wrong, the sum says what was seen, and nothing is written, not even a log beside the database."""
    before = shop.everything()
    report = await look(shop)
    assert report.code == CLEAN
    assert re.fullmatch(r"2 incidents and 5 files \([\d.]+ kB\) examined: nothing is wrong", "\n".join(report.lines))
    assert shop.everything() == before


def _bitten(path: Path) -> None:
    """Flip a bit in the middle of a file, as an old card does."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def _sidecar_of_another(shop: Shop) -> None:
    shutil.copy(shop.sidecar(INCIDENT), shop.sidecar())


def _half_a_document(shop: Shop) -> None:
    directory = shop.state / "documents" / ("d" * 32)
    directory.mkdir()
    (directory / ".partial").write_bytes(b"ha")


def _document_without_row(shop: Shop) -> None:
    directory = shop.state / "documents" / ("d" * 32)
    directory.mkdir()
    (directory / "list.txt").write_bytes(b"one, two")


def _alerts_behind(shop: Shop) -> None:
    """One alert went out unseen by the sidecar, and giving up the other leaves it behind once more."""
    alert = "kind = 'alert' AND incident = ? AND destination = ?"
    shop.sql(f"UPDATE deliveries SET state = 'done' WHERE {alert}", OTHER, "mail:a@example.org")
    shop.sql(f"UPDATE deliveries SET subject = 'nobody' WHERE {alert}", OTHER, "mail:b@example.org")


def _double(shop: Shop) -> None:
    columns = [column for _, column, *_ in shop.sql("PRAGMA table_info(deliveries)")]
    changed = {"id": "id + 100", "key": "'x'"}
    values = ", ".join(changed.get(column, column) for column in columns)
    shop.sql(f"INSERT INTO deliveries SELECT {values} FROM deliveries WHERE kind = 'clip' AND incident = ?", OTHER)


def _delete_proven(shop: Shop) -> None:
    shop.sql("UPDATE files SET deleted = 'kept long enough' WHERE incident = ? AND what = 'clip'", INCIDENT)


def _delete_unproven_for_good(shop: Shop) -> None:
    _delete_unproven(shop)
    shop.part().unlink()


def _delete_unproven(shop: Shop) -> None:
    shop.sql("UPDATE files SET deleted = 'no idea' WHERE incident = ? AND what = 'clip'", OTHER)


def _receipt_in_sidecar_only(shop: Shop) -> None:
    shop.sql(
        "UPDATE deliveries SET state = 'pending', receipt = NULL, proven = 0, done_wall = NULL WHERE incident = ?"
        " AND kind = 'clip'",
        INCIDENT,
    )


CLIP = "kind = 'clip' AND destination = 'receiver' AND incident = '" + INCIDENT + "'"
WAITING = "kind = 'clip' AND incident = '" + OTHER + "'"
# What is done to the directory; the kinds that it is told as; what each line says.
TAMPERING: list[tuple[str, Callable[[Shop], object], set[Kind], str]] = [
    ("no database", lambda shop: shop.database.unlink(), {Kind.DATABASE}, r"outbox.db: is missing, or empty"),
    ("empty", lambda shop: shop.database.write_bytes(b""), {Kind.DATABASE}, r"outbox.db: is missing, or empty"),
    ("cut", lambda shop: shop.database.write_bytes(shop.database.read_bytes()[:9000]), {Kind.DATABASE}, "damaged"),
    ("a text for a number", lambda shop: shop.sql("UPDATE files SET size = 'x'"), {Kind.DATABASE}, "size holds a str"),
    ("stray reference", lambda shop: shop.sql("UPDATE files SET taken_boot = 77"), {Kind.DATABASE}, "refers to none"),
    ("clip missing", lambda shop: shop.part().unlink(), {Kind.MISSING}, r"part-001.mp4 is missing"),
    ("proven clip missing", lambda shop: shop.part(INCIDENT).unlink(), {Kind.MISSING}, r"part-001.mp4 is missing"),
    ("clip cut", lambda shop: shop.part().write_bytes(b"short"), {Kind.CHANGED}, "has 5 bytes instead of"),
    ("bit rot", lambda shop: _bitten(shop.part()), {Kind.CHANGED}, "has other bytes than were recorded"),
    ("rotten picture", lambda shop: _bitten(shop.snapshot(INCIDENT)), {Kind.CHANGED}, "snapshot-1.jpg has other bytes"),
    ("rotten document", lambda shop: _bitten(shop.document()), {Kind.CHANGED}, "report.txt has other bytes"),
    (
        "digest in the row",
        lambda shop: shop.sql("UPDATE files SET sha256 = ? WHERE incident = ? AND what = 'clip'", "0" * 64, OTHER),
        {Kind.MISTOLD, Kind.SIDECAR},
        "has other bytes than were recorded|the rows differ in clips",
    ),
    (
        "size in the row",
        lambda shop: shop.sql("UPDATE files SET size = size + 1 WHERE incident = ? AND what = 'clip'", INCIDENT),
        {Kind.MISTOLD, Kind.SIDECAR, Kind.RECEIPT, Kind.MISKEYED},
        "bytes instead of|rows differ in clips|is for other bytes|with .* bytes, not",
    ),
    (
        "path in the row",
        lambda shop: shop.sql(
            "UPDATE files SET path = replace(path, 'part-001', 'part-0p1') WHERE incident = ?", OTHER
        ),
        {Kind.MISPLACED, Kind.SIDECAR},
        r"part-0p1.mp4 is not there, but .*part-001.mp4 is|rows differ in clips",
    ),
    (
        "row missing",
        lambda shop: _forget(shop, OTHER),
        {Kind.UNKNOWN},
        r"(part-001.mp4|snapshot-1.jpg) is known to no row",
    ),
    (
        "clip's row missing",
        lambda shop: shop.sql("DELETE FROM files WHERE incident = ? AND what = 'clip'", OTHER),
        {Kind.UNKNOWN, Kind.ORPHAN},
        r"part-001.mp4 is known to no row|is of nothing that is known",
    ),
    (
        "open",
        lambda shop: shop.sql("UPDATE incidents SET closed_wall = NULL, closed_mono = NULL WHERE id = ?", OTHER),
        {Kind.OPEN, Kind.SIDECAR},
        f"incident {OTHER} is open, and no edged runs|rows differ in the incident itself",
    ),
    ("no sidecar", lambda shop: shop.sidecar().unlink(), {Kind.SIDECAR}, f"the sidecar of incident {OTHER} is missing"),
    ("torn sidecar", lambda shop: shop.sidecar().write_bytes(b"{"), {Kind.SIDECAR}, "is no use: .* is damaged"),
    ("another's sidecar", _sidecar_of_another, {Kind.SIDECAR}, f"tells of another incident, {INCIDENT}"),
    (
        "sidecar behind",
        lambda shop: shop.sql("UPDATE deliveries SET state = 'done' WHERE kind = 'alert' AND incident = ?", OTHER),
        {Kind.SIDECAR},
        "rows differ in alerts",
    ),
    ("rows behind", _receipt_in_sidecar_only, {Kind.SIDECAR}, "rows differ in receipts"),
    (
        "receipt of other bytes",
        lambda shop: shop.sql(
            f"UPDATE deliveries SET receipt = replace(receipt, '\"size\":1', '\"size\":2') WHERE {CLIP}"
        ),
        {Kind.RECEIPT, Kind.SIDECAR},
        "to receiver: the receipt is for other bytes|rows differ in receipts",
    ),
    (
        "receipt of another key",
        lambda shop: shop.sql(f"UPDATE deliveries SET receipt = replace(receipt, key, 'k') WHERE {CLIP}"),
        {Kind.RECEIPT, Kind.SIDECAR},
        "the receipt is for k, not for|rows differ in receipts",
    ),
    (
        "receipt of another signer",
        lambda shop: shop.sql(f"UPDATE deliveries SET receipt = replace(receipt, '\"hq\"', '\"me\"') WHERE {CLIP}"),
        {Kind.RECEIPT, Kind.SIDECAR},
        "is not signed with this device's key|rows differ in receipts",
    ),
    (
        "proof without a receipt",
        lambda shop: shop.sql(f"UPDATE deliveries SET proven = 1 WHERE {WAITING}"),
        {Kind.RECEIPT},
        "the receipt counts as proof and is none",
    ),
    (
        "receipt that does not count",
        lambda shop: shop.sql(f"UPDATE deliveries SET proven = 0 WHERE {CLIP}"),
        {Kind.RECEIPT},
        "is a proof and does not count as one",
    ),
    (
        "deleted without proof",
        _delete_unproven_for_good,
        {Kind.UNPROVEN},
        "was deleted .no idea., with neither a receipt nor a loss",
    ),
    ("given up and here", _delete_unproven, {Kind.RISEN}, "is still here, given up .no idea. though nothing proves"),
    ("deleted and here", _delete_proven, {Kind.REMNANT}, "is still here, deleted: kept long enough"),
    (
        "half a sidecar",
        lambda shop: shop.sidecar().with_suffix(".json.new").write_bytes(b"{"),
        {Kind.HALF},
        "incident.json.new is half of a file",
    ),
    (
        "half a ledger",
        lambda shop: (shop.state / "lost.json.new").touch(),
        {Kind.HALF},
        "lost.json.new is half of a file",
    ),
    ("half a document", _half_a_document, {Kind.HALF}, r".partial is half of a file"),
    ("document without row", _document_without_row, {Kind.DOCUMENT}, "list.txt is known to no row"),
    (
        "delivery of nothing",
        lambda shop: shop.sql(f"UPDATE deliveries SET subject = 'nobody', key = 'nobody' WHERE {WAITING}"),
        {Kind.ORPHAN, Kind.UNQUEUED},
        "is of nothing that is known|was never queued",
    ),
    ("never queued", lambda shop: shop.sql(f"DELETE FROM deliveries WHERE {WAITING}"), {Kind.UNQUEUED}, "never queued"),
    (
        "wrong key",
        lambda shop: shop.sql(f"UPDATE deliveries SET key = 'x' WHERE {WAITING}"),
        {Kind.MISKEYED},
        r"delivery \d+ names x with \d+ bytes, not",
    ),
    (
        "sidecar behind twice",
        _alerts_behind,
        {Kind.SIDECAR, Kind.ORPHAN},
        "rows differ in alerts|is of nothing that is known",
    ),
    ("a double", _double, {Kind.MISKEYED}, r"delivery \d+ names x with \d+ bytes, not"),
    (
        "wrong key of an alert",
        lambda shop: shop.sql(
            "UPDATE deliveries SET key = 'x' WHERE id = ("
            "SELECT min(id) FROM deliveries WHERE kind = 'alert' AND incident = ?)",
            OTHER,
        ),
        {Kind.MISKEYED},
        "has the key x, which is not its own",
    ),
    ("torn copy", lambda shop: _bitten(shop.state / "outbox.db.backup"), {Kind.COPY}, "outbox.db.backup is damaged"),
]


def _forget(shop: Shop, incident: str) -> None:
    shop.sql("DELETE FROM deliveries WHERE incident = ?", incident)
    shop.sql("DELETE FROM files WHERE incident = ?", incident)
    shop.sql("DELETE FROM incidents WHERE id = ?", incident)


@pytest.mark.parametrize(
    ("spoil", "kinds", "words"), [row[1:] for row in TAMPERING], ids=[row[0].replace(" ", "-") for row in TAMPERING]
)
async def test_what_is_wrong_is_named_and_put_right(
    shop: Shop, spoil: Callable[[Shop], object], kinds: set[Kind], words: str
) -> None:
    """One line each with what would be done; a look changes nothing; a repair leaves all sound, and nothing lost."""
    proven = shop.proven()
    spoil(shop)
    before, held = shop.everything(), shop.files()
    report = await look(shop)
    assert report.code == FOUND
    told = [line for line in report.lines[:-1] if not line.startswith("note: ")]
    assert all(re.search(words, line) and " -> would " in line for line in told), told
    remedies = {line.split(" -> would ")[1] for line in told}
    assert {kind for kind in Kind if any(remedy.split()[:2] == kind.split()[:2] for remedy in remedies)} >= kinds
    assert report.lines[-1].endswith(f"{len(told)} findings")
    assert shop.everything() == before
    mended = await repair(shop)
    assert mended.code == FOUND, mended.lines
    assert all(" -> done: " in line for line in mended.lines[:-1] if not line.startswith("note: "))
    assert (await repair(shop)).code == CLEAN
    assert (await look(shop)).code == CLEAN
    _nothing_is_lost(shop, held, proven)


def _nothing_is_lost(shop: Shop, held: dict[str, bytes], proven: set[str]) -> None:
    """Require that what was there is there, and that what is not either is proven or stands in the ledger."""
    now = shop.files()
    gone_for_good = {path for (path,) in shop.sql("SELECT path FROM files WHERE deleted IS NOT NULL")}
    for path, content in held.items():
        kept = now.get(path, now.get(f"{path}.damaged"))
        assert kept == content or (kept is None and path in gone_for_good and INCIDENT in path), path
    for path, what, name, incident in shop.sql(
        "SELECT path, what, name, incident FROM files WHERE deleted IS NOT NULL"
    ):
        entered = shop.sql("SELECT 1 FROM losses WHERE what = ? AND name = ? AND incident IS ?", what, name, incident)
        assert entered or incident == INCIDENT, path
    assert proven <= shop.proven() | {key for (key,) in shop.sql("SELECT key FROM deliveries WHERE state = 'pending'")}


async def test_a_repair_of_what_is_sound_changes_nothing(shop: Shop) -> None:
    """Exit code 0, and every row is what it was."""
    before = shop.sql("SELECT * FROM deliveries"), shop.files()
    assert (await repair(shop)).code == CLEAN
    assert (shop.sql("SELECT * FROM deliveries"), shop.files()) == before


async def test_beside_a_running_daemon_it_looks_and_does_not_touch(shop: Shop) -> None:
    """What the daemon is busy with is no finding; a repair is refused with a word."""
    settings = shop.config()
    async with living(settings) as world:
        await world.outbox.redrive(1)
        report = await fsck(settings, repair=False)
        assert report.code == CLEAN, report.lines
        with pytest.raises(EdgedError, match=r"an edged runs on .*: stop it before a repair; nothing was changed"):
            await fsck(settings, repair=True)
        _bitten(shop.part())
        report = await fsck(settings, repair=False)
        assert report.code == FOUND
        assert "part-001.mp4 has other bytes than were recorded" in report.lines[0]


async def test_what_is_being_recorded_is_no_finding(shop: Shop) -> None:
    """An open incident, a part that grows without a row, and right after it the sidecars that are owed."""
    settings = shop.config()
    async with living(settings) as world:
        await watching(world)
        asked = await ask(settings, "record", {"camera": "door", "seconds": 2.0}, timeout=30.0)
        for _ in range(3):
            report = await fsck(settings, repair=False)
            assert report.code == CLEAN, report.lines
        await until(lambda: _is_closed(world, asked["incident"]))
        report = await fsck(settings, repair=False)
        assert report.code == CLEAN, report.lines
    assert (await fsck(settings, repair=False)).code == CLEAN


async def _is_closed(world: World, incident: str) -> bool:
    found = await world.outbox.incident(incident)
    return found is not None and found.closed is not None


async def test_a_daemon_that_only_starts_keeps_its_directory(shop: Shop) -> None:
    """The lock counts where nobody listens yet."""
    with Spool(shop.state).lock():
        with pytest.raises(EdgedError, match="an edged runs on"):
            await repair(shop)
        assert (await look(shop)).code == CLEAN


async def test_a_newer_schema_is_refused(shop: Shop) -> None:
    """It is not this edged's to judge."""
    shop.sql("PRAGMA user_version = 99")
    before = shop.everything()
    for doing in (look, repair):
        with pytest.raises(NewerSchemaError, match="newer edged"):
            await doing(shop)
    (shop.state / "lock").unlink()
    assert shop.everything() == before


async def test_a_directory_that_is_none(shop: Shop) -> None:
    """A mistyped path is told, and not made."""
    settings = shop.config(device={"name": "shop", "site": "S", "state": str(shop.state / "no"), "timezone": "UTC"})
    with pytest.raises(EdgedError, match="is no directory"):
        await fsck(settings, repair=False)
    assert not (shop.state / "no").exists()


async def test_what_is_kept_aside_is_a_note(shop: Shop) -> None:
    """A damaged clip and database that were set aside, and foreign files, are told and count for nothing."""
    shop.part().with_name("part-001.mp4.damaged").write_bytes(b"x")
    shop.part().with_name("holiday.png").write_bytes(b"x")
    shutil.copy(shop.database, shop.state / "outbox.db.corrupt-17")
    report = await look(shop)
    assert report.code == CLEAN
    assert [line.split(" ")[1].rsplit("/")[-1] for line in report.lines[:-1]] == [
        "holiday.png",
        "part-001.mp4.damaged",
        "outbox.db.corrupt-17",
    ]
