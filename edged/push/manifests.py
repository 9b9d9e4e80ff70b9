"""From a delivery's rows to the manifest that goes before its bytes."""

from __future__ import annotations

import mimetypes
from dataclasses import replace
from typing import TYPE_CHECKING

from edged.base.errors import FileLostError
from edged.model import Clip, Snapshot
from edged.outbox.nouns import Document
from edged.wire.manifest import Manifest

if TYPE_CHECKING:
    from edged.model import Delivery, Incident
    from edged.outbox.store import Outbox
    from edged.wire.manifest import Kind

_TITLE = 128  # characters of a title on the wire
_ZONES = 32
_NAME = 255


async def manifest_for(outbox: Outbox, delivery: Delivery) -> Manifest:
    """Return the manifest of the file that `delivery` carries; FileLostError if the outbox does not know it."""
    file = await outbox.file(delivery.subject)
    if file is None:
        raise FileLostError(f"the outbox knows no file {delivery.subject}")
    incident = None if delivery.incident is None else await outbox.incident(delivery.incident)
    last = 0
    if isinstance(file, Clip) and incident is not None and incident.closed is not None:
        last = max((clip.part for clip in await outbox.clips_of(incident.id)), default=0)
    return describe(delivery.key, file, incident, last_part=last)


def describe(key: str, file: Clip | Snapshot | Document, incident: Incident | None, *, last_part: int) -> Manifest:
    """Return the manifest of `file` under the idempotency key `key`; `last_part` is 0 while the incident is open."""
    kind, content_type = _nature(file)
    name = file.name if isinstance(file, Document) else file.path.name
    plain = Manifest(
        key=key, kind=kind, name=_title(name, _NAME), content_type=content_type, size=file.size, sha256=file.sha256
    )
    if isinstance(file, Document):
        return plain
    started = file.start if isinstance(file, Clip) else file.taken
    pictured = replace(
        plain,
        incident=file.incident,
        camera=_title(file.camera),
        part=file.part if isinstance(file, Clip) else file.seq,
        final=isinstance(file, Clip) and file.part == last_part,
        start=max(0.0, started.wall),
        seconds=file.seconds if isinstance(file, Clip) else 0.0,
        synced=started.synced,
    )
    return pictured if incident is None else _of(pictured, incident)


def _of(manifest: Manifest, incident: Incident) -> Manifest:
    return replace(
        manifest,
        opened=max(0.0, incident.opened.wall),
        closed=None if incident.closed is None else max(0.0, incident.closed.wall),
        cause=str(incident.kind),
        zones=tuple(_title(zone) for zone in incident.zones[:_ZONES]),
        continues=incident.continues,
        synced=manifest.synced and incident.opened.synced,
    )


def _nature(file: Clip | Snapshot | Document) -> tuple[Kind, str]:
    match file:
        case Clip():
            return "clip", "video/mp4"
        case Snapshot():
            return "snapshot", "image/jpeg"
        case Document():
            return "document", mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def _title(text: str, limit: int = _TITLE) -> str:
    return "".join(character for character in text if character.isprintable())[:limit] or "-"
