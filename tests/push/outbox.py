"""An outbox with files in it, for tests of what works it off."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from edged.base.clock import stamp
from edged.model import Clip, Incident, IncidentKind
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import Destinations, alert_drafts, clip_drafts

if TYPE_CHECKING:
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.outbox.store import Outbox


async def add_incident(outbox: Outbox, clock: Clock, destinations: Destinations) -> Incident:
    """Enter an incident with its alerts."""
    incident = Incident(
        id=secrets.token_hex(16),
        camera="front",
        kind=IncidentKind.MOTION,
        zones=("yard",),
        opened=stamp(clock),
    )
    return await outbox.open_incident(incident, alert_drafts(incident, destinations), AlertRules(cooldown=0.0))


async def add_clip(
    outbox: Outbox, clock: Clock, incident: Incident, destinations: Destinations, data: bytes, *, part: int = 1
) -> Clip:
    """Write a clip part into the spool and enter it with its uploads."""
    path: Path = outbox.root / "clips" / "2026-05-29" / incident.id / f"part-{part:03}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    clip = Clip(
        id=secrets.token_hex(16),
        incident=incident.id,
        camera=incident.camera,
        part=part,
        path=path,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        start=stamp(clock),
        seconds=10.0,
        codec="h264",
        width=1920,
        height=1080,
    )
    await outbox.add_clip(clip, clip_drafts(clip, destinations))
    return clip
