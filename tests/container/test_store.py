"""Folders that are kept between runs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.container import lab

if TYPE_CHECKING:
    from pathlib import Path

_USER = """
import sys
from pathlib import Path
from tests.container.store import kept
cache = Path(sys.argv[1])
def make(path):
    path.mkdir()
    with (cache / "made").open("a") as file:
        file.write(f"{content} ")
for content in sys.argv[2:]:
    print(kept("tree", content, make, cache).name, flush=True)
sys.stdin.read()
"""


def _user(cache: Path, *contents: str) -> tuple[subprocess.Popen[str], list[str]]:
    """Start a process that takes folders and uses them until its input is closed; return it and their names."""
    command = [sys.executable, "-c", _USER, str(cache), *contents]
    process = subprocess.Popen(command, cwd=lab.REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, [process.stdout.readline().strip() for _ in contents]


def test_a_folder_is_made_once_and_stays_while_a_process_uses_it(tmp_path: Path) -> None:
    """Newer ones of its kind push it out only when its last user has ended."""
    first, (name,) = _user(tmp_path, "a")
    second, (same,) = _user(tmp_path, "a")
    assert name == same
    for user in (second, _user(tmp_path, *"bcdef")[0]):
        user.communicate()
    assert (tmp_path / "made").read_text() == "a b c d e f "
    assert (tmp_path / name).exists()
    first.communicate()
    _user(tmp_path, "g")[0].communicate()
    assert not (tmp_path / name).exists()
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


def test_what_was_half_made_is_made_anew(tmp_path: Path) -> None:
    """A process that was killed while it made a folder leaves none that looks whole, and what it left is removed."""
    user, (name,) = _user(tmp_path, "a")
    user.communicate()
    (tmp_path / name).rename(tmp_path / f"{name}.half")
    (tmp_path / f"{name}.half" / "rest").touch()
    _user(tmp_path, "b")[0].communicate()
    assert not (tmp_path / f"{name}.half").exists()
    user, (again,) = _user(tmp_path, "a")
    user.communicate()
    assert again == name
    assert not list((tmp_path / name).iterdir())
