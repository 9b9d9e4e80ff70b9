"""Wall and monotonic time, the boot's identity and the clock's quality.

This is the only module that may read the system's clocks (ruff TID251 holds the others to it).
Waiting goes through asyncio, whose loop runs on the same monotonic clock as `Clock.mono`.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_ERROR = 5  # adjtimex(2): the kernel's clock is not synchronised
_REFUSED = -1  # adjtimex(2), where the service may not make a call that could set the clock, too (ProtectClock=)
# systemd-timesyncd.service(8): made when the clock was set from the network in this boot
_TIMESYNC = Path("/run/systemd/timesync/synchronized")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamp:
    """An instant: `wall` in Unix seconds, `mono` in seconds of boot `boot`, `synced` if the wall is trusted."""

    wall: float
    mono: float
    boot: str
    synced: bool


class Clock(Protocol):
    """The two times that edged reads, and what is known of them."""

    def wall(self) -> float:
        """Return Unix time in seconds."""
        ...

    def mono(self) -> float:
        """Return seconds on the monotonic clock, the event loop's own."""
        ...

    def boot(self) -> str:
        """Return the identity of this boot, the scope of `mono`."""
        ...

    def synced(self) -> bool:
        """Return whether the wall time is synchronised."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> float:
        """Return Unix time in seconds."""
        return time.time()

    def mono(self) -> float:
        """Return seconds since an arbitrary start, the same for every process of this boot."""
        return time.monotonic()

    def boot(self) -> str:
        """Return the kernel's boot id."""
        return _boot_id()

    def synced(self) -> bool:
        """Return whether a time source disciplines the clock: as the kernel says (adjtimex(2)), or systemd's own."""
        return is_synced(_kernel_clock_state(), _TIMESYNC)


def is_synced(state: int, timesync: Path) -> bool:
    """Return what adjtimex(2) answered with `state`; refused, the mark of systemd-timesyncd tells."""
    return timesync.exists() if state == _REFUSED else state != _TIME_ERROR


def stamp(clock: Clock) -> Stamp:
    """Return the present instant on all of the clock's times."""
    return Stamp(wall=clock.wall(), mono=clock.mono(), boot=clock.boot(), synced=clock.synced())


def stamp_at(clock: Clock, mono: float) -> Stamp:
    """Return the instant at which the monotonic clock of this boot read, or will read, `mono` seconds."""
    now = stamp(clock)
    return Stamp(wall=now.wall + (mono - now.mono), mono=mono, boot=now.boot, synced=now.synced)


@cache
def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()


class Steps:
    """Tells when the wall clock was set while the monotonic one went on: by hand, by NTP, by a leap second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = clock.wall() - clock.mono()

    def since_last(self) -> float:
        """Return by how many seconds the wall was set forward (back: negative) since this was last asked."""
        before, self._ahead = self._ahead, self._clock.wall() - self._clock.mono()
        return self._ahead - before


def _kernel_clock_state() -> int:
    timex = ctypes.create_string_buffer(256)  # struct timex, all zero: read only
    return int(_libc().adjtimex(timex))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
