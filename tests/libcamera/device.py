"""A whole edged with virtual Pi cameras, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from edged.supervise.control import call
from tests.libcamera.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.libcamera.conftest import VirtualPi

CAMERA = """
[cameras.{name}]
source = "picamera"
url = "{number}"
size = "{size}"
rate = 10.0
read_timeout = "2s"
open_timeout = "1s"
[cameras.{name}.detect]
enabled = false
"""
_REST = """
[device]
name = "pi"
state = "{state}"
[record]
pre_roll = "2s"
[outbox]
warn_share = "0%"
critical_share = "0%"
[http]
listen = "127.0.0.1:0"
[log]
style = "json"
"""


@dataclass(frozen=True, kw_only=True)
class Device:
    """The daemon at work; `state` is its directory."""

    process: asyncio.subprocess.Process
    state: Path
    page: str

    async def call(self, command: str, **arguments: Any) -> Any:
        """Ask through the control socket."""
        return await call(self.state / "control.sock", command, arguments)

    async def heard(self, event: str, **fields: str | int) -> dict[str, Any]:
        """Read the log up to an event with such fields and return it."""
        return await _heard(self.process, event, **fields)

    async def well(self) -> None:
        """Wait until each camera delivers."""
        while not all(state["well"] for state in (await self.call("status")).values()):
            await asyncio.sleep(0.1)

    async def recorded(self, camera: str, seconds: float) -> Path:
        """Record so long by hand and return the one part of the clip."""
        incident = (await self.call("record", camera=camera, seconds=seconds))["incident"]
        await self.heard("incident closed", incident=incident)
        (clip,) = (self.state / "clips").glob(f"*/{incident}/part-001.mp4")
        return clip

    async def rest(self) -> str:
        """Return what it still says, until it ends."""
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@contextlib.asynccontextmanager
async def device(pi: VirtualPi, *cameras: str, size: str = "640x360", **environment: str) -> AsyncIterator[Device]:
    """Run edged with these cameras, in libcamera's order, until the body ends; it must stop in good order then."""
    state = pi.folder / "state"
    config = pi.folder / "edged.toml"
    tables = [CAMERA.format(name=name, number=number, size=size) for number, name in enumerate(cameras)]
    config.write_text(_REST.format(state=state) + "".join(tables))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.libcamera.child", "edged", "run", "--config", str(config)),
        env={**pi.environment, **environment},
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
        limit=1024 * 1024,
    )
    try:
        page = (await _heard(process, "status page is up"))["address"]
        await _heard(process, "edged runs")
        yield Device(process=process, state=state, page=page)
        if process.returncode is None:
            process.terminate()
            await _heard(process, "edged stopped")
            assert await process.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _heard(process: asyncio.subprocess.Process, event: str, **fields: str | int) -> dict[str, Any]:
    assert process.stderr is not None
    async for line in process.stderr:
        try:
            told: dict[str, Any] = json.loads(line)
        except ValueError:
            continue  # libcamera's own words
        if told.get("event") == event and fields.items() <= told.items():
            return told
    pytest.fail(f"the device ended before it said {event!r}")
