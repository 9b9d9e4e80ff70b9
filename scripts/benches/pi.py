"""One Pi camera in 1080p on the real libcamera with its virtual camera: the service beside picamera2 alone.

Both encode with libav, by turns in the same minutes; neither has a hardware encoder here. Memory is the resident one
without the virtual camera's pictures. `./scripts/bench pi [SECONDS [ROUNDS]]`: how long each is watched, how often.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import cv2
import numpy as np
import psutil

from edged.supervise.control import call
from scripts.benches._stage import Act, act, home
from scripts.benches.figure import Figure
from scripts.demo_parts.stage import FOOTAGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_ROOT = Path(__file__).parent.parent.parent
_WATCH, _ROUNDS = 20.0, 3
_WARM = 10.0  # seconds until the pre-roll is full
_RATE, _BITRATE, _KEYFRAMES = 15, 4_000_000, 1
_SIZE, _SMALL = (1920, 1080), ("320", "180")
_PICTURES, _DRAWN = 2, (960, 540)  # in a round, and their size as files
# The virtual camera keeps them for each of its three streams, and those of two streams in their size; Y, U and V.
_KEPT = 1.5 * _PICTURES * (3 * 960 * 540 + 1920 * 1080 + 320 * 180) / 1e6
_NOISE = 4.0  # standard deviation of the sensor's, in steps of 255: what makes an encoder work at a picture that stands
_INCIDENT = 20.0  # seconds
_MEMORY = "under 150"

_CAMERA = f"""
[cameras.pi]
source = "picamera"
size = "1920x1080"
rate = {_RATE}.0
bitrate = "4Mbit/s"
keyframes = "{_KEYFRAMES}s"
health = {{ frozen = "0s" }}  # the two pictures come again and again
"""


def figures(argv: Sequence[str]) -> list[Figure]:
    """Return the figures of the Pi camera; `argv` may hold the seconds of each watch, and the number of rounds."""
    watch = float(argv[0]) if argv else _WATCH
    rounds = int(argv[1]) if len(argv) > 1 else _ROUNDS
    build = [str(_ROOT / "tests/libcamera/build"), sys.executable]
    site = subprocess.run(build, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with home() as folder:
        environment = _virtual(folder, site)
        turns = [asyncio.run(_turn(folder, environment, watch)) for _ in range(rounds)]
    service, plain, small, idle, busy, bare = (median(column) for column in zip(*turns, strict=True))
    return [
        _cpu_figure("pi.cpu_1080p", service, plain),
        _cpu_figure("pi.cpu_1080p_lores", service, small),
        Figure(figure="pi.memory_idle", value=idle, unit="MB", baseline=bare, aim=_MEMORY),
        Figure(figure="pi.memory_incident", value=busy, unit="MB", baseline=bare, aim=_MEMORY),
    ]


def _cpu_figure(name: str, value: float, baseline: float) -> Figure:
    unit, ratio = "CPU s / camera s", value / baseline
    return Figure(figure=name, value=value, unit=unit, baseline=baseline, ratio=ratio, aim="at most 1.3 x")


def _virtual(folder: Path, site: str) -> dict[str, str]:
    """Set a virtual camera up and return the environment that shows it."""
    pictures = folder / "pictures"
    pictures.mkdir()
    reader = cv2.VideoCapture(str(FOOTAGE))
    _, image = reader.read()
    reader.release()
    still = cv2.resize(image, _DRAWN, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    random = np.random.default_rng(1)
    for number in range(_PICTURES):
        noise = random.normal(0.0, _NOISE, (*still.shape[:2], 1)).astype(np.float32)
        cv2.imwrite(str(pictures / f"{number}.jpg"), (still + noise).clip(0, 255).astype(np.uint8))
    camera = {
        "supported_formats": [{"width": _SIZE[0], "height": _SIZE[1], "frame_rates": [30]}],
        "frames": {"path": f"{pictures}/"},
        "location": "CameraLocationFront",
        "model": "virtual",
    }
    (folder / "cameras.yaml").write_text(f"%YAML 1.1\n---\n{json.dumps({'pi': camera})}\n")  # YAML can read JSON
    start = folder / "start"
    start.mkdir()
    # virtual_pi makes picamera2 work on this machine; edged's own first step has to come before
    (start / "sitecustomize.py").write_text("from edged.app.memory import economise\neconomise()\nimport virtual_pi\n")
    return {
        "PYTHONPATH": f"{start}:{site}:{_ROOT}",
        "LIBCAMERA_VIRTUAL_CONFIG": str(folder / "cameras.yaml"),
        "LIBCAMERA_LOG_LEVELS": "*:ERROR",
    }


async def _turn(folder: Path, environment: dict[str, str], watch: float) -> tuple[float, ...]:
    """Return CPU of the service, of picamera2 alone and of it with the small stream; memory idle, busy, and alone."""
    async with _plain(folder, environment) as process:
        plain = await _cpu(process, watch)
        bare = _memory(process)
    async with act(folder, _CAMERA, **environment) as playing:
        await _seen(playing)
        await asyncio.sleep(_WARM)
        service = await _cpu(playing.process, watch)
        idle = _memory(playing.process)
        busy = await _recording(playing)
    async with _plain(folder, environment, *_SMALL) as process:
        small = await _cpu(process, watch)
    return service, plain, small, idle, busy, bare


async def _seen(playing: Act) -> None:
    while not await playing.frames():  # noqa: ASYNC110 -- another process is asked
        await asyncio.sleep(0.2)


async def _cpu(process: psutil.Process, watch: float) -> float:
    """Return the CPU seconds that a process needs in a second."""
    before, since = process.cpu_times(), perf_counter()
    await asyncio.sleep(watch)
    after = process.cpu_times()
    return float(after.user + after.system - before.user - before.system) / (perf_counter() - since)


def _memory(process: psutil.Process) -> float:
    """Return the resident memory (MB) without the camera's pictures, which on a Pi are the kernel's."""
    maps = process.memory_maps()
    pictures = sum(each.rss for each in maps if each.path.startswith("/memfd:picamera2"))
    return (process.memory_info().rss - pictures) / 1e6 - _KEPT


async def _recording(playing: Act) -> float:
    """Return the most memory (MB) while an incident is recorded and its parts go to the receiver."""
    control = playing.stage.out / "device" / "control.sock"
    await call(control, "record", {"camera": "pi", "seconds": _INCIDENT})
    most = 0.0
    for _ in range(round((_INCIDENT + 15.0) * 5)):  # and what is uploaded after its end
        most = max(most, _memory(playing.process))
        await asyncio.sleep(0.2)
    return most


@contextlib.asynccontextmanager
async def _plain(folder: Path, environment: dict[str, str], *lores: str) -> AsyncIterator[psutil.Process]:
    words = (str(folder / "plain.h264"), str(_RATE), str(_BITRATE), str(_KEYFRAMES), *lores)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.benches._plain_pi", *words),
        env={**os.environ, **environment, "PYTHONPATH": f"{_ROOT}:{environment['PYTHONPATH']}"},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None or await process.stdout.readline() != b"recording\n":
            raise RuntimeError("picamera2 alone did not start")
        await asyncio.sleep(_WARM / 2)
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        await process.wait()
