"""Calls that keep the interpreter's lock, as libcamera's do: `ctypes.PyDLL` makes such calls."""

from __future__ import annotations

import subprocess
import sys

_HEAD = """
import ctypes, time
from edged.capture.frozen import ends_if_frozen
libc = ctypes.PyDLL(None)
"""


def _run(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _HEAD + body], capture_output=True, text=True, check=False)


def test_a_call_that_never_returns_ends_the_process() -> None:
    """No Python code can run any more, and the process ends all the same and says where each thread was."""
    done = _run("with ends_if_frozen(1.0):\n    libc.sleep(3600)\n")
    assert done.returncode == 1
    assert "Timeout (0:00:01)!" in done.stderr
    assert 'File "<string>"' in done.stderr


def test_the_shortest_patience_counts_while_its_body_runs() -> None:
    """There is one timer for all of the process's cameras."""
    done = _run(
        "with ends_if_frozen(3600.0):\n    with ends_if_frozen(1.0):\n        pass\n    print('on')\n"
        "    with ends_if_frozen(1.0):\n        libc.sleep(3600)\n"
    )
    assert done.returncode == 1
    assert "Timeout (0:00:01)!" in done.stderr


def test_a_call_that_lets_others_run_may_last() -> None:
    """A camera that takes long to close, but leaves the others alone, is no reason to end."""
    done = _run("with ends_if_frozen(4.0):\n    time.sleep(7)\nprint('done')\n")
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_nothing_ends_after_the_body() -> None:
    """A long call outside, of whatever library, is nobody's business here."""
    done = _run("with ends_if_frozen(0.5):\n    pass\nlibc.sleep(2)\nprint('done')\n")
    assert (done.returncode, done.stdout) == (0, "done\n")
