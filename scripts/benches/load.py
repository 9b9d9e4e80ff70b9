"""Four cameras, ten thousand deliveries waiting, a slow receiver, a hundred incidents in a minute.

Memory, the loop's lag and the delay of alerts, each beside the same device while nothing happens. The device, the
receiver and their lines are those of the soaks. `./scripts/bench load [SECONDS]`: how long the load lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import sqlite3
import time
from statistics import quantiles
from typing import TYPE_CHECKING
from urllib.request import urlopen

import psutil

from edged.base.errors import EdgedError
from scripts.benches._stage import home
from scripts.benches.figure import Figure
from scripts.soaks.rig import Rig, open_rig
from scripts.soaks.tables import cameras

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LOAD = 60.0  # seconds
_CALM = 20.0
_CAMERAS, _WAITING = 4, 10_000
_EVERY = 2.4  # seconds between two incidents of a camera: with four of them a hundred a minute
_LASTS = 1.0  # seconds of each
_FILE = 20_000  # bytes of each file that waits
_RATE, _DELAY = 64_000.0, 0.3  # bytes a second to the receiver, and seconds on the way
_LOOK = 1.0


def figures(argv: Sequence[str]) -> list[Figure]:
    """Return the figures; `argv` may hold the seconds of the load."""
    seconds = float(argv[0]) if argv else _LOAD
    with home() as folder:
        return asyncio.run(_measure(folder, seconds))


async def _measure(folder: Path, seconds: float) -> list[Figure]:
    table = {
        "cameras": cameras(_CAMERAS, every=3600.0),
        "alerts": {"cooldown": "0s", "digest_after": "120s"},
        "push": {"backoff": {"first": "5s", "cap": "900s"}},
        "log": {"level": "info"},
    }
    async with open_rig(folder / "rig", device_table=table) as rig:
        await rig.start()
        calm = await _watch(rig, _CALM)
        await rig.device.stop()
        await asyncio.to_thread(_fill, rig.device_state)
        rig.line.rate, rig.line.delay = _RATE, _DELAY
        await rig.start()
        recording = [asyncio.create_task(_record(rig, number + 1, seconds)) for number in range(_CAMERAS)]
        busy = await _watch(rig, seconds)
        await asyncio.gather(*recording)
        await asyncio.sleep(_EVERY)
        delays, waiting = await asyncio.to_thread(_alerts, rig.device_state)
    told = f"{len(delays)} mails, {waiting} deliveries waiting"
    return [
        _against("load.rss", busy.rss, "MB", calm.rss, aim="at most 25 MB above the same device at rest"),
        _against("load.lag_p99", busy.lag, "ms", calm.lag, aim="under 50"),
        Figure(figure="load.alert_delay_p95", value=quantiles(delays, n=20)[18], unit="s", aim=f"under 1 ({told})"),
        Figure(figure="load.incidents", value=len(delays) / 2 / seconds * 60.0, unit="1/min", aim="100"),
    ]


def _against(name: str, value: float, unit: str, baseline: float, *, aim: str) -> Figure:
    return Figure(figure=name, value=value, unit=unit, baseline=baseline, ratio=value / baseline, aim=aim)


class _Seen:
    """The most memory in MB, and the last lag in ms."""

    rss = 0.0
    lag = 0.0


async def _watch(rig: Rig, seconds: float) -> _Seen:
    page = str((await rig.device.says("edged runs", rig.device.starts))["page"])
    seen, end = _Seen(), time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(_LOOK)
        seen.rss = max(seen.rss, psutil.Process(rig.device.pid).memory_info().rss / 1e6)
    seen.lag = await asyncio.to_thread(_lag, page)
    return seen


def _lag(page: str) -> float:
    with urlopen(f"{page}/health") as answer:  # noqa: S310 -- the device's own page on loopback
        return float(json.loads(answer.read())["loop_lag_p99_s"]) * 1000


async def _record(rig: Rig, number: int, seconds: float) -> None:
    """Have a camera record again and again, at its own moments."""
    begin = time.monotonic() + number * _EVERY / _CAMERAS
    for turn in range(int(seconds / _EVERY)):
        await asyncio.sleep(max(0.0, begin + turn * _EVERY - time.monotonic()))
        with contextlib.suppress(EdgedError):  # it still records
            await rig.record(f"cam{number}", _LASTS)


def _fill(state: Path) -> None:
    """Have ten thousand documents wait, all of them the same bytes."""
    content = secrets.token_bytes(_FILE)
    (state / "documents").mkdir(exist_ok=True)
    (state / "documents" / "load.bin").write_bytes(content)
    known = {"sha": hashlib.sha256(content).hexdigest(), "size": _FILE, "count": _WAITING}
    with contextlib.closing(sqlite3.connect(state / "outbox.db")) as connection, connection:
        connection.execute(f"{_NUMBERS} {_FILES}", known)
        connection.execute(f"{_NUMBERS} {_DELIVERIES}", known)


_NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)"
_FILES = """
    INSERT INTO files (id, what, number, name, path, size, sha256, taken_wall, taken_mono, taken_boot, taken_synced)
    SELECT printf('%032x', n), 'document', 0, 'load.bin', 'documents/load.bin', :size, :sha, 0, 0,
        (SELECT min(id) FROM boots), 1 FROM numbers
"""
_DELIVERIES = """
    INSERT INTO deliveries (key, kind, lane, priority, destination, subject, size, state, due,
        created_wall, created_mono, created_boot, created_synced)
    SELECT printf('%032x', n), 'document', 'bulk', 5, 'receiver', printf('%032x', n), :size, 'pending', 0, 0, 0,
        (SELECT min(id) FROM boots), 1 FROM numbers
"""


def _alerts(state: Path) -> tuple[list[float], int]:
    """Return each alert's seconds from its row to the relay's yes, and how many deliveries still wait."""
    with contextlib.closing(sqlite3.connect(f"file:{state / 'outbox.db'}?mode=ro", uri=True)) as connection:
        told = connection.execute(
            "SELECT done_mono - created_mono FROM deliveries WHERE kind = 'alert' AND state = 'done'"
        )
        delays = [float(row[0]) for row in told]
        (waiting,) = connection.execute("SELECT count(*) FROM deliveries WHERE state = 'pending'").fetchone()
        return delays, int(waiting)
