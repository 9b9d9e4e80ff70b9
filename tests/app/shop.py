"""A state directory as a device leaves it: one incident delivered and proven, one that waits, a document, sidecars."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edged.base.copies import take_copy
from edged.model import EventKind
from edged.outbox import sidecar
from edged.outbox.policy import Destinations, document_drafts
from edged.outbox.spool import Spool
from edged.wire import receipt
from edged.wire.keys import new_device_key
from edged.wire.receipt import Proof, Receipt
from tests.app.home import config
from tests.record.footage import packets
from tests.record.stage import DESTINATIONS, INCIDENT, OTHER, stage
from tests.simloop import START, run_simulated

if TYPE_CHECKING:
    from pathlib import Path

    from edged.model import Delivery
    from edged.outbox.store import Outbox
    from edged.settings import DeviceConfig
    from tests.record.stage import Stage
    from tests.simloop import SimClock

KEY = new_device_key()


def build(state: Path) -> None:
    """Record two incidents of some seconds, let the first be delivered and proven, and stop."""

    async def scene(clock: SimClock) -> None:
        async with stage(clock, state) as on:
            await record(on, INCIDENT, START + 1.0)
            await record(on, OTHER, START + 101.0)
            await on.stop()
            for delivery in await on.outbox.deliveries_of(INCIDENT):
                await on.outbox.complete(delivery.id, proof_of(delivery))
            (state / "report.txt").write_text("all quiet")
            document = on.spool.take_document(state / "report.txt", clock)
            (state / "report.txt").unlink()
            await on.outbox.add_document(document, document_drafts(document, Destinations(receiver=True)))
            await describe(on.outbox)
            await take_copy(on.outbox.database, on.spool.backup)

    run_simulated(scene)


async def record(on: Stage, incident: str, begin: float) -> None:
    """Record an incident of two seconds."""
    units = list(packets(seconds=8, start=begin))
    for unit in units:
        await on.until(unit.mono)
        on.recorder.offer(unit)
        if unit is units[len(units) // 2]:
            await on.emit(EventKind.OPENED, unit.mono, incident=incident)
    await on.emit(EventKind.CLOSED, begin + 7.0, incident=incident, keep_until=begin + 7.5)
    await on.until(begin + 60.0)


async def describe(outbox: Outbox) -> None:
    """Write the sidecars that are behind."""
    while outbox.undescribed:
        assert await sidecar.refresh(outbox, outbox.undescribed.pop())


def proof_of(delivery: Delivery) -> Receipt | None:
    """Return what the receiver would sign for an upload; None for an alert."""
    if delivery.sha256 is None:
        return None
    given = Receipt(
        key=delivery.key, size=delivery.size, sha256=delivery.sha256, proof=Proof.SIGNED, issued=1.8e9, receiver="hq"
    )
    return receipt.sign(given, KEY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shop:
    """One copy of that directory, to be spoiled."""

    state: Path

    @classmethod
    def copied(cls, template: Path, state: Path) -> Shop:
        """Copy the directory of `build`."""
        shutil.copytree(template, state, dirs_exist_ok=True)
        return cls(state=state)

    def config(self, **sections: Any) -> DeviceConfig:
        """Return the device's configuration."""
        secret = self.state.parent / "key"
        secret.write_text(KEY)
        secret.chmod(0o600)
        told = {
            "receiver": {"url": "http://127.0.0.1:9", "device": "shop", "key": {"file": str(secret)}},
            "alerts": {"recipients": list(DESTINATIONS.recipients)},
            "mail": {"sender": "edged@example.org", "relays": [{"host": "127.0.0.1", "port": 9}]},
        }
        return config(self.state, **{**told, **sections})

    @property
    def database(self) -> Path:
        """The outbox's database."""
        return self.state / "outbox.db"

    def part(self, incident: str = OTHER) -> Path:
        """Return an incident's clip."""
        (found,) = self.state.glob(f"clips/*/{incident}/part-001.mp4")
        return found

    def snapshot(self, incident: str = OTHER) -> Path:
        """Return an incident's snapshot."""
        (found,) = self.state.glob(f"clips/*/{incident}/snapshot-1.jpg")
        return found

    def sidecar(self, incident: str = OTHER) -> Path:
        """Return an incident's sidecar."""
        return self.part(incident).with_name("incident.json")

    def document(self) -> Path:
        """Return the document."""
        (found,) = Spool(self.state).found_documents()
        return found

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement in the database, which nobody has open."""
        with closing(sqlite3.connect(self.database)) as connection:
            found = connection.execute(statement, values).fetchall()
            connection.commit()
            return found

    def told(self, incident: str = OTHER) -> dict[str, Any]:
        """Return what the sidecar says."""
        content: dict[str, Any] = json.loads(self.sidecar(incident).read_text())["sidecar"]
        return content

    def files(self) -> dict[str, bytes]:
        """Return every file that holds what was recorded or enqueued, by its path."""
        paths = (*self.state.glob("clips/*/*/*.*"), *self.state.glob("documents/*/*"))
        return {
            str(path.relative_to(self.state)): path.read_bytes()
            for path in paths
            if not path.name.startswith(("incident.json", ".partial"))
        }

    def everything(self) -> dict[str, bytes]:
        """Return every file below the directory."""
        return {str(path): path.read_bytes() for path in self.state.rglob("*") if path.is_file()}

    def proven(self) -> set[str]:
        """Return the keys that are proven."""
        return {row[0] for row in self.sql("SELECT key FROM deliveries WHERE proven = 1")}
