"""Secrets are named in configuration files and live elsewhere: environment, private file, systemd credential."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from edged.base.errors import ConfigError, Mistake

_SOURCES = ("env", "file", "credential")


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is found; the value itself is read by `reveal` and never kept in a repr."""

    source: str
    name: str

    @classmethod
    def parse(cls, value: object) -> Secret:
        """Take `{ env = "NAME" }`, `{ file = "PATH" }` or `{ credential = "NAME" }`; ValueError otherwise."""
        if isinstance(value, dict) and len(value) == 1:
            ((source, name),) = value.items()
            if source in _SOURCES and isinstance(name, str) and name:
                return cls(source, name)
        never = "a secret must not be written into this file; " if isinstance(value, str) else ""
        raise ValueError(
            f'{never}name where the secret is: {{ env = "NAME" }}, {{ file = "PATH" }} or {{ credential = "NAME" }}'
        )

    def reveal(self) -> str:
        """Return the secret; ValueError says why it can't be had. Small blocking reads: call at start only."""
        if self.source == "env":
            return self._from_environment()
        return _read_private(self._path())

    def _from_environment(self) -> str:
        value = os.environ.get(self.name)
        if not value:
            raise ValueError(f"the environment variable {self.name} is not set")
        return value

    def _path(self) -> Path:
        if self.source == "file":
            return Path(self.name)
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise ValueError(f"credential {self.name!r} needs systemd (LoadCredential={self.name}:PATH in the unit)")
        return Path(directory) / self.name


def reveal(secret: Secret | None, key: str) -> str:
    """Return the secret's value ("" without a secret); ConfigError names `key` when it can't be had."""
    if secret is None:
        return ""
    try:
        return secret.reveal()
    except ValueError as error:
        raise ConfigError((Mistake(key=key, text=str(error)),)) from error


def _read_private(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise ValueError(f"{path} can be read by others; run: chmod 600 {path}")
        value = path.read_text().strip()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from error
    if not value:
        raise ValueError(f"{path} is empty")
    return value
