"""A way out of calls that freeze the whole interpreter: the process ends, for systemd to start it anew.

libcamera's Python module keeps the interpreter's lock while a camera is opened, started or stopped. With a driver that
is stuck in the kernel such a call never returns, and no other thread, no signal handler and no event loop of the
process runs again. faulthandler's timer needs no lock: it writes where every thread stands to stderr and leaves.
"""

from __future__ import annotations

import faulthandler
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STDERR = 2
_lock = threading.Lock()
_inside: list[float] = []  # the patience of each body that runs now; the timer is one for the process


@contextmanager
def ends_if_frozen(seconds: float) -> Iterator[None]:
    """End the process with code 1 if no Python code runs for `seconds` while the body does.

    A body that waits without the interpreter's lock may last: a thread of its own puts the timer off again and again.
    """
    over = threading.Event()
    with _lock:
        _inside.append(seconds)
        _put_off()
    threading.Thread(target=_keep_putting_off, args=(over, seconds / 4), name="frozen?", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        with _lock:
            _inside.remove(seconds)
            _put_off()


def _keep_putting_off(over: threading.Event, interval: float) -> None:
    while not over.wait(interval):
        with _lock:
            _put_off()


def _put_off() -> None:
    if _inside:
        faulthandler.dump_traceback_later(min(_inside), exit=True, file=_STDERR)
    else:
        faulthandler.cancel_dump_traceback_later()
