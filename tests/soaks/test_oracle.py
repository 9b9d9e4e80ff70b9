"""The oracle catches what it must: a real world of a device and a receiver, tampered with in one point each."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.soaks import oracle
from scripts.soaks.oracle import promises
from scripts.soaks.oracle.receiver import played
from tests.soaks.world import World, make

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.timeout(300)  # the first one waits for real programs, on a machine that may be crowded


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One incident, recorded, delivered and told to two people; nothing went wrong."""
    return make(tmp_path_factory.mktemp("quiet"))


@pytest.fixture
def world(quiet: World, tmp_path: Path) -> World:
    """A copy that may be tampered with."""
    return quiet.copy(tmp_path)


def forget_incident(world: World) -> None:
    """The log promised an incident that has no row: the commit was not durable."""
    world.log("incident opened", incident="f" * 32, camera="cam1")


def promise_seconds(world: World) -> None:
    """More seconds were synced than the clip holds: salvage cut too much."""
    clip = world.clip()
    world.log("fragment synced", incident=clip["incident"], part=clip["number"], seconds=clip["seconds"] + 1.0)


def promise_part(world: World) -> None:
    """A part was synced that is nowhere."""
    world.log("fragment synced", incident=world.clip()["incident"], part=9, seconds=1.0)


def lose_blob(world: World) -> None:
    """The receiver's disk lost a content."""
    world.stored().unlink()


def lose_row(world: World) -> None:
    """The receiver forgot a file."""
    world.there("DELETE FROM file WHERE kind = 'clip'")


def lose_incident(world: World) -> None:
    """The receiver forgot an incident."""
    world.there("DELETE FROM incident")


def lose_mail(world: World) -> None:
    """One of two people was not told."""
    world.mails.pop()


def delete_unproven(world: World) -> None:
    """A clip was deleted on a mere claim."""
    clip = world.clip()
    world.here("UPDATE files SET deleted = 'kept long enough' WHERE id = ?", clip["id"])
    world.here("UPDATE deliveries SET receipt = replace(receipt, '\"signed\"', '\"claimed\"')")
    (world.device / clip["path"]).unlink()


def delete_on_another_receipt(world: World) -> None:
    """A clip was deleted on a receipt for other bytes."""
    clip = world.clip()
    world.here("UPDATE files SET deleted = 'kept long enough' WHERE id = ?", clip["id"])
    world.here("UPDATE deliveries SET receipt = replace(receipt, ?, ?)", clip["sha256"], "0" * 64)
    (world.device / clip["path"]).unlink()


