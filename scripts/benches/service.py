"""edged.service in a real systemd: from the start, a SIGKILL and a wedged event loop to READY, and its memory.

The baseline of the times is a service of a dozen lines of Python that tells READY at once, under the same settings:
what systemd and the interpreter take. Memory is with one 1080p camera (a file at its real speed, as from the network),
idle and while an incident is recorded and uploaded. `./scripts/bench service [ROUNDS [SECONDS]]`: how often each is
restarted, how long the memory is watched. Needs root, and the tests' packages (./scripts/setup --tests).
"""

from __future__ import annotations

import re
from statistics import median
from time import monotonic, sleep
from typing import TYPE_CHECKING

from scripts.benches._stage import full_hd, home
from scripts.benches.figure import Figure
from tests.container.site import configure, sabotaged, site, start

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.container.lab import Box

_ROUNDS, _WATCH = 3, 45.0
_DEVICE, _PLAIN = "edged", "plain"
_CAMERA = '[cameras.door]\nurl = "/srv/door.mp4"\nloop = true\n'
_MEMORY = "under 150"
_SCRIPT = """
import os, signal, socket, time
def tell(message):
    address = os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1)
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(message, address)
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(9999))
tell(b"READY=1")
while True:
    tell(b"WATCHDOG=1")
    time.sleep(2)
"""
_UNIT = """
[Service]
Type=notify
ExecStart=/usr/bin/python3 /srv/plain.py
Restart=always
RestartSec=1
WatchdogSec=30
"""


def figures(argv: Sequence[str]) -> list[Figure]:
    """Return all figures; `argv` may hold the number of restarts of each kind and the seconds of each watch."""
    rounds = int(argv[0]) if argv else _ROUNDS
    watch = float(argv[1]) if len(argv) > 1 else _WATCH
    with home() as folder:
        full_hd(folder / "door.mp4")
        return [*_times(rounds), *_memory(folder / "door.mp4", watch)]


def _times(rounds: int) -> list[Figure]:
    with site() as box:
        box.put("/srv/plain.py", _SCRIPT)
        box.put("/run/systemd/system/plain.service", _UNIT)
        sabotaged(box, watchdog="30s")  # as the unit has it
        start(box)
        box.run("systemctl", "start", _PLAIN)
        found = []
        for name, signal in (("start", ""), ("kill", "KILL"), ("wedge", "USR1")):
            took = {unit: median(_ready(box, unit, signal) for _ in range(rounds)) for unit in (_DEVICE, _PLAIN)}
            value, baseline = took[_DEVICE], took[_PLAIN]
            ratio = value / baseline
            found.append(
                Figure(figure=f"service.{name}_to_ready_s", value=value, unit="s", baseline=baseline, ratio=ratio)
            )
        return found


def _ready(box: Box, unit: str, signal: str) -> float:
    """Return the seconds from a start, or a signal to the running service, to READY."""
    if not signal:
        box.run("systemctl", "stop", unit)
        box.run("systemctl", "start", unit)
        return (_stamp(box, unit, "ActiveEnter") - _stamp(box, unit, "InactiveExit")) / 1e6
    before = _stamp(box, unit, "ActiveEnter")
    sleep(2)  # past its first moments, so that a wedge strikes a service at work
    since = monotonic() * 1e6  # a box has this machine's clock
    box.run("systemctl", "kill", "--kill-whom=main", f"--signal={signal}", unit)
    box.wait(lambda: _stamp(box, unit, "ActiveEnter") > before, "it is ready again", limit=120)
    return (_stamp(box, unit, "ActiveEnter") - since) / 1e6


def _stamp(box: Box, unit: str, moment: str) -> int:
    return int(box.unit(unit, f"{moment}TimestampMonotonic"))


def _memory(video: Path, watch: float) -> list[Figure]:
    with site() as box:
        box.put("/srv/door.mp4", video.read_bytes())
        configure(box, camera=_CAMERA)
        start(box)
        sleep(watch)
        idle, group = _resident(box), int(box.unit(_DEVICE, "MemoryCurrent")) / 1e6
        box.run("edged", "record", "door", "--for", f"{watch:.0f}s")
        peak = 0.0
        until = monotonic() + watch
        while monotonic() < until:
            peak = max(peak, _resident(box))
            sleep(0.5)
        return [
            Figure(figure="service.rss_idle_1080p", value=idle, unit="MB", aim=_MEMORY),
            Figure(figure="service.rss_incident_1080p", value=peak, unit="MB", aim=_MEMORY),
            Figure(figure="service.group_idle_1080p", value=group, unit="MB"),
        ]


def _resident(box: Box) -> float:
    """Return the resident memory of the service's process in MB."""
    status = box.read(f"/proc/{box.unit(_DEVICE, 'MainPID')}/status")
    (kilobytes,) = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) * 1024 / 1e6
