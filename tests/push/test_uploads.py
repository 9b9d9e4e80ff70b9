"""What the uploader makes of a file that a target could not read: only what is certain is given up as lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from edged.base.errors import DeliveryError, FileLostError
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import Destinations, clip_drafts
from edged.outbox.spool import digest_of
from edged.outbox.store import open_outbox
from edged.push.body import OutrankedError
from edged.push.transfers import Transfer
from edged.push.uploads import Uploader
from tests.outbox.world import HandClock, Maker

if TYPE_CHECKING:
    from pathlib import Path

    from edged.push.errand import Errand
    from edged.wire.receipt import Receipt


@dataclass(kw_only=True)
class Refuser:
    """A target that can't read the file, for whatever reason."""

    async def deliver(self, errand: Errand) -> Receipt:
        """Say so."""
        raise FileLostError(f"{errand.path} can't be read: Too many open files")

    async def close(self) -> None:
        """Nothing to let go of."""


@pytest.mark.parametrize(
    ("state", "lost"),
    [("whole", False), ("missing", True), ("other bytes", True), ("shorter", True), ("unreadable", False)],
)
async def test_only_what_is_certain_is_given_up(state_dir: Path, state: str, lost: bool) -> None:
    """A process without a free descriptor, or a disk that fails to read, is no reason to give a clip up for ever."""
    clock = HandClock()
    make = Maker(clock=clock, root=state_dir)
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    incident = await outbox.open_incident(make.incident(), (), AlertRules())
    clip = make.clip(incident)
    clip.path.parent.mkdir(parents=True)
    clip.path.write_bytes(b"pictures")
    size, digest = digest_of(clip.path)
    clip = make.clip(incident, id=clip.id, size=size, sha256=digest)
    await outbox.add_clip(clip, clip_drafts(clip, Destinations(receiver=True)))
    (delivery,) = await outbox.deliveries_for(clip.id)
    match state:
        case "missing":
            clip.path.unlink()
        case "other bytes":
            clip.path.write_bytes(b"Pictures")
        case "shorter":
            clip.path.write_bytes(b"pict")
        case "unreadable":
            clip.path.unlink()
            clip.path.mkdir()  # root may read any file; a directory can be read by nobody as one
    expected: type[DeliveryError] = FileLostError if lost else OutrankedError
    with pytest.raises(expected):
        await Uploader(outbox, {"receiver": Refuser()}, clock).deliver(delivery, Transfer(delivery, "", lambda: None))
    await outbox.close()
