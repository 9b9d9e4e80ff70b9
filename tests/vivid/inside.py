"""What runs inside the virtual machine: edged's capture on a real /dev/video0 that breaks on demand.

Prints one JSON object a line; the test outside reads them from the serial port.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import struct
import sys
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

sys.path.insert(0, str(Path(__file__).parents[2]))

from edged.app.setup.sight import local, see
from edged.base.clock import SystemClock
from edged.base.config import Duration
from edged.base.handover import Latest
from edged.base.pulse import Pulse
from edged.capture.backend import backend
from edged.capture.finding.v4l2 import usb_cameras
from edged.capture.loop import CaptureLoop
from edged.capture.settings import CameraSettings, HealthSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from edged.base.clock import Stamp
    from edged.model import Frame, Gap, Packet

DEVICE = "/dev/video0"
HEALTH = HealthSettings(silence=Duration(2), stuck=Duration(4), first_picture=Duration(5))
DRIVER = Path("/sys/bus/platform/drivers/vivid")
UNIT = "vivid.0"  # of the platform bus: unbound, its device is gone as a cable is pulled

# videodev2.h
_QUERYCTRL = 0xC0445624
_S_CTRL = 0xC008561C
_NEXT = 0x80000000
_QUERY = struct.Struct("<II32siiiiI8x")


def set_control(name: str, value: int) -> None:
    """Set the driver's control `name`."""
    with Path(DEVICE).open("rb", buffering=0) as device:
        fcntl.ioctl(device, _S_CTRL, struct.pack("<Ii", _control(device.fileno(), name), value))


def _control(device: int, name: str) -> int:
    identity = 0
    while True:
        answer = fcntl.ioctl(device, _QUERYCTRL, _QUERY.pack(identity | _NEXT, 0, b"", 0, 0, 0, 0, 0))
        identity, _, label, *_ = _QUERY.unpack(answer)
        if label.rstrip(b"\0").decode() == name:
            return int(identity)


class Watched:
    """A capture loop on the device, with what it gave."""

    def __init__(self, wanted: Literal["raw", "auto"]) -> None:
        self.clock = SystemClock()
        self.packets: list[Packet] = []
        self.gaps: list[dict[str, Any]] = []
        self.frames: Latest[Frame] = Latest()
        settings = CameraSettings(
            url=DEVICE,
            size="320x180",
            rate=15.0,
            format=wanted,
            open_timeout=Duration(1),
            read_timeout=Duration(1),
            health=HEALTH,
        )
        self.loop = CaptureLoop(
            "usb",
            backend("usb", settings, password="", clock=self.clock),
            settings,
            self.clock,
            on_packet=self.packets.append,
            frames=self.frames,
            open_gap=self._open_gap,
            close_gap=self._close_gap,
            ask_reset=self._no_reset,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Watched]:
        """Run it until the block ends."""
        task = asyncio.create_task(self.loop.run(Pulse("usb", 60.0, self.clock)))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.loop.stop()

    async def until(self, true: Callable[[], bool], seconds: float = 60.0) -> float:
        """Wait until something is true; return how long that took."""
        began = self.clock.mono()
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.02)
        return self.clock.mono() - began

    def well(self) -> bool:
        """Return whether pictures come."""
        return self.loop.health.delivering and bool(self.packets)

    def ill(self) -> bool:
        """Return whether an outage is noticed."""
        return not self.loop.health.delivering

    async def _open_gap(self, gap: Gap) -> int:
        self.gaps.append({"start": gap.start.mono, "reason": gap.reason})
        return len(self.gaps) - 1

    async def _no_reset(self, reason: str) -> None:
        raise AssertionError(reason)

    async def _close_gap(self, number: int, end: Stamp) -> None:
        self.gaps[number]["end"] = end.mono


def tell(what: str, **facts: object) -> None:
    """Print a line for the test outside."""
    print(json.dumps({"what": what} | facts), flush=True)  # noqa: T201 -- the serial port is its only way out


async def pictures(wanted: Literal["raw", "auto"]) -> None:
    """Ask for one format, and take pictures."""
    watched = Watched(wanted)
    async with watched.running():
        await watched.until(lambda: len(watched.packets) >= 20 and watched.loop.picture is not None)
        stream, picture = watched.packets[-1].stream, watched.loop.picture
        assert picture is not None
        tell(
            f"pictures {wanted}",
            codec=stream.codec,
            size=[stream.width, stream.height],
            analysed=list(picture.luma.shape),
            spread=float(picture.luma.std()),
            gaps=len(watched.gaps),
        )


async def breaks(what: str, do: Callable[[], None], undo: Callable[[], None], *, rung: int) -> None:
    """Break the device, mend it when the ladder has come to `rung`, and see it recovered."""
    watched = Watched("raw")
    async with watched.running():
        await watched.until(watched.well)
        broke = watched.clock.mono()
        await asyncio.to_thread(do)
        try:
            await watched.until(watched.ill)
            await watched.until(lambda: watched.loop.health.rung >= rung)
            reason = watched.loop.health.text
        finally:
            await asyncio.to_thread(undo)
        mended = watched.clock.mono()
        await watched.until(lambda: watched.well() and "end" in watched.gaps[-1])
        gaps = [{**gap, "start": gap["start"] - broke, "end": gap["end"] - mended} for gap in watched.gaps]
        tell(what, reason=reason, gaps=gaps)


async def found() -> None:
    """Tell which of the driver's nodes are taken for cameras, and take a picture as setup does."""
    cameras = await asyncio.to_thread(usb_cameras)
    look = await see(local(cameras[0]))
    picture = look.picture()
    nodes = sorted(path.name for path in Path("/sys/class/video4linux").iterdir())
    tell("found", cameras=[asdict(each) for each in cameras], nodes=nodes, size=[picture.width, picture.height])


async def main() -> None:
    """Run every scene; one that fails says so and the next begins."""
    scenes: list[tuple[str, Any]] = [
        ("found", found),
        ("raw", lambda: pictures("raw")),
        ("auto", lambda: pictures("auto")),
        ("unplugged", lambda: breaks("unplugged", _unplug, _plug, rung=2)),
        ("mute", lambda: breaks("mute", lambda: _dropped(100), lambda: _dropped(0), rung=3)),
        ("broken", lambda: breaks("broken", lambda: set_control("Inject Fatal Streaming Error", 1), _nothing, rung=1)),
    ]
    for name, scene in scenes:
        try:
            await scene()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the test outside is to read it
            tell("failed", scene=name, error=repr(error))
    tell("over")


def _unplug() -> None:
    (DRIVER / "unbind").write_text(UNIT)


def _plug() -> None:
    (DRIVER / "bind").write_text(UNIT)


def _nothing() -> None:
    """It is over by itself."""


def _dropped(percent: int) -> None:
    set_control("Percentage of Dropped Buffers", percent)


if __name__ == "__main__":
    asyncio.run(main())
