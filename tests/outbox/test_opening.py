from __future__ import annotations

import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from edged.base.copies import set_aside
from edged.base.errors import NewerSchemaError
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import Destinations, clip_drafts
from edged.outbox.store import open_outbox
from tests.outbox.world import HandClock, Maker

if TYPE_CHECKING:
    from pathlib import Path

RECEIVER = Destinations(receiver=True)


async def filled(state_dir: Path, clock: HandClock, make: Maker) -> str:
    """Make an outbox with one incident and its clip; return the incident's id."""
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    incident = await outbox.open_incident(make.incident(), (), AlertRules())
    clip = make.clip(incident)
    await outbox.add_clip(clip, clip_drafts(clip, RECEIVER))
    await outbox.close()
    return incident.id


async def test_a_sound_outbox_is_opened_as_it_is(state_dir: Path, clock: HandClock, make: Maker) -> None:
    """What was committed is there, and nothing says that it was rebuilt."""
    incident = await filled(state_dir, clock, make)
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    assert not outbox.rebuilt
    assert await outbox.incident(incident) is not None
    await outbox.close()


@pytest.mark.parametrize("damage", ["one page", "overwritten", "truncated", "no database"])
async def test_a_damaged_outbox_is_set_aside(state_dir: Path, clock: HandClock, make: Maker, damage: str) -> None:
    """The damaged file is kept under another name, a fresh one is opened, and `rebuilt` says so."""
    await filled(state_dir, clock, make)
    path = state_dir / "outbox.db"
    size = path.stat().st_size
    page = _root_page(path, "losses")  # a table that opening does not touch
    with path.open("r+b") as file:
        if damage == "one page":
            file.seek((page - 1) * 1024)
            file.write(b"\xee" * 1024)
        elif damage == "overwritten":
            file.seek(8 * 1024)
            file.write(b"\xee" * (size - 9 * 1024))
        elif damage == "truncated":
            file.truncate(size // 2)
        else:
            file.write(b"not a database at all")
    broken = path.read_bytes()
    outbox = await open_outbox(path, clock)
    assert outbox.rebuilt
    assert await outbox.incidents() == ()
    await outbox.close()
    (aside,) = state_dir.glob(f"outbox.db.corrupt-{round(clock.wall())}")
    assert aside.read_bytes() == broken


def _root_page(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    connection.close()
    return int(page)


def test_a_log_left_by_a_crash_goes_with_its_database(state_dir: Path) -> None:
    """The log of a file that is set aside must not be played into the fresh one."""
    for suffix in ("", "-wal", "-shm"):
        (state_dir / f"outbox.db{suffix}").write_text(suffix)
    aside = set_aside(state_dir / "outbox.db", 7)
    assert aside == state_dir / "outbox.db.corrupt-7"
    assert {each.name: each.read_text() for each in state_dir.iterdir()} == {
        f"outbox.db.corrupt-7{suffix}": suffix for suffix in ("", "-wal", "-shm")
    }


async def test_a_newer_outbox_is_refused_and_left_alone(state_dir: Path, clock: HandClock, make: Maker) -> None:
    """A version from the future is no damage: it stays where it is."""
    await filled(state_dir, clock, make)
    connection = sqlite3.connect(state_dir / "outbox.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(NewerSchemaError):
        await open_outbox(state_dir / "outbox.db", clock)
    assert list(state_dir.glob("*corrupt*")) == []


async def test_a_state_directory_can_be_moved(tmp_path: Path, clock: HandClock) -> None:
    """Paths are kept relative: the files of a moved directory are found where it is now."""
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    make = Maker(clock=clock, root=before)
    incident = await filled(before, clock, make)
    shutil.move(before, after)
    outbox = await open_outbox(after / "outbox.db", clock)
    (clip,) = await outbox.clips_of(incident)
    assert clip.path == after / "clips" / incident / "part-001.mp4"
    await outbox.close()
