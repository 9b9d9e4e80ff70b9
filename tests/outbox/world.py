from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edged.base.clock import Stamp, stamp
from edged.model import Clip, Incident, IncidentKind, Snapshot
from edged.outbox.nouns import Document
from edged.outbox.policy import Destinations
from edged.wire.receipt import Proof, Receipt

SHA = "5e" * 32
EVERYWHERE = Destinations(recipients=("a@example.org", "b@example.org"), receiver=True, folders=("usb",))


@dataclass(kw_only=True)
class HandClock:
    """A clock that a test sets by hand."""

    at: float = 100.0  # mono
    ahead: float = 1_780_056_000.0  # wall minus mono
    name: str = "boot-1"
    trusted: bool = True

    def wall(self) -> float:
        """Return Unix time in seconds."""
        return self.at + self.ahead

    def mono(self) -> float:
        """Return monotonic seconds."""
        return self.at

    def boot(self) -> str:
        """Return the boot's name."""
        return self.name

    def synced(self) -> bool:
        """Return whether the wall is trusted."""
        return self.trusted

    def reboot(self, *, trusted: bool, wall: float | None = None) -> None:
        """Start another boot; the wall goes on from `wall`, or from where it is."""
        now = self.wall() if wall is None else wall
        self.name = f"boot-{int(self.name[5:]) + 1}"
        self.at, self.trusted = 10.0, trusted
        self.ahead = now - self.at


@dataclass(kw_only=True)
class Maker:
    """Makes incidents and files with running ids, stamped by its clock."""

    clock: HandClock
    root: Path = Path("/nowhere")
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def id(self) -> str:
        """Return the next id."""
        return f"{next(self.numbers):032x}"

    def now(self) -> Stamp:
        """Return the present moment."""
        return stamp(self.clock)

    def incident(self, camera: str = "door", zone: str | None = "yard", **more: Any) -> Incident:
        """Make an open incident."""
        incident = Incident(
            id=self.id(),
            camera=camera,
            kind=IncidentKind.MOTION,
            zones=() if zone is None else (zone,),
            opened=self.now(),
        )
        return replace(incident, **more)

    def clip(self, incident: Incident, part: int = 1, **more: Any) -> Clip:
        """Make a clip part of 1000 bytes; there is no file."""
        clip = Clip(
            id=self.id(),
            incident=incident.id,
            camera=incident.camera,
            part=part,
            path=self.root / "clips" / incident.id / f"part-{part:03}.mp4",
            size=1000,
            sha256=SHA,
            start=self.now(),
            seconds=30.0,
            codec="h264",
            width=1920,
            height=1080,
        )
        return replace(clip, **more)

    def snapshot(self, incident: Incident, seq: int = 1, **more: Any) -> Snapshot:
        """Make a snapshot of 100 bytes; there is no file."""
        snapshot = Snapshot(
            id=self.id(),
            incident=incident.id,
            camera=incident.camera,
            seq=seq,
            path=self.root / "clips" / incident.id / f"snapshot-{seq}.jpg",
            size=100,
            sha256=SHA,
            taken=self.now(),
            width=1280,
            height=720,
        )
        return replace(snapshot, **more)

    def document(self, **more: Any) -> Document:
        """Make a document of 10 bytes; there is no file."""
        name = self.id()
        document = Document(
            id=name,
            name="log.txt",
            path=self.root / "documents" / name / "log.txt",
            size=10,
            sha256=SHA,
            added=self.now(),
        )
        return replace(document, **more)


def receipt(key: str, size: int = 1000, proof: Proof = Proof.SIGNED, sha256: str = SHA) -> Receipt:
    """Make a receipt."""
    return Receipt(key=key, size=size, sha256=sha256, proof=proof, issued=0.0, receiver="r", signature="00")
