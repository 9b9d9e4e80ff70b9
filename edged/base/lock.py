"""One process per state directory: a lock that ends with its holder, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edged.base.errors import AlreadyRunningError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCKS = Path("/proc/locks")


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock file `path` (made with mode 0600); AlreadyRunningError names the process that does.

    flock(2): a fork's child shares it, a crash releases it, and the file itself stays behind without meaning.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunningError(
                f"{path.parent} is held by another edged (process {holder}): stop it, or use another directory"
            ) from error
        # written over and never cut: on a full disk a block once given up is not had back; the number is for people
        with contextlib.suppress(OSError):
            os.pwrite(handle, f"{os.getpid():<31}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock file `path`; nothing is changed, not even made."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def lockers(path: Path) -> tuple[str, ...]:
    """Return which other processes hold a lock on a file, as "process NUMBER (NAME)"; /proc/locks tells (proc(5))."""
    try:
        status = path.stat()
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return ()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    fields = [line.split() for line in lines if "->" not in line]  # an arrow: one that waits
    found = {int(each[4]) for each in fields if each[5] == device}
    return tuple(f"process {number}{_name(number)}" for number in sorted(found - {os.getpid()}) if number > 0)


def _name(process: int) -> str:
    try:
        return f" ({Path(f'/proc/{process}/comm').read_text().strip()})"
    except OSError:
        return ""
