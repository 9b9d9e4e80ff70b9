"""The demo's judgement finds what it has to find: each lack is made on purpose."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts.demo_parts.verdict import collect_clips, examine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FIRST, SECOND = "1" * 32, "2" * 32
CLIPS = {FIRST: (b"first, part one", b"first, part two"), SECOND: (b"second",)}


class Scene:
    """What a demo leaves behind: two incidents, the second's alert held back by the cool-down."""

    def __init__(self, out: Path) -> None:
        self.out = out
        for folder in ("device", "receiver", "mails"):
            (out / folder).mkdir()
        self.at_device("CREATE TABLE incidents (id, held)")
        self.at_device("CREATE TABLE files (what, incident, sha256, size)")
        self.at_receiver("CREATE TABLE incident (id, camera, opened)")
        self.at_receiver("CREATE TABLE file (incident, kind, name, sha256, size)")
        for incident, held in ((FIRST, ""), (SECOND, "cooldown")):
            self.at_device("INSERT INTO incidents VALUES (?, ?)", incident, held)
            self.at_receiver("INSERT INTO incident VALUES (?, 'door', 1780056000.0)", incident)
            for number, data in enumerate(CLIPS[incident], start=1):
                self.at_device("INSERT INTO files VALUES ('clip', ?, ?, ?)", incident, digest(data), len(data))
                self.arrive(incident, data, f"clip-{number}.mp4")
        self.mail("0001", "<a@demo>", "alert", FIRST)
        self.mail("0002", "<s@demo>", "summary", "")

    def at_device(self, statement: str, *values: object) -> None:
        """Write to the device's database."""
        self._write(self.out / "device" / "outbox.db", statement, values)

    def at_receiver(self, statement: str, *values: object) -> None:
        """Write to the receiver's database."""
        self._write(self.out / "receiver" / "receiver.db", statement, values)

    def _write(self, path: Path, statement: str, values: Sequence[object]) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(statement, values)

    def arrive(self, incident: str, data: bytes, name: str) -> None:
        """Put a clip where the receiver keeps it."""
        self.at_receiver("INSERT INTO file VALUES (?, 'clip', ?, ?, ?)", incident, name, digest(data), len(data))
        path = self.blob(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def blob(self, data: bytes) -> Path:
        """Return where the receiver keeps this content."""
        return self.out / "receiver" / "blobs" / digest(data)[:2] / digest(data)

    def mail(self, name: str, identity: str, kind: str, incidents: str, recipient: str = "owner@demo") -> None:
        """Put a mail into the mailbox."""
        head = f"X-RcptTo: {recipient}\r\nMessage-ID: {identity}\r\nX-Edged-Kind: {kind}\r\n"
        head += f"X-Edged-Incident: {incidents}\r\n" if incidents else ""
        (self.out / "mails" / f"{name}.eml").write_text(f"{head}\r\nSomething moved.\r\n")


def digest(data: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A demo that went well."""
    return Scene(tmp_path)


def test_a_demo_that_went_well(scene: Scene) -> None:
    """Everything is counted, nothing is missing."""
    found = examine(scene.out)
    assert (found.incidents, found.alerts_received, found.alerts_held_back) == (2, 1, 1)
    assert (found.clips_received, found.clips_verified, found.duplicates) == (2, 2, 0)
    assert found.missing == ()


@pytest.mark.parametrize(
    ("spoil", "missing"),
    [
        (
            lambda scene: scene.at_receiver("DELETE FROM file WHERE name = 'clip-2.mp4'"),
            "11111111 has no verified clip",
        ),
        (lambda scene: scene.blob(b"second").write_bytes(b"sEcond"), "22222222 has no verified clip"),
        (lambda scene: scene.blob(b"second").unlink(), "22222222 has no verified clip"),
        (lambda scene: scene.at_device("DELETE FROM files WHERE size = 6"), "22222222 has no verified clip"),
        (
            lambda scene: scene.at_receiver("UPDATE file SET sha256 = ? WHERE size = 6", digest(b"first, part one")),
            "22222222 has no verified clip",
        ),
        (
            lambda scene: scene.at_receiver("UPDATE file SET incident = ? WHERE size = 6", FIRST),
            "22222222 has no verified clip",
        ),
        (lambda scene: (scene.out / "mails" / "0001.eml").unlink(), "11111111 has no alert"),
        (lambda scene: scene.at_device("UPDATE incidents SET held = ''"), "22222222 has no alert"),
    ],
    ids=[
        "part missing",
        "content differs",
        "content gone",
        "no clip made",
        "hash differs",
        "other incident",
        "no mail",
        "untold",
    ],
)
def test_each_lack_is_told(scene: Scene, spoil: Callable[[Scene], object], missing: str) -> None:
    """The one incident is named, and nothing else."""
    spoil(scene)
    found = examine(scene.out)
    assert found.missing == (f"incident {missing}",)
    assert found.duplicates == 0


def test_nothing_happened_is_no_success(scene: Scene) -> None:
    """A demo without an incident has shown nothing."""
    scene.at_device("DELETE FROM incidents")
    assert examine(scene.out).missing == ("there was no incident",)


@pytest.mark.parametrize(
    ("spoil", "duplicates"),
    [
        (lambda scene: scene.mail("0003", "<a@demo>", "alert", FIRST), 1),  # the same mail again
        (lambda scene: scene.mail("0003", "<b@demo>", "alert", FIRST), 1),  # another mail of the same incident
        (lambda scene: scene.mail("0003", "<d@demo>", "digest", f"{SECOND}, {FIRST}"), 1),
        (lambda scene: scene.mail("0003", "<b@demo>", "alert", FIRST, recipient="guard@demo"), 0),  # another person
        (lambda scene: scene.mail("0003", "<b@demo>", "alert", SECOND), 0),
        (lambda scene: scene.arrive(SECOND, b"second", "again.mp4"), 1),
        (lambda scene: scene.at_receiver("INSERT INTO incident VALUES (?, 'door', 1.0)", FIRST), 1),
    ],
    ids=["same mail", "other mail", "digest", "other person", "other incident", "clip", "incident"],
)
def test_what_came_twice_is_counted(scene: Scene, spoil: Callable[[Scene], object], duplicates: int) -> None:
    """Mails by what they tell to whom, clips by their content in one incident, incidents by their id."""
    spoil(scene)
    found = examine(scene.out)
    assert (found.duplicates, found.missing) == (duplicates, ())


def test_clips_are_laid_out_under_names_for_people(scene: Scene) -> None:
    """What arrived can be opened from one folder."""
    assert collect_clips(scene.out) == 3
    names = sorted(path.name for path in (scene.out / "clips").iterdir())
    assert names == [
        "20260529-120000-door-11111111-clip-1.mp4",
        "20260529-120000-door-11111111-clip-2.mp4",
        "20260529-120000-door-22222222-clip-1.mp4",
    ]
    assert (scene.out / "clips" / names[2]).read_bytes() == b"second"
