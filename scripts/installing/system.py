"""Programs of the system, run and told about: what fails raises a sentence."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import subprocess
import sys
from typing import TYPE_CHECKING, TypeVar

from scripts.installing.places import LOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

_NAME = sys.modules["__main__"].__spec__.name.rpartition(".")[2] if sys.modules["__main__"].__spec__ else "install"


class InstallError(Exception):
    """The installation can't go on; the text says what is wrong, what was left as it was, and what to do."""


def say(text: str) -> None:
    """Tell the person who installs what is being done; that the line to that person is cut changes nothing."""
    with contextlib.suppress(OSError):
        print(f"{_NAME}: {text}", file=sys.stderr, flush=True)


def run(*command: str | Path, check: bool = True, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program in the root directory and return its output.

    Raises InstallError with what it said when it fails, unless `check` is false.
    """
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    if check and done.returncode:
        said = "\n".join(f"  {line}" for line in (done.stderr or done.stdout).strip().splitlines()[-15:])
        raise InstallError(f"{' '.join(map(str, command[:4]))} failed:\n{said}")
    return done


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Be the only one who installs or uninstalls while the context lasts; raises InstallError for a second one."""
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstallError("another installation is under way; wait for its end") from None
        yield


def as_user(name: str, work: Callable[[], T]) -> T:
    """Do some work in a process of `name`'s, and return its result, which JSON can carry.

    What lies in a service's own directory is touched so alone: a link that it left there must not lead root anywhere.
    Raises InstallError with what went wrong.
    """
    person = pwd.getpwnam(name)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        answer: dict[str, object] = {"error": "it ended early"}
        try:
            os.setgroups([person.pw_gid])
            os.setgid(person.pw_gid)
            os.setuid(person.pw_uid)
            answer = {"result": work()}
        except Exception as error:  # noqa: BLE001 -- handed over to the parent, which raises it
            answer = {"error": str(error)}
        finally:
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = json.loads(pipe.read() or b'{"error": "it died"}')
    os.waitpid(child, 0)
    if "error" in told:
        raise InstallError(f"as user {name}: {told['error']}")
    result: T = told["result"]
    return result


def systemctl(*arguments: str, check: bool = True) -> str:
    """Run systemctl and return what it printed."""
    return run("systemctl", *arguments, check=check).stdout.strip()


def properties(unit: str, *names: str) -> dict[str, str]:
    """Return properties of a unit as `systemctl show` prints them."""
    shown = systemctl("show", unit, *(f"--property={name}" for name in names))
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def is_active(unit: str) -> bool:
    """Return whether a service runs, or is on its way."""
    return properties(unit, "ActiveState")["ActiveState"] in {"active", "activating", "reloading"}


def is_enabled(unit: str) -> bool:
    """Return whether a unit starts with the machine."""
    return run("systemctl", "is-enabled", "--quiet", unit, check=False).returncode == 0


def write(path: Path, text: str, mode: int = 0o644) -> bool:
    """Have `path` hold `text`, whole or not at all, lasting; return whether that changed anything."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_directory(path.parent)
    return True


def link(path: Path, target: Path) -> bool:
    """Have `path` be a link to `target`, at once; return whether that changed anything."""
    if path.is_symlink() and path.readlink() == target:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)
    sync_directory(path.parent)
    return True


def sync_directory(path: Path) -> None:
    """Have the names in a directory last."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
