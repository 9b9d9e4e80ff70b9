"""How edged asks the privileged helper: a small file in a directory, and an answer in a place that root alone writes.

The side that asks is not trusted: whoever has taken edged over may put anything there. So a request is known by its
name alone, its text is only repeated in logs, and nothing in the directory is followed, waited for or read at length.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from edged.base.disk import replace_synced

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK = "ask"  # in edged's own runtime directory
ANSWERS = Path("/run/edged-act/answers.json")

REBOOT = "reboot"
_RESET = "reset-"
_NAME = re.compile(r"reboot|reset-[a-z0-9][a-z0-9-]{0,31}")
_IDENTITY = re.compile(r"[0-9a-f]{32}")

_MOST = 64  # names in one run: whoever puts more there waits for the next
_LONGEST = 1024  # bytes of a request
_LONGEST_REASON = 200  # characters
_KEPT = 32  # answers


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is asked for: `reboot` or `reset-CAMERA`. `id` and `reason` are the asking side's own words."""

    name: str
    id: str = ""
    reason: str = ""

    @property
    def camera(self) -> str:
        """The camera whose power is to be reset, "" of a reboot."""
        return self.name.removeprefix(_RESET) if self.name.startswith(_RESET) else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What became of the request `id`, and why, as a clause for people."""

    id: str
    outcome: Literal["done", "refused", "failed"]
    text: str


class RefusedRequestError(Exception):
    """A file is no request; the text says why."""


def reset_of(camera: str) -> str:
    """Return the name of the request to reset a camera's power."""
    return _RESET + camera


def write_request(directory: Path, request: Request) -> None:
    """Put a request into `directory`, which is made if need be, whole at once; OSError if that is refused.

    Group and modes: the helper is root without any privilege over files, but of edged's group.
    """
    directory.mkdir(exist_ok=True)
    directory.chmod(0o770)
    new = directory / f".{request.name}"
    new.write_text(f"{request.id}\n{request.reason}\n", encoding="utf-8")
    new.chmod(0o640)
    new.replace(directory / request.name)


def take_requests(path: Path) -> Iterator[Request | RefusedRequestError]:
    """Yield each request in the directory at `path` after it was removed, reboots last.

    What is no request is removed, too, where it can be, and yielded as the reason. Hidden names are left alone.
    Raises OSError if the directory is a link, or can't be read.
    """
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(directory) as entries:
            names = list(islice((entry.name for entry in entries if not entry.name.startswith(".")), _MOST))
        for name in sorted(names, key=lambda name: (name == REBOOT, name)):
            try:
                yield _take(directory, name)
            except RefusedRequestError as error:
                yield error
    finally:
        os.close(directory)


def _take(directory: int, name: str) -> Request:
    try:
        if not _NAME.fullmatch(name):
            raise RefusedRequestError(f"nobody knows a request {name!r}")
        data = _read(directory, name)
    finally:
        _remove(directory, name)
    identity, _, reason = data.decode(errors="replace").partition("\n")
    readable = "".join(letter if letter.isprintable() else " " for letter in reason)
    return Request(
        name=name,
        id=identity if _IDENTITY.fullmatch(identity) else "",
        reason=" ".join(readable.split())[:_LONGEST_REASON],
    )


def _read(directory: int, name: str) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        handle = os.open(name, flags, dir_fd=directory)
    except OSError as error:
        raise RefusedRequestError(f"{name}: {error.strerror}") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedRequestError(f"{name}: is no plain file")
        if status.st_uid != os.fstat(directory).st_uid or status.st_nlink > 1:
            raise RefusedRequestError(f"{name}: is another's file")
        if status.st_size > _LONGEST:
            raise RefusedRequestError(f"{name}: is longer than {_LONGEST} bytes")
        return os.read(handle, _LONGEST)
    except OSError as error:
        raise RefusedRequestError(f"{name}: {error.strerror}") from error
    finally:
        os.close(handle)


def _remove(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        with contextlib.suppress(OSError):  # a directory with something in it stays: it only keeps the helper busy
            os.rmdir(name, dir_fd=directory)


def read_answers(path: Path) -> dict[str, Answer]:
    """Return the newest answer to each request by its name, as far as the file at `path` can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Answer])
    except (OSError, ValueError):
        return {}


def write_answer(path: Path, request: Request, answer: Answer) -> None:
    """Keep an answer, readable for all; the oldest gives way. OSError if the disk refuses."""
    answers = read_answers(path)
    answers.pop(request.name, None)
    kept = [*answers.items(), (request.name, answer)][-_KEPT:]
    replace_synced(path, msgspec.json.encode(dict(kept)))
    path.chmod(0o644)
