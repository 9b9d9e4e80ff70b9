"""The configuration's file, written whole or not at all, with the secrets' files that it names."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from edged.app.setup.answers import changes, secret_files
from edged.app.setup.box import service_user
from edged.app.setup.editing import blank, edit
from edged.base.config import parse
from edged.base.disk import sync_directory
from edged.base.errors import ConfigError, EdgedError, Mistake
from edged.settings import DeviceConfig

if TYPE_CHECKING:
    from edged.app.setup.answers import Answers

_EXAMPLE_CAMERA = "cameras.door"  # in config/edged.toml
_OPTIONAL = ("mail.relays", "receiver", "folders")  # tables that must be complete where they are


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What is to be written: the configuration and the files of its secrets."""

    path: Path
    text: str
    config: DeviceConfig
    secrets: dict[Path, str]


def secrets_folder(path: Path) -> Path:
    """Return where the secrets of the configuration `path` are kept."""
    return path.absolute().parent / "secrets"


def existing(path: Path) -> tuple[str, DeviceConfig | None]:
    """Return the text at `path` and what it says, "" and None where there is none; ConfigError if it is broken."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return "", None
    except ValueError as error:
        raise ConfigError((Mistake(key="", text=f"{path} is not valid TOML: {error}"),)) from error
    return text, _parsed(text, path)


def draft(path: Path, former: str, answers: Answers, secrets: Path | None = None) -> Draft:
    """Put the answers into the text that is there (`former`), or into a new one with every setting explained.

    `secrets` is the folder of the secrets' files, unless they are to lie beside the configuration.
    """
    if not former and not answers.cameras:
        raise EdgedError("there is no camera to configure; plug one in, or give the address of one, and try again")
    secrets = secrets or secrets_folder(path)
    text = edit(former or _template(answers.cameras[0].name), changes(answers, secrets))
    return Draft(path=path, text=text, config=_parsed(text, path), secrets=secret_files(answers, secrets))


def write(made: Draft) -> Path | None:
    """Put the files in place, each with its rights; return where the former configuration is kept, if there was one.

    All is prepared beside, then moved at once, so that whatever happens on the way leaves the files as they were.
    """
    user = service_user()
    folder = secrets_folder(made.path)
    kept = made.path.with_name(f"{made.path.name}.bak") if made.path.exists() else None
    waiting: list[tuple[Path, Path]] = []
    try:
        if kept is not None:
            waiting.append((_copied(made.path, kept), kept))
        if made.secrets:
            _folder(folder, group=user.pw_gid if user else None)
        for path, secret in made.secrets.items():
            owner = (user.pw_uid, user.pw_gid) if user else None
            waiting.append((_prepared(path, f"{secret}\n", 0o600, owner), path))
        group = (0, user.pw_gid) if user else None
        waiting.append((_prepared(made.path, made.text, 0o640, group), made.path))
        _move(waiting)
    finally:
        for prepared, _ in waiting:
            prepared.unlink(missing_ok=True)
        with suppress(OSError):  # it is in use, as it should be, or was never made
            folder.rmdir()
    return kept


def _template(camera: str) -> str:
    """Return config/edged.toml with its examples switched off and its tables for `camera`."""
    text = files(__package__ or "").joinpath("edged.toml").read_text(encoding="utf-8")
    return blank(text.replace(f"[{_EXAMPLE_CAMERA}", f"[cameras.{camera}"), _OPTIONAL)


def _parsed(text: str, path: Path) -> DeviceConfig:
    try:
        return parse(tomllib.loads(text), DeviceConfig)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((Mistake(key="", text=f"{path} is not valid TOML: {error}"),)) from error


def _folder(folder: Path, group: int | None) -> None:
    """Make the secrets' folder: the service may go in, others may not. Its own files are private anyway."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o750)
    if group is not None:
        os.chown(folder, 0, group)


def _prepared(path: Path, text: str, mode: int, owner: tuple[int, int] | None) -> Path:
    """Write a file beside `path`, synced, and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, mode)
        if owner is not None:
            os.fchown(descriptor, *owner)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    return Path(name)


def _copied(path: Path, kept: Path) -> Path:
    status = path.stat()
    owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 else None
    prepared = _prepared(kept, "", status.st_mode & 0o777, owner)
    shutil.copyfile(path, prepared)
    return prepared


def _move(waiting: list[tuple[Path, Path]]) -> None:
    """Rename all, the configuration last, without being interrupted between two."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        for prepared, path in waiting:
            prepared.replace(path)
        for folder in {path.parent for _, path in waiting}:
            sync_directory(folder)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
