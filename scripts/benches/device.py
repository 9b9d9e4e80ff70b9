"""The whole device at work: CPU, memory and loop lag for 1080p cameras, delays to row and mail, wear, start.

Device, receiver and mailbox run as processes of their own and speak over loopback; the device's own accounts come from
/health, /metrics, /proc and its database. `./scripts/bench device [SECONDS]`: how long each part is watched.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter, thread_time
from typing import TYPE_CHECKING

import av
import cv2

from edged.capture.analysis import analysis_size
from scripts.benches._stage import act, full_hd, home
from scripts.benches.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_WATCH = 45.0  # seconds
_WARM = 10.0  # seconds until memory and pre-roll are full
_NOTES = 120.0  # seconds
_HOUR = 3600.0
_LIBRARIES = "av, cv2, aiohttp, aiosqlite, structlog, aiosmtplib, psutil, prometheus_client, jinja2, msgspec"
_ANALYSED = 8.0  # frames a second

_QUICK = """
[cameras.{name}]
source = "synthetic"
size = "640x360"
synthetic = {{ seed = {seed}, period = "10s", walks = [1.0, 6.0], walk = "3s", lamps = [] }}
detect = {{ merge = "1s", post_roll = "500ms" }}
"""
_STILL = """
[cameras.still]
source = "synthetic"
size = "640x360"
synthetic = { walks = [], lamps = [] }
"""


@dataclass(frozen=True, kw_only=True)
class _Load:
    """What a device with so many cameras needed."""

    cpu: float  # seconds per camera second
    rss: float  # MB
    lag: float  # ms, 99th percentile


def figures(argv: Sequence[str]) -> list[Figure]:
    """Return the figures of the whole device; `argv` may hold the seconds for which each part is watched."""
    watch = float(argv[0]) if argv else _WATCH
    with home() as folder:
        video = folder / "full-hd.mp4"
        full_hd(video)
        decoding = _bare_decoding(video)
        libraries, importing = _bare_libraries()
        one = asyncio.run(_load(folder, video, 1, watch))
        four = asyncio.run(_load(folder, video, 4, watch))
        starting = asyncio.run(_start(folder))
        found = [
            *_of_load("one", one, decoding, libraries),
            *_of_load("four", four, decoding, libraries),
            *asyncio.run(_delays(folder, watch)),
            asyncio.run(_wear(folder, watch)),
        ]
    aim = "as little as may be"
    found.append(_against("device.start_s", starting, "s", importing, aim=aim))
    return found


def _of_load(cameras: str, load: _Load, decoding: float, libraries: float) -> list[Figure]:
    return [
        _against(f"device.cpu_{cameras}_1080p", load.cpu, "CPU s / camera s", decoding, aim="as little as may be"),
        _against(
            f"device.rss_{cameras}_1080p",
            load.rss,
            "MB",
            libraries,
            aim="under 130" if cameras == "one" else "as little as may be",
        ),
        Figure(figure=f"device.lag_p99_{cameras}_1080p", value=load.lag, unit="ms", aim="under 10"),
    ]


def _against(name: str, value: float, unit: str, baseline: float, *, aim: str) -> Figure:
    return Figure(figure=name, value=value, unit=unit, baseline=baseline, ratio=value / baseline, aim=aim)


async def _load(folder: Path, video: Path, cameras: int, watch: float) -> _Load:
    tables = "".join(f'[cameras.hd{n}]\nurl = "{video}"\nloop = true\n' for n in range(cameras))
    async with act(folder, tables) as playing:
        await asyncio.sleep(_WARM)
        before, since = playing.cpu(), perf_counter()
        await asyncio.sleep(watch)
        cpu = (playing.cpu() - before) / (perf_counter() - since) / cameras
        health = await playing.health()
        lag = float(str(health["loop_lag_p99_s"])) * 1000
        return _Load(cpu=cpu, rss=playing.process.memory_info().rss / 1e6, lag=lag)


async def _start(folder: Path) -> float:
    """Return the seconds from the start of the process to its first analysed frame."""
    async with act(folder, _QUICK.format(name="quick", seed=1)) as playing:
        while not await playing.frames():  # noqa: ASYNC110 -- another process is asked
            await asyncio.sleep(0.01)
        return asyncio.get_running_loop().time() - playing.started


async def _delays(folder: Path, watch: float) -> list[Figure]:
    """Return the delays from first motion to the incident's row and to the relay's acceptance of its mail."""
    tables = "".join(_QUICK.format(name=f"quick{n}", seed=n) for n in range(2))
    async with act(folder, tables, cooldown="0s") as playing:
        await asyncio.sleep(_WARM + watch)
        database = playing.stage.out / "device" / "outbox.db"
    rows = await asyncio.to_thread(_alert_times, database)
    to_row = [created - opened for opened, created, _ in rows]
    to_mail = [done - opened for opened, _, done in rows]
    # what the rule itself takes: the third of the frames that show motion
    rule = 2 / _ANALYSED
    aim = f"p95 under 1 ({len(rows)} incidents)"
    return [
        _against("device.motion_to_row_median_s", median(to_row), "s", rule, aim="-"),
        _against("device.motion_to_row_p95_s", _p95(to_row), "s", rule, aim=aim),
        _against("device.motion_to_mail_median_s", median(to_mail), "s", rule, aim="-"),
        _against("device.motion_to_mail_p95_s", _p95(to_mail), "s", rule, aim=aim),
    ]


def _alert_times(database: Path) -> list[tuple[float, float, float]]:
    query = (
        "SELECT opened_mono, created_mono, done_mono FROM deliveries JOIN incidents ON incidents.id = incident"
        " WHERE deliveries.kind = 'alert' AND state = 'done'"
    )
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [(float(a), float(b), float(c)) for a, b, c in connection.execute(query)]


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20)[18]


async def _wear(folder: Path, watch: float) -> Figure:
    """Return the bytes written in an hour in which nothing happens."""
    async with act(folder, _STILL) as playing:
        await asyncio.sleep(2 * _WARM)
        before, since = playing.written(), perf_counter()
        await asyncio.sleep(max(watch, _NOTES))  # in which the minute's note of the newest picture is written twice
        written = (playing.written() - before) / (perf_counter() - since) * _HOUR
    return Figure(figure="device.written_idle", value=written, unit="bytes/h", aim="as little as may be")


def _bare_decoding(video: Path) -> float:
    """Return the CPU seconds per second of video that its plain decoding takes, with the pictures made small."""
    before, shown = thread_time(), 0
    with av.open(str(video), "r") as source:
        stream = source.streams.video[0]
        stream.thread_type = "NONE"
        rate = float(stream.average_rate or 1)
        for frame in source.decode(stream):
            if int(shown * _ANALYSED / rate) != int((shown - 1) * _ANALYSED / rate):
                luma = frame.to_ndarray(format="gray")
                cv2.resize(luma, analysis_size(*luma.shape[::-1]), interpolation=cv2.INTER_AREA)
            shown += 1
    return (thread_time() - before) / (shown / rate)


def _bare_libraries() -> tuple[float, float]:
    """Return memory (MB) and seconds of a Python that only imports what the device imports."""
    code = f"import {_LIBRARIES}, psutil; print(psutil.Process().memory_info().rss / 1e6)"
    started = perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout), perf_counter() - started
