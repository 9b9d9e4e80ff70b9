"""What the pages show: rows of the database turned into words, times in the site's own zone. No I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from edged.base.clock import Stamp
from edged.base.pages.pages import duration, size
from edged.channels import times
from edged.channels.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edged.receiver.registry import Device
    from edged.receiver.store import StoredFile, StoredIncident
    from edged.wire.heartbeat import GapReport, Heartbeat

_CAUSES = {"motion": "Motion", "manual": "Recorded by hand"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceView:
    """A device on the list: `mark` is the badge's class, `state` its word."""

    name: str
    title: str
    mark: str
    state: str
    heard: str
    facts: tuple[tuple[str, str], ...]
    troubles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GapView:
    """A time without pictures."""

    camera: str
    start: str
    lasted: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FileView:
    """A file of an incident or a document."""

    name: str
    kind: str
    size: int
    sha256: str
    stored: str
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidentView:
    """An incident as a card and as a page. `parts` is the player's list as JSON."""

    owner: str
    id: str
    title: str
    where: str
    opened: str
    length: str
    state: str  # "" when everything has arrived
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    picture: str | None
    parts: str
    clips: int
    files: tuple[FileView, ...]
    continues: str | None


def zone_of(device: Device | None, fallback: str) -> str:
    """Return the zone that a device's times are shown in: its own, if it told one that exists."""
    beat = device.heartbeat if device is not None else None
    if beat is None:
        return fallback
    try:
        ZoneInfo(beat.timezone)
    except (OSError, ValueError, KeyError):
        return fallback
    return beat.timezone


def device_view(device: Device, now: float, fallback: str) -> DeviceView:
    """Return what the list says of a device at `now` (Unix seconds)."""
    beat = device.heartbeat
    if beat is None or device.heard is None:
        return DeviceView(
            name=device.name,
            title=device.name,
            mark="",
            state="not heard yet",
            heard="Put its key into its configuration and start it.",
            facts=(),
            troubles=(),
        )
    zone = zone_of(device, fallback)
    silent = device.silent is not None
    ill = [camera for camera in beat.cameras if not camera.well]
    mark, state = ("bad", "silent") if silent else ("warn", "with troubles") if ill or beat.dead else ("ok", "well")
    return DeviceView(
        name=device.name,
        title=beat.site or device.name,
        mark=mark,
        state=state,
        heard=f"Heard {duration(now - device.heard)} ago, {times.row(_stamp(device.heard), zone)}",
        facts=_facts_of(beat),
        troubles=_troubles_of(device, beat, zone),
    )


def _facts_of(beat: Heartbeat) -> tuple[tuple[str, str], ...]:
    waiting = f"{beat.waiting} ({size(beat.waiting_bytes)}), the oldest for {duration(beat.oldest)}"
    facts = [("Waiting there", waiting if beat.waiting else "nothing")]
    if beat.disk_total:
        facts.append(("Disk free", f"{size(beat.disk_free)} of {size(beat.disk_total)}"))
    facts += [("Running for", duration(beat.uptime)), ("Version", beat.version)]
    return tuple(facts)


def _troubles_of(device: Device, beat: Heartbeat, zone: str) -> tuple[str, ...]:
    troubles = [f"Camera {camera.name}: {camera.text or 'no pictures'}" for camera in beat.cameras if not camera.well]
    if beat.dead:
        troubles.append(f"Deliveries given up: {beat.dead}; see edged outbox list there")
    if beat.losses:
        troubles.append(f"Losses entered in its ledger: {beat.losses}")
    if not beat.synced:
        troubles.append("Its clock is not synchronised")
    if device.fell_back is not None:
        when = times.row(_stamp(device.fell_back), zone)
        troubles.append(f"On {when} it came back without work it had committed: its card may lie about flushing")
    return tuple(troubles)


def gap_view(gap: GapReport, zone: str) -> GapView:
    """Return a gap in words."""
    return GapView(
        camera=gap.camera,
        start=times.row(_stamp(gap.start), zone),
        lasted="still lasts" if gap.end is None else duration(gap.end - gap.start),
        reason=gap.reason,
    )


def incident_view(
    incident: StoredIncident, files: Sequence[StoredFile], zone: str, address: Callable[[StoredFile], str]
) -> IncidentView:
    """Return an incident in words; `address` gives the URL at which a file is served."""
    clips = [file for file in files if file.kind == "clip"]
    shots = [file for file in files if file.kind == "snapshot"]
    opened = _stamp(incident.opened, synced=incident.synced)
    cause = _CAUSES.get(incident.cause, "Incident")
    where = incident.camera + (f" ({', '.join(incident.zones)})" if incident.zones else "")
    seconds = sum(file.seconds for file in clips)
    return IncidentView(
        owner=incident.owner,
        id=incident.id,
        title=f"{cause} at {where}" if incident.camera else cause,
        where=where,
        opened=times.full(opened, zone),
        length=duration(seconds) if clips else "",
        state=_state(incident, clips),
        facts=_facts_of_incident(incident, zone, where),
        notes=() if incident.synced else (times.NOTE_UNSYNCED,),
        picture=address(shots[-1]) if shots else None,
        parts=json.dumps([{"url": address(file), "seconds": file.seconds, "name": file.name} for file in clips]),
        clips=len(clips),
        files=tuple(file_view(file, zone, address) for file in files),
        continues=incident.continues,
    )


def _facts_of_incident(incident: StoredIncident, zone: str, where: str) -> tuple[tuple[str, str], ...]:
    facts = [("Where", where), ("Device", incident.owner)]
    facts.append(("Began", times.full(_stamp(incident.opened, synced=incident.synced), zone)))
    if incident.closed is not None:
        facts.append(("Ended", times.full(_stamp(incident.closed, synced=incident.synced), zone)))
    return tuple(facts)


def file_view(file: StoredFile, zone: str, address: Callable[[StoredFile], str]) -> FileView:
    """Return a file in words."""
    return FileView(
        name=file.name,
        kind=f"{file.kind} {file.part}" if file.part else file.kind,
        size=file.size,
        sha256=file.sha256,
        stored=times.row(_stamp(file.stored), zone),
        url=address(file),
    )


def _state(incident: StoredIncident, clips: Sequence[StoredFile]) -> str:
    have = {file.part for file in clips}
    if incident.parts is None:
        return f"{plural(len(have), 'part')} so far, more to come" if have else "the clip has not yet arrived"
    missing = incident.parts - len(have & set(range(1, incident.parts + 1)))
    if missing <= 0:
        return ""
    return f"{missing} of {incident.parts} parts have not yet arrived"


def _stamp(unix: float, *, synced: bool = True) -> Stamp:
    return Stamp(wall=unix, mono=0.0, boot="", synced=synced)
