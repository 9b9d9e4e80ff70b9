"""A link of its own for figures: two network namespaces, and a process between two TUN devices that delays and loses.

    async with open_lab() as lab:
        lab.set(rate=32_000.0, delay=0.025, loss=0.0)      # bytes/s, s, share of packets; of both directions
        await lab.run_near(["curl", ...]); await lab.run_far([...])    # processes at its two ends

Needs root. The kernel's netem would do the same, where it is there. `python -m scripts.soaks.linklab NEAR FAR` is the
process itself: it takes a line of JSON for each change and writes what passed upwards into the file named by "trace",
as lines "time, port at the far end, bytes of payload, 1 if it came through".
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import heapq
import itertools
import json
import os
import secrets
import select
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

NEAR, FAR = "10.77.0.1", "10.77.0.2"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
_MTU = 1500
_TCP = 6


@dataclass(kw_only=True)
class Pipe:
    """One direction: a queue of `room` bytes before a line of `rate` bytes/s, `delay` seconds long."""

    rate: float = 1e9
    delay: float = 0.0
    loss: float = 0.0
    room: int = 64 * 1024
    up: bool = True
    free: float = 0.0  # when the line has sent what waits
    rng: Random = field(default_factory=lambda: Random(1))

    def passes(self, size: int, now: float) -> float | None:
        """Return when a packet of `size` bytes that comes `now` is at the other end; None if it is lost."""
        if not self.up or max(0.0, self.free - now) * self.rate + size > self.room:
            return None
        self.free = max(self.free, now) + size / self.rate
        return None if self.rng.random() < self.loss else self.free + self.delay


def payload(packet: bytes) -> tuple[int, int]:
    """Return the destination's port and the bytes of payload of an IPv4 TCP packet; (0, 0) of others."""
    head = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[9] != _TCP or len(packet) < head + 20:  # noqa: PLR2004 -- IPv4, TCP's header
        return 0, 0
    return struct.unpack_from("!H", packet, head + 2)[0], len(packet) - head - (packet[head + 12] >> 4) * 4


class Emulator:
    """Moves packets between two TUN devices through two pipes."""

    def __init__(self, near: int, far: int) -> None:
        self._ends = {near: far, far: near}
        self._near = near
        self.pipes = {near: Pipe(), far: Pipe(rng=Random(2))}
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._order = itertools.count()
        self._trace: TextIO | None = None

    def serve(self) -> None:
        """Work until standard input ends."""
        poll = select.poll()
        for each in (*self._ends, 0):
            poll.register(each, select.POLLIN)
        while True:
            wait = max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else 1.0
            for descriptor, _ in poll.poll(wait * 1000):
                if descriptor:
                    self._take(descriptor)
                elif not self._told(sys.stdin.readline()):
                    return
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(self._under_way)
                with contextlib.suppress(OSError):
                    os.write(end, packet)

    def _take(self, end: int) -> None:
        packet, now = os.read(end, _MTU + 100), time.monotonic()
        arrives = self.pipes[end].passes(len(packet), now)
        if arrives is not None:
            heapq.heappush(self._under_way, (arrives, next(self._order), self._ends[end], packet))
        if self._trace is not None and end == self._near:
            port, size = payload(packet)
            if port:
                sent = self.pipes[end].free if arrives is not None else now
                self._trace.write(f"{sent:.4f} {port} {size} {int(arrives is not None)}\n")

    def _told(self, line: str) -> bool:
        """Take a change; False at the end."""
        if not line:
            return False
        told = json.loads(line)
        if "trace" in told:
            self._trace = Path(told.pop("trace")).open("w", buffering=1, encoding="ascii")  # noqa: SIM115 -- until the end
        for pipe in self.pipes.values():
            for name, value in told.items():
                setattr(pipe, name, value)
        if told.get("up") is False:  # what waits in the routers is lost with the line
            self._under_way.clear()
            for pipe in self.pipes.values():
                pipe.free = 0.0
        print("done", flush=True)
        return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """A TCP packet upwards: when it had left (monotonic), to which port, bytes of payload, whether it came through."""

    at: float
    port: int
    size: int
    through: bool


class Lab:
    """A link between two namespaces; everything at its near end speaks from 10.77.0.1, at its far end 10.77.0.2."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process

    async def set(self, **changes: Any) -> float:
        """Change both directions from now on: rate, delay, loss, room, up; or "trace"; return when it was done."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the emulator has no pipes")
        self._process.stdin.write(json.dumps(changes, default=str).encode() + b"\n")
        await self._process.stdout.readline()
        return time.monotonic()

    def near(self, *command: str | Path) -> tuple[str | Path, ...]:
        """Return `command` as one that runs at the near end."""
        return ("ip", "netns", "exec", f"{self._name}n", *command)

    def far(self, *command: str | Path) -> tuple[str | Path, ...]:
        """Return `command` as one that runs at the far end."""
        return ("ip", "netns", "exec", f"{self._name}f", *command)


def read_trace(path: Path) -> list[Passed]:
    """Return what went upwards so far."""
    rows = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    return [Passed(at=float(r[0]), port=int(r[1]), size=int(r[2]), through=r[3] == "1") for r in rows if len(r) == 4]  # noqa: PLR2004


@contextlib.asynccontextmanager
async def open_lab() -> AsyncIterator[Lab]:
    """Make the namespaces and the link between them; take everything away again at the end."""
    name = f"ed{secrets.token_hex(3)}"
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "scripts.soaks.linklab", f"{name}n", f"{name}f")
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        if process.stdout is None or not await process.stdout.readline():
            raise RuntimeError("no TUN device can be made: this needs root and /dev/net/tun")
        await asyncio.to_thread(_join, name)
        yield Lab(name, process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        await asyncio.to_thread(_part, name)


def _join(name: str) -> None:
    for end, here, there in (("n", NEAR, FAR), ("f", FAR, NEAR)):
        space = f"{name}{end}"
        _ip("netns", "add", space)
        _ip("link", "set", space, "netns", space)
        for words in (
            ("link", "set", "lo", "up"),
            ("addr", "add", here, "peer", there, "dev", space),
            ("link", "set", space, "mtu", str(_MTU), "up"),
        ):
            _ip("-n", space, *words)


def _part(name: str) -> None:
    for end in "nf":
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("netns", "del", f"{name}{end}")


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True)


def _tun(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return end


def main(names: Sequence[str]) -> None:
    """Be the process in the middle."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # a link does not slow down because a machine is busy
    emulator = Emulator(*(_tun(name) for name in names))
    print("ready", flush=True)
    emulator.serve()


if __name__ == "__main__":
    main(sys.argv[1:])
