"""One picture of each camera, taken as edged takes them, in a folder that only the one who asks can open."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from edged.app.setup.answers import valid_name
from edged.base.disk import write_synced

if TYPE_CHECKING:
    from edged.record.snapshot import Still


class Album:
    """The folder, made when the first picture comes: the one that was named, else a new one.

    A new one goes again when the block is left by an error or by Ctrl-C, which leave nothing behind.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._made: Path | None = None
        self._names: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._made is not None and self._folder is None:
            shutil.rmtree(self._made, ignore_errors=True)

    def add(self, name: str, picture: Still) -> Path:
        """Write a picture and return where it is; `name` is made one that a file can have."""
        if self._made is None:
            self._made = self._make()
        name = valid_name(name, self._names)
        self._names.add(name)
        path = self._made / f"{name}.jpg"
        write_synced(path, picture.jpeg)
        _give(path)
        return path

    def _make(self) -> Path:
        if self._folder is None:
            folder = Path(tempfile.mkdtemp(prefix="edged-pictures-"))
        else:
            folder = self._folder.absolute()
            if folder.is_dir():
                return folder  # as its owner has it
            folder.mkdir(mode=0o700)
        _give(folder)
        return folder


def _give(path: Path) -> None:
    """Give what sudo made to the person behind it, who is to look at it."""
    user, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and user.isdecimal() and group.isdecimal():
        os.chown(path, int(user), int(group), follow_symlinks=False)
