"""What edged writes to the card: nothing happens for a while, then incidents; each place on a disk of its own.

The service runs in a container whose state directory, journal (kept on the disk) and temporary directories lie on ext4
in loop devices, where the kernel counts each sector, journal and directories of the file system included. What waits
in memory is written out before each count. `./scripts/bench card [SECONDS]`: how long each part is watched. Needs root,
and the tests' packages (./scripts/setup --tests).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benches.figure import Figure
from tests.container.lab import REPOSITORY
from tests.container.site import configure, drop_in, events, site
from tests.disks import loop_disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.container.lab import Box
    from tests.disks import LoopDisk

_WATCH = 300.0  # seconds
_WARM = 20.0
_HOUR = 3600.0
_SIZE = 600 << 20  # bytes
_PLACES = {"state": ("/var/lib/edged",), "journal": ("/var/log/journal",), "temp": ("/tmp", "/var/tmp")}  # noqa: S108
_SINK = REPOSITORY / "tests" / "container" / "smtp_sink.py"
_SILENT = "[Service]\nStandardOutput=null\nStandardError=null\n"  # the receiver's journal is not the device's
# somebody walks through the yard every 30 s; each incident is told by mail
_YARD = """
[cameras.yard]
source = "synthetic"
size = "1280x720"
bitrate = "4Mbit/s"
synthetic = { period = "30s", walks = [4.0], walk = "5s", lamps = [] }
[alerts]
recipients = ["owner@example.org"]
cooldown = "0s"
[mail]
sender = "edged@example.org"
[[mail.relays]]
host = "127.0.0.1"
port = 2525
security = "opportunistic"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stay:
    """What a while of `seconds` has cost, in bytes by place, and what came of it."""

    seconds: float
    bytes: Mapping[str, int]
    incidents: int
    kept: int  # bytes of clips and snapshots
    plain: int  # bytes written by plain copying of the same files, each synced


def figures(argv: Sequence[str]) -> list[Figure]:
    """Return all figures; `argv` may hold the seconds for which each part is watched."""
    watch = float(argv[0]) if argv else _WATCH
    idle, busy = _stay("", watch), _stay(_YARD, watch)
    hourly = _HOUR / idle.seconds
    aim = f"as little as may be (watched for {idle.seconds:.0f} s)"
    found = [Figure(figure="card.idle", value=sum(idle.bytes.values()) * hourly, unit="bytes/h", aim=aim)]
    found += [
        Figure(figure=f"card.idle.{place}", value=amount * hourly, unit="bytes/h", aim="-")
        for place, amount in idle.bytes.items()
    ]
    quiet = {place: amount * busy.seconds / idle.seconds for place, amount in idle.bytes.items()}
    beside = {place: max(0.0, busy.bytes[place] - quiet[place]) for place in busy.bytes}
    each, plain = sum(beside.values()) / busy.incidents, busy.plain / busy.incidents
    aim = f"of {busy.incidents} incidents; baseline: its files copied and synced"
    found.append(Figure(figure="card.incident", value=each, unit="bytes", baseline=plain, ratio=each / plain, aim=aim))
    found.append(Figure(figure="card.incident.files", value=busy.kept / busy.incidents, unit="bytes", aim="-"))
    found += [
        Figure(figure=f"card.incident.{place}", value=amount / busy.incidents, unit="bytes", aim="-")
        for place, amount in beside.items()
    ]
    return found


def _stay(more: str, watch: float) -> _Stay:
    """Run the service for `watch` seconds with `more` in its configuration."""
    with tempfile.TemporaryDirectory() as folder, _disks(Path(folder)) as disks:
        plain = disks.pop("plain")
        binds = [
            f"{disks[place].mount}/{number}:{path}" for place in disks for number, path in enumerate(_PLACES[place])
        ]
        with site(binds=binds) as box, drop_in(box, "edged-receiver.service", _SILENT):
            configure(box, more=more)
            box.put("/opt/lab/smtp_sink.py", _SINK.read_text(encoding="utf-8"))
            box.run("systemd-run", "--unit=sink", "python3", "/opt/lab/smtp_sink.py", "2525", "/run/sink")
            box.run("systemctl", "restart", "edged-receiver")
            box.run("systemctl", "start", "edged")
            time.sleep(_WARM)
            before, closed, since = _written(box, disks), len(events(box, "incident closed")), time.perf_counter()
            time.sleep(watch)
            if more:
                box.wait(lambda: _at_rest(box), "what was recorded has been delivered", limit=120)
            seconds = time.perf_counter() - since
            after, incidents = _written(box, disks), len(events(box, "incident closed")) - closed
            kept = sorted((disks["state"].mount / "0" / "clips").rglob("*-*.*"))
            return _Stay(
                seconds=seconds,
                bytes={place: after[place] - before[place] for place in after},
                incidents=incidents,
                kept=sum(path.stat().st_size for path in kept),
                plain=_copy(kept, plain),
            )


@contextlib.contextmanager
def _disks(folder: Path) -> Iterator[dict[str, LoopDisk]]:
    """Yield a disk for each place, and one for plain copies, mounted as a Pi's card is."""
    with contextlib.ExitStack() as stack:
        disks = {name: stack.enter_context(loop_disk(folder, size=_SIZE, name=name)) for name in (*_PLACES, "plain")}
        for name, disk in disks.items():
            subprocess.run(["mount", "-o", "remount,noatime", disk.mount], check=True)
            for number, path in enumerate(_PLACES.get(name, ())):
                (disk.mount / str(number)).mkdir(mode=0o1777 if "tmp" in path else 0o755)
        yield disks


def _written(box: Box, disks: Mapping[str, LoopDisk]) -> dict[str, int]:
    box.run("journalctl", "--sync")
    return {place: disk.written() for place, disk in disks.items()}


def _at_rest(box: Box) -> bool:
    """Return whether each incident has ended, and each upload."""
    opened, closed = len(events(box, "incident opened")), len(events(box, "incident closed"))
    sealed, delivered = len(events(box, "clip sealed")), events(box, "delivered")
    return opened == closed and sealed == sum(entry["EDGED_KIND"] == "clip" for entry in delivered)


def _copy(files: Sequence[Path], disk: LoopDisk) -> int:
    """Return the bytes that plain copies of `files` cost."""
    before = disk.written()
    for number, path in enumerate(files):
        with (disk.mount / str(number)).open("xb") as copy:
            copy.write(path.read_bytes())
            copy.flush()
            os.fsync(copy.fileno())
    return disk.written() - before
