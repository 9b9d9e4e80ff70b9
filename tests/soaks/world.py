"""A world after a quiet round: both state directories, the log and the mails, to be tampered with and judged."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scripts.soaks.oracle import device, mails, promises, receiver
from scripts.soaks.oracle.judge import Finding, judge
from scripts.soaks.rig import open_rig

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(kw_only=True)
class World:
    """What the oracle looks at. Copies may be changed in any way."""

    folder: Path
    mails: list[tuple[tuple[str, ...], bytes]]
    absences: tuple[tuple[float, float], ...] = ()

    @property
    def device(self) -> Path:
        """The device's state directory."""
        return self.folder / "device"

    @property
    def receiver(self) -> Path:
        """The receiver's state directory."""
        return self.folder / "receiver"

    def copy(self, folder: Path) -> World:
        """Return the same world elsewhere."""
        for name in ("device", "receiver"):
            shutil.copytree(self.folder / name, folder / name)
        shutil.copy(self.folder / "device.log", folder)
        return replace(self, folder=folder, mails=list(self.mails))

    def judge(self) -> list[Finding]:
        """Return the oracle's findings."""
        with (self.folder / "device.log").open("rb") as log:
            promised = promises.read(log)
        here, there = device.look(self.device), receiver.look(self.receiver)
        return judge(promised, here, there, mails.read(self.mails), self.absences)

    def log(self, event: str, **fields: object) -> None:
        """Have the device's log say something more."""
        with (self.folder / "device.log").open("a") as log:
            log.write(json.dumps({"event": event, **fields}) + "\n")

    def here(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Run SQL on the device's database."""
        return _run(self.device / "outbox.db", query, values)

    def there(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Run SQL on the receiver's database."""
        return _run(self.receiver / "receiver.db", query, values)

    def clip(self) -> dict[str, Any]:
        """Return the device's row of one clip."""
        return self.here("SELECT * FROM files WHERE what = 'clip' ORDER BY seq")[0]

    def blob(self, sha256: str) -> Path:
        """Return where the receiver keeps a content."""
        return self.receiver / "blobs" / sha256[:2] / sha256

    def stored(self) -> Path:
        """Return the receiver's copy of that clip."""
        return self.blob(self.clip()["sha256"])


def _run(path: Path, query: str, values: tuple[object, ...]) -> list[dict[str, Any]]:
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    try:
        with database:
            return [dict(row) for row in database.execute(query, values)]
    finally:
        database.close()


def make(folder: Path) -> World:
    """Run a device, a receiver and a mailbox until one recording is delivered, and stop them in order."""
    return asyncio.run(_make(folder))


async def _make(folder: Path) -> World:
    drawn = {"source": "synthetic", "size": "320x180", "rate": 10.0, "synthetic": {"walks": [], "lamps": []}}
    still = {"cam1": drawn | {"detect": {"merge": "1s", "post_roll": "500ms"}}}
    async with open_rig(folder, device_table={"cameras": still}) as rig:
        await rig.start()
        await rig.device.until(lambda: rig.device.is_up)
        async with asyncio.timeout(30):
            while not (await rig.command("status"))["cam1"]["well"]:
                await asyncio.sleep(0.1)
        incident = await rig.record("cam1", 2.0)
        await rig.device.says("incident closed", incident=incident)
        await rig.settle()
        verdict = await rig.judge()
        assert verdict.findings == ()
        assert verdict.obligations
        return World(folder=folder, mails=[(mail.recipients, mail.raw) for mail in rig.mailbox.mails])
