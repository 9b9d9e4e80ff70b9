"""The line: what is wasted, how soon it is used again, who waits for whom, each on a link of its own (needs root).

./scripts/bench link [lives | cut | alert | neighbour | thin] [MINUTES]
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import sys
from statistics import median, quantiles
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from scripts.benches._link import MAIL, ends
from scripts.benches.figure import Figure
from scripts.soaks.linklab import FAR

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from scripts.benches._link import Ends

_MB = 1_000_000
_KBIT = 125.0  # bytes a second
_HOLES = (5.0, 20.0, 45.0, 100.0)  # seconds without the link, between its lives
_ECHO = """\
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 7))
while True:
    s.sendto(*s.recvfrom(100))
"""
_PING = """\
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2.0)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    began = time.monotonic(); s.sendto(b"x" * 56, (sys.argv[1], 7))
    try:
        s.recv(100); print(time.monotonic() - began, flush=True)
    except TimeoutError:
        print(2.0, flush=True)
    time.sleep(max(0.0, began + 0.1 - time.monotonic()))
"""


def figures(argv: Sequence[str]) -> list[Figure]:
    """Return the figures that `argv` names, or all; nothing without root, which a link of one's own needs."""
    if os.geteuid():
        print("link: needs root for namespaces and TUN devices; left out", file=sys.stderr)
        return []
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # figures alone on stdout
    minutes = float(argv[1]) if argv[1:] else None
    return [figure for name in argv[:1] or _FIGURES for figure in asyncio.run(_FIGURES[name](minutes))]


async def _lives(minutes: float | None) -> list[Figure]:
    """512 kbit/s, 60 ms, alive for 60 s at a time."""
    rounds = max(1, round((minutes or 7.0) / 1.7))
    returns: list[float] = []
    async with ends({}, rate=512 * _KBIT, delay=0.03) as far:
        await far.enqueue([2 * _MB] * 4 * rounds)
        for number in range(rounds):
            await asyncio.sleep(60.0)
            await far.lab.set(up=False)
            await asyncio.sleep(_HOLES[number % len(_HOLES)])
            returns.append(await far.lab.set(up=True))
        await asyncio.sleep(15.0)
        sent = far.passed()
        useful = far.held()
    first = [min((each.at for each in sent if each.at >= back and each.size), default=1e9) - back for back in returns]
    body = [
        min((each.at for each in sent if each.at >= back and each.size > 1000), default=1e9) - back  # noqa: PLR2004
        for back in returns
    ]
    payload = sum(each.size for each in sent)
    print(
        f"link: first bytes after {returns and _HOLES[: len(returns)]} s away: {first} s, of a file: {body} s",
        file=sys.stderr,
    )
    return [
        Figure(
            figure="link.wasted_percent",
            value=100.0 * (payload - useful) / useful,
            unit="%",
            aim="under 10 (link lives 60 s)",
        ),
        Figure(figure="link.first_byte_s", value=max(first), unit="s", aim="under 2 after the link's return"),
        Figure(figure="link.first_byte_of_file_s", value=max(body), unit="s"),
    ]


async def _cut(_minutes: float | None) -> list[Figure]:
    """2 Mbit/s, 60 ms: one hole in the middle of 8 MB."""
    async with ends({}, rate=2000 * _KBIT, delay=0.03) as far:
        await far.enqueue([8 * _MB])
        await asyncio.sleep(16.0)
        await far.lab.set(up=False)
        await asyncio.sleep(20.0)
        await far.lab.set(up=True)
        await far.until_delivered(1)
        wasted = sum(each.size for each in far.passed()) - 8 * _MB
    return [Figure(figure="link.cut_kib", value=wasted / 1024, unit="KiB", aim="under 256 for a single cut, all told")]


async def _alert(_minutes: float | None) -> list[Figure]:
    """256 kbit/s, 40 ms: alerts while two large files go up."""
    async with ends({}, rate=256 * _KBIT, delay=0.02) as far:
        idle = await _alerts(far, 4)
        await far.enqueue([20 * _MB] * 2)
        await asyncio.sleep(20.0)
        busy = await _alerts(far, 8)
    print(f"link: alerts took besides their own sending time, idle {idle} s, behind uploads {busy} s", file=sys.stderr)
    return [
        Figure(
            figure="link.alert_late_s",
            value=median(busy) - median(idle),
            unit="s",
            baseline=median(idle),
            aim="0.5 behind uploads on 256 kbit/s (idle link, picture and dialogue included)",
        ),
        Figure(figure="link.alert_latest_s", value=max(busy) - median(idle), unit="s"),
    ]


