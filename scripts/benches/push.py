"""Uploads on loopback: speed, the pacer's evenness, and what is sent twice after a cut, each beside curl's.

The receiver runs in a process of its own and is the same for both: curl sends its file by one PATCH to an upload that
was created for it, so hashing, syncing and the handler are equal.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

import aiohttp
import structlog

from edged.base.clock import SystemClock
from edged.base.errors import NoAnswerError
from edged.push.errand import Errand
from edged.push.line import Credentials
from edged.push.link import LinkWatch
from edged.push.settings import ProbeSettings, ReceiverSettings
from edged.push.targets.tus import TusTarget
from edged.push.throttle import Pacer
from edged.push.traffic import Counters
from edged.wire.manifest import Manifest
from scripts.benches._receiver import DEVICE, TOKEN, receiver
from scripts.benches.figure import Figure
from tests.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_FAST = 200_000_000  # bytes in the unthrottled upload
_ROUNDS = 5
_EVEN = 1_000_000  # bytes a second in the pacer's figures
_EVEN_SECONDS = 10
_CUT = 100_000_000  # bytes in the upload that is cut
_CUT_RATE = 2_000_000


def figures(argv: Sequence[str]) -> list[Figure]:
    """Return all figures; `argv` may hold the share of the full sizes to use, such as 0.1."""
    share = float(argv[0]) if argv else 1.0
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # figures alone on stdout
    # beside the working directory: /tmp may be in memory, where a sync costs nothing
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as home:
        return asyncio.run(_measure(Path(home), share))


async def _measure(home: Path, share: float) -> list[Figure]:
    async with receiver(home / "receiver") as (port, key):
        return [
            await _speed(home, port, key, int(_FAST * share)),
            *await _evenness(home, port, key),
            await _resent(home, port, key, int(_CUT * share)),
        ]


async def _speed(home: Path, port: int, key: str, size: int) -> Figure:
    ours, curls = [], []
    for _ in range(_ROUNDS):
        path = await asyncio.to_thread(_make_file, home, size)
        async with _target(port, key) as target:
            begun = perf_counter()
            await target.deliver(_errand(path))
            ours.append(size / (perf_counter() - begun) / 1e6)
        path = await asyncio.to_thread(_make_file, home, size)
        url = await _created(port, size)
        begun = perf_counter()
        await _curl(path, url)
        curls.append(size / (perf_counter() - begun) / 1e6)
        path.unlink()
    value, baseline = median(ours), median(curls)
    return Figure(
        figure="push.upload_mb_s",
        value=value,
        unit="MB/s",
        baseline=baseline,
        ratio=value / baseline,
        aim="ratio 0.8 or better (curl -T)",
    )


async def _evenness(home: Path, port: int, key: str) -> list[Figure]:
    path = await asyncio.to_thread(_make_file, home, _EVEN * _EVEN_SECONDS)
    async with _Recorder(port) as line, _target(line.port, key, rate=_EVEN) as target:
        await target.deliver(_errand(path))
    async with _Recorder(port) as curls:
        url = await _created(curls.port, path.stat().st_size)
        await _curl(path, url, "--limit-rate", str(_EVEN))
    worst, mean = _window(line.arrivals), _mean(line.arrivals)
    return [
        Figure(
            figure="push.pacer_worst_window",
            value=worst,
            unit="x rate",
            baseline=_window(curls.arrivals),
            ratio=worst / _window(curls.arrivals),
            aim="at most 1.15 (curl --limit-rate)",
        ),
        Figure(
            figure="push.pacer_mean",
            value=mean,
            unit="x rate",
            baseline=_mean(curls.arrivals),
            ratio=mean / _mean(curls.arrivals),
            aim="0.98 to 1.02 (curl --limit-rate)",
        ),
    ]


async def _resent(home: Path, port: int, key: str, size: int) -> Figure:
    path = await asyncio.to_thread(_make_file, home, size)
    async with Proxy(port) as line, Proxy(port) as curls:
        for proxy in (line, curls):
            proxy.reset_after = size * 9 // 10
        await asyncio.gather(_resumed(path, line.port, key), _started_again(path, size, curls.port))
        value, baseline = (line.upstream - size) / 1024, (curls.upstream - size) / 1024
    return Figure(
        figure="push.resent_kib",
        value=value,
        unit="KiB",
        baseline=baseline,
        ratio=value / baseline,
        aim="under 256, with headers (curl starts again)",
    )


async def _resumed(path: Path, port: int, key: str) -> None:
    errand, url = _errand(path), list[str]()

    async def created(address: str) -> None:
        url.append(address)

    async with _target(port, key, rate=_CUT_RATE) as target:
        try:
            await target.deliver(replace(errand, created=created))
        except NoAnswerError:
            await target.deliver(replace(errand, upload_url=url[-1]))


async def _started_again(path: Path, size: int, port: int) -> None:
    for _ in range(2):
        await _curl(path, await _created(port, size), "--limit-rate", str(_CUT_RATE))


class _Recorder(Proxy):
    """A line that notes when bytes pass."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.arrivals: list[tuple[float, int]] = []

    async def _forward(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        self.arrivals.append((monotonic(), len(piece)))
        await super()._forward(writer, piece)


def _window(arrivals: list[tuple[float, int]]) -> float:
    """Return the most bytes in any second, in multiples of the rate."""
    worst = total = first = 0
    for time, size in arrivals:
        total += size
        while arrivals[first][0] <= time - 1.0:
            total -= arrivals[first][1]
            first += 1
        worst = max(worst, total)
    return worst / _EVEN


def _mean(arrivals: list[tuple[float, int]]) -> float:
    """Return the mean rate from the first to the last arrival, in multiples of the rate."""
    return sum(size for _, size in arrivals[:-1]) / (arrivals[-1][0] - arrivals[0][0]) / _EVEN


@asynccontextmanager
async def _target(port: int, key: str, rate: float | None = None) -> AsyncIterator[TusTarget]:
    clock = SystemClock()
    target = TusTarget(
        ReceiverSettings(url=f"http://127.0.0.1:{port}"),
        Credentials(device=DEVICE, key=key),
        pacer=Pacer(lambda: rate),
        link=LinkWatch(ProbeSettings(), clock, metered=False),
        counters=Counters(),
        clock=clock,
    )
    try:
        yield target
    finally:
        await target.close()


def _make_file(home: Path, size: int) -> Path:
    path = home / "upload.mp4"
    with path.open("wb") as file:
        for _ in range(0, size, 1_000_000):
            file.write(os.urandom(min(1_000_000, size)))
        file.truncate(size)
    return path


def _errand(path: Path) -> Errand:
    async def created(_: str) -> None:
        """Keep nothing."""

    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = Manifest(
        key=secrets.token_hex(16),
        kind="clip",
        name=path.name,
        content_type="video/mp4",
        size=path.stat().st_size,
        sha256=digest,
    )
    return Errand(
        path=path,
        manifest=manifest,
        urgency=5,
        upload_url=None,
        created=created,
        progress=lambda _: None,
        sending=lambda _: None,
    )


async def _created(port: int, size: int) -> str:
    headers = {"Authorization": f"Bearer {TOKEN}", "Tus-Resumable": "1.0.0", "Upload-Length": str(size)}
    root = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session, session.post(f"{root}/files", headers=headers) as answer:
        return root + answer.headers["Location"]


async def _curl(path: Path, url: str, *options: str) -> None:
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
        "Expect": "",
    }
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}".rstrip())]
    process = await asyncio.create_subprocess_exec("curl", "-sS", "-X", "PATCH", "-T", str(path), *given, *options, url)
    await process.wait()