def shorten_blob(world: World) -> None:
    """The receiver's file lost its end."""
    data = world.stored().read_bytes()
    world.stored().write_bytes(data[: len(data) // 2])


def flip_bit(world: World) -> None:
    """The receiver's file has one wrong bit."""
    data = bytearray(world.stored().read_bytes())
    data[len(data) // 2] ^= 1
    world.stored().write_bytes(data)


def store_other_bytes(world: World) -> None:
    """The receiver took other bytes for the clip than the device hashed, whole as they may be."""
    sha256 = hashlib.sha256(b"other").hexdigest()
    world.blob(sha256).parent.mkdir(exist_ok=True)
    world.stored().rename(world.blob(sha256))
    world.there("UPDATE file SET sha256 = ? WHERE kind = 'clip'", sha256)


def seal_unplayable(world: World) -> None:
    """Both ends agree on bytes that no player plays: a torn fragment was sealed."""
    before = world.clip()["sha256"]
    data = world.stored().read_bytes()[:200]
    after = hashlib.sha256(data).hexdigest()
    world.blob(after).parent.mkdir(exist_ok=True)
    world.blob(after).write_bytes(data)
    world.stored().unlink()
    (world.device / world.clip()["path"]).write_bytes(data)
    world.here("UPDATE files SET sha256 = ? WHERE sha256 = ?", after, before)
    world.there("UPDATE file SET sha256 = ? WHERE sha256 = ?", after, before)


def change_kept_clip(world: World) -> None:
    """The device's own copy changed."""
    with (world.device / world.clip()["path"]).open("ab") as file:
        file.write(b"more")


def miss_kept_clip(world: World) -> None:
    """The device's own copy is gone, and nothing tells of it."""
    (world.device / world.clip()["path"]).unlink()


def damage_database(world: World) -> None:
    """The device's database is damaged."""
    path = world.device / "outbox.db"
    data = bytearray(path.read_bytes())
    data[1024:8192] = bytes(7168)
    path.write_bytes(data)


def store_twice(world: World) -> None:
    """The clip was taken a second time, under another key."""
    world.there(
        "INSERT INTO file SELECT 'again', owner, 'again', kind, name, content_type, size, sha256, incident, part,"
        " seconds, start, stored FROM file WHERE kind = 'clip' LIMIT 1"
    )


def forget_held_back(world: World) -> None:
    """An incident was held back for a summary that was never made."""
    world.here("UPDATE incidents SET held = 'cooldown', notice = 'none'")


def tell_wrong_number(world: World) -> None:
    """A summary tells of fewer incidents than it stands for."""
    notice = "SELECT 'n', 'summary', '', NULL, '', '[]', 2, 0, 0, id, 1 FROM boots LIMIT 1"
    world.here(f"INSERT INTO notices {notice}")
    alert = "SELECT min(id) FROM deliveries WHERE kind = 'alert'"
    world.here(f"UPDATE deliveries SET subject = 'n', key = 'n.1' WHERE id = ({alert})")
    recipients, _ = world.mails[0]
    raw = b"Message-ID: <n.1@x>\r\nX-Edged-Kind: summary\r\nSubject: 1 more since 14:00\r\n\r\n"
    world.mails.append((recipients, raw))


def tell_twice(world: World) -> None:
    """A person is told of the same incident in another mail."""
    recipients, raw = world.mails[0]
    world.mails.append((recipients, raw.replace(b"Message-ID: <", b"Message-ID: <x")))


def send_twice(world: World) -> None:
    """The same mail came twice, as after a lost 250."""
    world.mails.append(world.mails[0])


def leave_open(world: World) -> None:
    """An incident was never closed."""
    world.here("UPDATE incidents SET closed_wall = NULL")


def leave_delivery(world: World) -> None:
    """A delivery waits for ever."""
    world.here("UPDATE deliveries SET state = 'pending' WHERE kind = 'snapshot'")


def enter_gap(world: World, start: float, end: float | None) -> None:
    """Enter a gap of the camera in the device's ledger."""
    boot = world.here("SELECT opened_boot AS boot FROM incidents")[0]["boot"]
    world.here(
        "INSERT INTO gaps (camera, reason, start_wall, start_mono, start_boot, start_synced, end_wall)"
        " VALUES ('cam1', 'why', ?, 1, ?, 1, ?)",
        *(start, boot, end),
    )


def be_away(world: World) -> None:
    """It was killed and came back a minute later; the ledger of gaps tells of the first half of that minute alone."""
    ((died,),) = (row.values() for row in world.here("SELECT closed_wall FROM incidents"))
    world.absences = ((died + 100.0, died + 160.0),)
    enter_gap(world, died + 99.5, died + 130.0)


def leave_gap(world: World) -> None:
    """A gap was never ended."""
    enter_gap(world, 1.0, None)


def leave_part(world: World) -> None:
    """A part was never sealed."""
    path = world.device / world.clip()["path"]
    path.with_name("part-007.mp4").write_bytes(b"")


def leave_half_sidecar(world: World) -> None:
    """Half a sidecar lies about."""
    path = world.device / world.clip()["path"]
    path.with_name("incident.json.new").write_bytes(b"{")


def leave_no_sidecar(world: World) -> None:
    """A lost database could not be rebuilt."""
    (world.device / world.clip()["path"]).with_name("incident.json").unlink()


def leave_partial(world: World) -> None:
    """A finished upload's partial file was not removed."""
    (world.receiver / "partial" / "abc").write_bytes(b"half")


def leave_upload(world: World) -> None:
    """An upload was begun, and never ended."""
    world.there(
        "INSERT INTO upload (id, owner, key, length, manifest, created, expires)"
        " VALUES ('u', 'soak', 'k', 1, '{}', 1, 2)"
    )


def leave_blob(world: World) -> None:
    """A content lies about that no row knows."""
    world.blob("ab" * 32).parent.mkdir(exist_ok=True)
    world.blob("ab" * 32).write_bytes(b"whose?")


@pytest.mark.parametrize(
    ("kind", "tamper"),
    [
        ("lost", forget_incident),
        ("lost", promise_seconds),
        ("lost", promise_part),
        ("lost", lose_blob),
        ("lost", lose_row),
        ("lost", lose_incident),
        ("lost", lose_mail),
        ("lost", forget_held_back),
        ("lost", tell_wrong_number),
        ("lost", delete_unproven),
        ("lost", delete_on_another_receipt),
        ("lost", be_away),
        ("corrupt", shorten_blob),
        ("corrupt", flip_bit),
        ("corrupt", store_other_bytes),
        ("corrupt", seal_unplayable),
        ("corrupt", change_kept_clip),
        ("corrupt", miss_kept_clip),
        ("corrupt", damage_database),
        ("duplicated", store_twice),
        ("duplicated", tell_twice),
        ("possible_duplicate", send_twice),
        ("left_over", leave_open),
        ("left_over", leave_delivery),
        ("left_over", leave_gap),
        ("left_over", leave_part),
        ("left_over", leave_half_sidecar),
        ("left_over", leave_no_sidecar),
        ("left_over", leave_partial),
        ("left_over", leave_upload),
        ("left_over", leave_blob),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_it_catches(world: World, kind: str, tamper: Callable[[World], None]) -> None:
    """Each breach is found under its kind, and said in a sentence."""
    tamper(world)
    assert kind in {finding.kind for finding in world.judge()}


def test_it_is_silent_when_all_is_well(world: World) -> None:
    """An untouched world has no breach."""
    assert world.judge() == []


def test_what_was_entered_again_may_be_told_by_number_in_any_mail(world: World) -> None:
    """The notice of what was recovered may go out in a digest; without that mail nobody was told."""
    world.here("INSERT INTO notices SELECT 'n', 'recovered', '', NULL, '', '[]', 1, 0, 0, id, 1 FROM boots LIMIT 1")
    world.here("UPDATE deliveries SET subject = 'n', incident = NULL WHERE kind = 'alert'")
    world.mails = [(to, raw.replace(b"X-Edged-Incident: ", b"X-Was: ")) for to, raw in world.mails]
    assert world.judge() == []
    del world.mails[0]
    assert {finding.kind for finding in world.judge()} == {"lost"}


def test_an_absence_that_the_ledger_tells_is_no_breach(world: World) -> None:
    """Two gaps that touch cover a minute; what was before a camera's first incident is nobody's promise."""
    ((closed,),) = (row.values() for row in world.here("SELECT closed_wall FROM incidents"))
    world.absences = ((1.0, 50.0), (closed + 100.0, closed + 160.0))
    enter_gap(world, closed + 99.5, closed + 130.0)
    enter_gap(world, closed + 130.0, closed + 159.5)
    assert world.judge() == []


def test_the_ledger_pardons_what_it_names(world: World) -> None:
    """An undelivered clip that was sacrificed is no breach once the loss ledger names it, and is one without."""
    clip = world.clip()
    sacrifice(world, clip["id"], clip["path"], clip["sha256"])
    assert {finding.kind for finding in world.judge()} == {"lost", "left_over"}
    world.here(
        "INSERT INTO losses (what, name, incident, bytes, reason, at_wall, at_mono, at_boot, at_synced)"
        " SELECT what, name, incident, size, 'full', 1, 1, taken_boot, 1 FROM files WHERE id = ?",
        clip["id"],
    )
    assert world.judge() == []


def sacrifice(world: World, file: str, path: str, sha256: str) -> None:
    """Delete a clip that never got away, on both ends."""
    world.here("UPDATE files SET deleted = 'full' WHERE id = ?", file)
    world.here("UPDATE deliveries SET state = 'dead', receipt = NULL, proven = 0 WHERE subject = ?", file)
    (world.device / path).unlink()
    world.there("DELETE FROM file WHERE sha256 = ?", sha256)
    world.blob(sha256).unlink()


def test_half_a_log_line_promises_nothing() -> None:
    """What a kill cut off, and what a library says, is passed over; a header without pictures is no second."""
    lines = (b'{"event": "incident opened", "inci', b"x264 [info]: hello", b"7")
    header = b'{"event": "fragment synced", "incident": "a", "part": 1, "seconds": 0.0}'
    assert len(promises.read((*lines, header))) == 0


def test_what_is_no_video_plays_for_no_second(tmp_path: Path) -> None:
    """A player that fails on a file is an answer, too."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video")
    assert played(path) == 0.0


def test_it_knows_nothing_of_edged() -> None:
    """No module of the oracle imports edged: what it checks must not check itself."""
    imported = set()
    for path in Path(next(iter(oracle.__path__))).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
                assert not (node.module or "").startswith("scripts.") or "oracle" in (node.module or "")
    assert "edged" not in imported
    assert "tests" not in imported
