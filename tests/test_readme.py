"""The README's promises: each row of "What happens when ..." names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
_CHAPTER = re.search(r"^## What happens when.*?(?=^## )", README, re.MULTILINE | re.DOTALL)
ROWS = [
    line
    for line in (_CHAPTER.group() if _CHAPTER else "").splitlines()
    if line.startswith("| ") and not line.startswith("| fault")
]


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip() for row in ROWS])
def test_each_row_is_backed_by_tests(row: str) -> None:
    """A row has five cells, and every test that the last one names exists."""
    cells = row.strip("|").split(" | ")
    assert len(cells) == 5
    named = re.findall(r"`(tests/[^`:]+)(?:::(\w+))?`", cells[-1])
    assert named
    for path, name in named:
        text = (ROOT / path).read_text()
        assert re.search(rf"def {name}\(" if name else "def test_", text), f"{path} has no {name}"


def test_the_chapter_is_there() -> None:
    """The chapter has a table for every class of fault."""
    assert len(ROWS) > 40
