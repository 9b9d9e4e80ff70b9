"""Copies of edged's sources to install from, each changed as a new version may be: better, or broken."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.container.lab import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

_WHOLE = ("edged", "config", "requirements", "systemd", "scripts/installing")
_FILES = ("pyproject.toml", "README.md", "LICENSE", "scripts/install", "scripts/uninstall")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """A folder of copies; a box sees it as /sources."""

    folder: Path

    def make(self, name: str, version: str = "", **appended: str) -> str:
        """Copy the sources and return where a box sees the copy's scripts.

        `appended` is put behind modules of edged, named with `__` for dots: a later definition replaces a former one.
        """
        copy = self.folder / name
        ignored = shutil.ignore_patterns("__pycache__")
        for each in _WHOLE:
            shutil.copytree(REPOSITORY / each, copy / each, ignore=ignored)
        for each in _FILES:
            shutil.copy2(REPOSITORY / each, copy / each)
        if version:
            (copy / "edged/__init__.py").write_text(f'"""edged."""\n\n__version__ = "{version}"\n', encoding="utf-8")
        for module, text in appended.items():
            with (copy / "edged" / f"{module.replace('__', '/')}.py").open("a", encoding="utf-8") as file:
                file.write(f"\n\n{text}")
        return f"/sources/{name}/scripts"

    def append(self, name: str, path: str, text: str) -> None:
        """Put text behind any file of a copy."""
        with (self.folder / name / path).open("a", encoding="utf-8") as file:
            file.write(text)
