"""Files that last: whole or not at all, private, in directories that are private too."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from edged.base.disk import make_directory, replace_synced, sync_directory, write_synced

if TYPE_CHECKING:
    from pathlib import Path


def test_make_directory_makes_private_parents(tmp_path: Path) -> None:
    """Missing parents are made too, all readable by their owner alone."""
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700, 0o700]


def test_write_synced_overwrites_a_longer_file(tmp_path: Path) -> None:
    """What an attempt before a crash left does not shine through."""
    path = tmp_path / "still.jpg"
    write_synced(path, b"much longer")
    write_synced(path, b"short")
    assert path.read_bytes() == b"short"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_replace_leaves_the_old_content_when_the_new_can_not_be_written(tmp_path: Path) -> None:
    """A refused write leaves what was there."""
    path = tmp_path / "incident.json"
    replace_synced(path, b"old")
    (tmp_path / "incident.json.new").mkdir()
    with pytest.raises(OSError, match="incident"):
        replace_synced(path, b"new")
    assert path.read_bytes() == b"old"


def test_replace_leaves_no_other_file(tmp_path: Path) -> None:
    """The new content takes the old one's name and nothing else remains."""
    for content in (b"old", b"new"):
        replace_synced(tmp_path / "incident.json", content)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("incident.json", b"new")]


def test_sync_directory_refuses_a_file(tmp_path: Path) -> None:
    """A path that is no directory is told, not ignored."""
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")
