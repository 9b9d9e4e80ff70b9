"""The lock on a state directory: one process at a time, free again however that one ends."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edged.base.errors import AlreadyRunningError
from edged.base.lock import hold, is_held, lockers

if TYPE_CHECKING:
    from pathlib import Path

_HOLDER = """
import sys, time
from pathlib import Path
from edged.base.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_it_is_held_once_and_free_afterwards(tmp_path: Path) -> None:
    """A second holder is refused by name of the first; after the first it may."""
    path = tmp_path / "lock"
    with hold(path), pytest.raises(AlreadyRunningError, match=str(os.getpid())), hold(path):
        pass
    with hold(path):
        pass
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_killed_holder_leaves_it_free(tmp_path: Path) -> None:
    """The kernel lets go with the process, so no stale lock is ever in the way."""
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunningError, match=str(holder.pid)), hold(path):
            pass
        assert is_held(path)
        (named,) = lockers(path)
        assert named.startswith(f"process {holder.pid} (python")
        holder.kill()
    with hold(path):
        pass


def test_asking_changes_nothing(tmp_path: Path) -> None:
    """A lock file that is not there is not made, and one that nobody holds stays free."""
    path = tmp_path / "lock"
    assert not is_held(path)
    assert lockers(path) == ()
    assert not path.exists()
    with hold(path):
        assert is_held(path)
        assert lockers(path) == ()  # of others
    assert not is_held(path)
