"""The ballast: real blocks, given up once, laid again when there is room."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from edged.outbox.ballast import SIZE, Ballast

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_real_and_given_up_once(tmp_path: Path) -> None:
    """Its blocks are allocated, dropping it says whether there was any, and it can be laid again."""
    ballast, file = Ballast(tmp_path), tmp_path / "ballast"
    assert ballast.lay()
    assert file.stat().st_blocks * 512 >= SIZE
    assert [ballast.drop(), ballast.drop(), ballast.given_up] == [True, False, True]
    assert not file.exists()
    assert ballast.lay()
    assert file.exists()
    assert not ballast.given_up


def test_what_a_crash_left_of_it_is_made_whole(tmp_path: Path) -> None:
    """A file without its blocks would be no ballast."""
    (tmp_path / "ballast").touch()
    assert Ballast(tmp_path).lay()
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= SIZE


async def test_it_is_kept_for_want_of_space_alone(tmp_path: Path) -> None:
    """A commit that fails for another reason fails once, and the ballast stays."""
    ballast, tries = Ballast(tmp_path), list[int]()
    ballast.lay()

    async def locked() -> None:
        tries.append(1)
        raise sqlite3.OperationalError("database is locked")

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await ballast.ease(locked)
    assert tries == [1]
    assert (tmp_path / "ballast").exists()
