"""A device and its receiver at the two ends of a link of its own, with edged's own defaults, for the line's figures."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime
from stat import S_ISREG
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from edged.supervise.control import call
from scripts.benches._stage import home
from scripts.soaks.linklab import FAR, open_lab, read_trace
from scripts.soaks.program import Program
from scripts.soaks.tables import merged, toml

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from scripts.soaks.linklab import Lab, Passed

EDGED = (sys.executable, "-c", "from edged.cli import main; main()")
RECEIVER, MAIL = 8470, 2525  # ports at the far end
_CAMERA = {
    "source": "synthetic",
    "size": "320x180",
    "rate": 5.0,
    "synthetic": {"period": "1h", "walks": [], "lamps": []},  # nothing happens unless by hand
}


@dataclass(kw_only=True)
class Ends:
    """What is at both ends, and what went up between them."""

    folder: Path
    lab: Lab
    device: Program
    receiver: Program
    sent: int = 0  # bytes of the files that were enqueued
    _files: int = 0
    _offset: float = field(default_factory=lambda: time() - monotonic())

    async def command(self, name: str, **args: Any) -> Any:
        """Send the device a command."""
        return await call(self.folder / "device" / "control.sock", name, args, timeout=60.0)

    async def enqueue(self, sizes: Sequence[int]) -> None:
        """Put files of random bytes into the outbox."""
        for size in sizes:
            self._files += 1
            path = self.folder / f"file-{self._files}"
            await asyncio.to_thread(path.write_bytes, os.urandom(size))
            await self.command("enqueue", files=[str(path)])
            await asyncio.to_thread(path.unlink)
            self.sent += size

    async def until_delivered(self, count: int) -> list[dict[str, Any]]:
        """Wait until `count` files are proven at the receiver; return what the log said of each."""
        await self.device.says("delivered", count)
        return await self.device.said("delivered")

    def held(self) -> int:
        """Return the bytes of files, whole or in part, that the receiver has."""
        found = {
            told.st_ino: told.st_size  # by inode: a finished upload has two names for a moment
            for name in ("partial", "blobs")
            for path in (self.folder / "receiver" / name).rglob("*")
            if S_ISREG((told := path.stat()).st_mode)
        }
        return sum(found.values())

    def passed(self, port: int = RECEIVER) -> list[Passed]:
        """Return what went up to `port`, in order."""
        return [each for each in read_trace(self.folder / "trace") if each.port == port]

    def instant(self, event: Mapping[str, Any]) -> float:
        """Return when an event of a log was, on the link's clock."""
        return datetime.fromisoformat(event["timestamp"]).timestamp() - self._offset


@contextlib.asynccontextmanager
async def ends(push: Mapping[str, Any], **link: Any) -> AsyncIterator[Ends]:
    """Lay the link, start both ends and wait until they are in touch."""
    with home() as folder:
        await asyncio.to_thread(_configure, folder, push)
        async with open_lab() as lab:
            await lab.set(trace=folder / "trace", **link)
            receiver = Program(
                "receiver",
                (*lab.far(*EDGED), "receive", "--config", folder / "receiver.toml"),
                folder,
                ready="receiver listens",
            )
            device = Program(
                "device", (*lab.near(*EDGED), "run", "--config", folder / "edged.toml"), folder, ready="edged runs"
            )
            mail = await asyncio.create_subprocess_exec(
                *lab.far(sys.executable, "-m", "aiosmtpd", "-n", "-l", f"{FAR}:{MAIL}", "-c", "aiosmtpd.handlers.Sink"),
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                await receiver.start()
                await device.start()
                await device.says("link changed", state="up")
                far = Ends(folder=folder, lab=lab, device=device, receiver=receiver)
                while not (await far.command("status"))["cam1"]["well"]:  # noqa: ASYNC110 -- a process has no event
                    await asyncio.sleep(0.2)
                yield far
            finally:
                for program in (device, receiver):
                    await program.end()
                mail.kill()
                await mail.wait()


def _configure(folder: Path, push: Mapping[str, Any]) -> None:
    there = {
        "state": str(folder / "receiver"),
        "listen": f"{FAR}:{RECEIVER}",
        "public_url": f"http://{FAR}:{RECEIVER}",
        "log": {"style": "json"},
    }
    (folder / "receiver.toml").write_text(toml(there))
    made = subprocess.run(
        (*EDGED, "receive", "device", "add", "bench", "--config", folder / "receiver.toml"),
        capture_output=True,
        text=True,
        check=True,
    )
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text(made.stdout.strip())
    here = {
        "device": {"name": "bench", "state": str(folder / "device")},
        "cameras": {"cam1": _CAMERA},
        "alerts": {"recipients": ["owner@bench.invalid"], "cooldown": "0s"},
        "mail": {
            "sender": "edged <device@bench.invalid>",
            "relays": [{"host": FAR, "port": MAIL, "security": "opportunistic"}],
        },
        "receiver": {"url": f"http://{FAR}:{RECEIVER}", "device": "bench", "key": {"file": str(key)}},
        "push": {},
        "http": {"listen": "127.0.0.1:0"},
        "log": {"style": "json", "level": "debug"},
    }
    (folder / "edged.toml").write_text(toml(merged(here, {"push": push})))
