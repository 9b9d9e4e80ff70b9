"""A device, a receiver and a mailbox as processes of their own, for figures of the whole."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import psutil

from scripts.demo_parts.mail_catcher import MailCatcher
from scripts.demo_parts.stage import FOOTAGE, Stage, drain, prepare, start, stop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_FROM, _SECONDS, _RATE = 4.0, 16, 25  # of the footage: a person walks in and stands
_SIZE = (1920, 1080)


@dataclass(frozen=True, kw_only=True)
class Act:
    """A device at work: its process, and when (loop time) it was started."""

    stage: Stage
    process: psutil.Process
    started: float

    async def health(self) -> dict[str, object]:
        """Return what /health says."""
        found: dict[str, object] = json.loads(await asyncio.to_thread(self.stage.get, "health"))
        return found

    async def frames(self) -> int:
        """Return how many frames have been analysed; 0 while the page is not up."""
        try:
            text = (await asyncio.to_thread(self.stage.get, "metrics")).decode()
        except OSError:
            return 0
        return sum(int(float(n)) for n in re.findall(r"^edged_camera_frames_total\{.*\} (\S+)$", text, re.MULTILINE))

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def written(self) -> int:
        """Return the bytes that the process has had written to the disk."""
        return int(self.process.io_counters().write_bytes)


@contextlib.asynccontextmanager
async def act(home: Path, cameras: str, cooldown: str = "60s", **environment: str) -> AsyncIterator[Act]:
    """Run a device with `cameras`, its receiver and mailbox below `home`; drain and stop them at the end.

    `environment` is the device's, beside what it has from here.
    """
    loop = asyncio.get_running_loop()
    shim = home / "shim"
    shim.mkdir(exist_ok=True)
    # the tests' environment has rich, which structlog then imports; a device has not
    (shim / "rich.py").write_text("raise ImportError\n")
    async with MailCatcher() as catcher:
        stage = await asyncio.to_thread(prepare, home / "stage", catcher.port, cameras, cooldown)
        catcher.deliver_to(home / "stage" / "mails")
        started = loop.time()
        path = ":".join(filter(None, (str(shim), environment.get("PYTHONPATH"))))
        await start(stage, **{**environment, "PYTHONPATH": path})
        if stage.device is None or stage.device.stderr is None:
            raise RuntimeError("the device was not started")
        log = asyncio.create_task(stage.device.stderr.read())
        try:
            yield Act(stage=stage, process=psutil.Process(stage.device.pid), started=started)
            await drain(stage)
        finally:
            await stop(stage)
            await log


@contextlib.contextmanager
def home() -> Iterator[Path]:
    """Give a directory on a real disk: /tmp may be in memory, where a sync costs nothing."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        yield Path(folder)


def full_hd(path: Path) -> None:
    """Make a 1080p H.264 video of the demo's footage, as a network camera sends one: no B-frames, a GOP of 2 s."""
    with av.open(str(FOOTAGE), "r") as source, av.open(str(path), "w") as target:
        out = target.add_stream("libx264", rate=_RATE, options={"preset": "veryfast", "bf": "0", "g": str(2 * _RATE)})
        out.width, out.height = _SIZE
        out.pix_fmt, out.bit_rate = "yuv420p", 4_000_000
        shown = 0
        for frame in source.decode(video=0):
            while shown < _SECONDS * _RATE and (frame.time or 0.0) >= _FROM + shown / _RATE:
                picture = frame.reformat(*_SIZE)
                picture.pts, picture.time_base = shown, Fraction(1, _RATE)
                target.mux(out.encode(picture))
                shown += 1
        target.mux(out.encode(None))