async def _alerts(far: Ends, count: int) -> list[float]:
    """Return the seconds from an incident's opening until its mail was out, without the mail's own sending time."""
    before = len(await far.device.said("alert sent"))
    for number in range(1, count + 1):
        await far.command("record", camera="cam1", seconds=1.0)
        await far.device.says("alert sent", before + number)
        await asyncio.sleep(10.0)
    took, mails = [], far.passed(MAIL)
    for event in (await far.device.said("incident opened"))[-count:]:
        began = far.instant(event)
        mine = [each for each in mails if began <= each.at < began + 9.0 and each.size]
        # the last one is QUIT; 52 bytes are the headers of a segment
        took.append(round(mine[-2].at - began - sum(each.size + 52 for each in mine) / (256 * _KBIT), 3))
    return sorted(took)


async def _neighbour(minutes: float | None) -> list[Figure]:
    """2 Mbit/s, 40 ms, rate 80 %: ten files of 50 MB wait, and a neighbour asks every 100 ms."""
    seconds = 60.0 * (minutes or 2.0)
    async with ends({"rate": "1.6Mbit/s"}, rate=2000 * _KBIT, delay=0.02) as far:
        idle = await _round_trips(far, 30.0)
        await far.enqueue([50 * _MB] * 10)
        before, began = far.held(), monotonic()
        busy = await _round_trips(far, seconds)
        used = (far.held() - before) / (monotonic() - began)
    added = 1000 * (_p95(busy) - _p95(idle))
    return [
        Figure(
            figure="link.neighbour_ms",
            value=added,
            unit="ms",
            baseline=1000 * _p95(idle),
            aim="at most 100 more at p95 (idle link)",
        ),
        Figure(figure="link.used", value=used / (1600 * _KBIT), unit="x rate"),
    ]


async def _thin(minutes: float | None) -> list[Figure]:
    """2 Mbit/s, 800 ms, 1 % lost: a part of 2 MB is sealed every 15 s."""
    count = max(4, int((minutes or 15.0) * 4))
    async with ends({}, rate=2000 * _KBIT, delay=0.4, loss=0.01, room=256 * 1024) as far:
        sealed: list[float] = []
        for _ in range(count):
            sealed.append(monotonic())
            await far.enqueue([2 * _MB])
            await asyncio.sleep(max(0.0, sealed[-1] + 15.0 - monotonic()))
        proven = [far.instant(event) for event in await far.until_delivered(count)]
        took = [done - begun for begun, done in zip(sealed, proven, strict=True)]
    print(f"link: parts took {sorted(took)} s", file=sys.stderr)
    share = 100.0 * sum(each <= 300.0 for each in took) / count  # noqa: PLR2004 -- the aim
    return [
        Figure(figure="link.proven_percent", value=share, unit="%", aim=f"99.9 within 300 s ({count} parts)"),
        Figure(figure="link.slowest_s", value=max(took), unit="s"),
    ]


async def _round_trips(far: Ends, seconds: float) -> list[float]:
    pipe = asyncio.subprocess.PIPE
    echo = await asyncio.create_subprocess_exec(*far.lab.far(sys.executable, "-c", _ECHO, FAR))
    try:
        ping = await asyncio.create_subprocess_exec(
            *far.lab.near(sys.executable, "-c", _PING, FAR, str(seconds)), stdout=pipe
        )
        told, _ = await ping.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            echo.kill()
        await echo.wait()
    return [float(line) for line in re.findall(r"^\S+$", told.decode(), re.MULTILINE)][5:]


def _p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20)[-1]


_FIGURES: dict[str, Callable[[float | None], Coroutine[Any, Any, list[Figure]]]] = {
    "lives": _lives,
    "cut": _cut,
    "alert": _alert,
    "neighbour": _neighbour,
    "thin": _thin,
}
