"""Where edged can't be installed: a sentence says why and what to do, and nothing is changed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def _install(folder: Path, *arguments: str, program: str = "install", **programs: str) -> tuple[int, str]:
    """Run a script with stand-ins (name, text of a shell script) before the system's programs."""
    for name, text in {"id": "echo 0", **programs}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts" / program, *arguments],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": str(folder / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("programs", "said"),
    [
        ({"id": "echo 1000"}, "this needs root: sudo ./scripts/install"),
        ({"getconf": "echo 32", "uname": "echo aarch64"}, "this is a 32-bit system"),
        ({"getconf": "echo 64", "uname": "echo riscv64"}, "this processor (riscv64)"),
        (
            {"getconf": "echo 64", "uname": "echo aarch64", "python": "echo 3.9; exit 1"},
            "is Python 3.9, and edged needs",
        ),
        (
            {"getconf": "echo 64", "uname": "echo x86_64", "python": "echo 3.12", "readlink": "echo /home/pi/python"},
            "lies in somebody's home",
        ),
    ],
    ids=["not root", "32 bit", "another processor", "an old Python", "a Python of one's own"],
)
def test_what_can_not_be_is_refused(tmp_path: Path, programs: dict[str, str], said: str) -> None:
    """Before anything else, with exit code 2."""
    code, text = _install(tmp_path, **programs)
    assert (code, said in text) == (2, True), text


def test_without_systemd_there_is_no_service(tmp_path: Path) -> None:
    """The way to run it by hand is named; where systemd runs, the interpreter that was named gets the word."""
    fits = {"getconf": "echo 64", "uname": "echo x86_64", "python": "echo 3.11"}
    code, text = _install(tmp_path, **fits)
    assert (code, "systemd does not run here" in text) == (
        (0, False) if Path("/run/systemd/system").is_dir() else (2, True)
    )


def test_uninstalling_needs_root(tmp_path: Path) -> None:
    """It says how it is called."""
    assert _install(tmp_path, program="uninstall", id="echo 1000") == (
        2,
        "uninstall: this needs root: sudo ./scripts/uninstall\n",
    )
