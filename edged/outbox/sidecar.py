"""Sidecars: incident.json beside an incident's clips, from which its rows can be made anew if the database is lost.

It holds the incident, its clips and snapshots, its deliveries' receipts and what became of its alerts. The database is
the truth and the sidecar a copy of its rows: record writes the whole of it again with what it enters, the outbox's loop
soon after deliveries have changed. Paths are file names in the sidecar's own directory, so that a state directory can
be moved.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from edged.base.clock import Stamp
from edged.base.disk import replace_synced
from edged.base.errors import EdgedError
from edged.model import Clip, DeliveryKind, Incident, IncidentKind, Snapshot, State
from edged.outbox.spool import SIDECAR
from edged.wire.receipt import Receipt

if TYPE_CHECKING:
    from edged.model import Delivery
    from edged.outbox.nouns import Dossier
    from edged.outbox.store import Outbox

log = structlog.get_logger(__name__)

VERSION = 1
_LIMIT = 4_000_000  # bytes; a day-long incident has some thousand parts of 400 bytes


class BadSidecarError(EdgedError):
    """A sidecar can't be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sidecar:
    """What is known of an incident. `receipts` by delivery key, `alerts` by destination: waiting, sent, dead."""

    incident: Incident
    clips: tuple[Clip, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    alerts: tuple[tuple[str, str], ...] = ()

    @property
    def files(self) -> tuple[Clip | Snapshot, ...]:
        """Clips and snapshots."""
        return (*self.clips, *self.snapshots)


def describe(dossier: Dossier) -> Sidecar:
    """Return the sidecar that says what these rows say."""
    alerts = [delivery for delivery in dossier.deliveries if delivery.kind is DeliveryKind.ALERT]
    return Sidecar(
        incident=dossier.incident,
        clips=dossier.clips,
        snapshots=dossier.snapshots,
        receipts=tuple(delivery.receipt for delivery in dossier.deliveries if delivery.receipt is not None),
        alerts=tuple((alert.destination, _outcome(alert)) for alert in alerts),
    )


async def gather(outbox: Outbox, incident: str) -> Sidecar | None:
    """Return the sidecar that an incident's rows make now; None for an unknown one."""
    found = await outbox.dossier(incident)
    return None if found is None else describe(found)


async def refresh(outbox: Outbox, incident: str) -> bool:
    """Write an incident's sidecar anew, after a receipt or an alert's outcome; False when that can't be done.

    Nothing depends on it while the database is sound, so a disk that refuses is only told in the log, and the incident
    noted as undescribed, to be tried again.
    """
    async with outbox.describing:
        sidecar = await gather(outbox, incident)
        if sidecar is None:
            return False
        try:
            return await asyncio.to_thread(put, sidecar)
        except OSError as error:
            log.warning("sidecar not written", incident=incident, error=error.strerror or str(error))
            outbox.undescribed.add(incident)
            return False


def put(sidecar: Sidecar) -> bool:
    """Write the sidecar beside its files; False where there are none any more: alone it would lie there for ever."""
    directory = next((one.path.parent for one in sidecar.files if one.path.parent.is_dir()), None)
    if directory is None:
        return False
    write(directory, sidecar)
    return True


def write(directory: Path, sidecar: Sidecar) -> None:
    """Write the sidecar into `directory`, whole or not at all, and make it last; OSError if the disk refuses."""
    replace_synced(directory / SIDECAR, to_json(sidecar))


def read(directory: Path) -> Sidecar:
    """Read the sidecar in `directory`; BadSidecarError says what is wrong, FileNotFoundError that there is none."""
    path = directory / SIDECAR
    try:
        with path.open("rb") as file:
            raw = file.read(_LIMIT + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadSidecarError(f"{path} can't be read: {error.strerror}") from error
    return from_json(raw, directory)


def to_json(sidecar: Sidecar) -> bytes:
    """Return the sidecar as JSON, indented for people."""
    return msgspec.json.format(
        msgspec.json.encode({"version": VERSION, "sidecar": sidecar}, enc_hook=_file_name), indent=1
    )


def from_json(raw: bytes, directory: Path) -> Sidecar:
    """Read a sidecar's JSON, its file names being those in `directory`; BadSidecarError says what is wrong."""
    if len(raw) > _LIMIT:
        raise BadSidecarError(f"the sidecar in {directory} is longer than {_LIMIT} bytes")
    try:
        data = msgspec.json.decode(raw)
        if data["version"] != VERSION:
            raise BadSidecarError(f"the sidecar in {directory} has version {data['version']}, not {VERSION}")
        return _sidecar(data["sidecar"], directory)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise BadSidecarError(f"the sidecar in {directory} is damaged: {error}") from error


def _sidecar(data: dict[str, Any], directory: Path) -> Sidecar:
    return Sidecar(
        incident=_incident(data["incident"]),
        clips=tuple(Clip(**_with_file(item, directory, "start")) for item in data["clips"]),
        snapshots=tuple(Snapshot(**_with_file(item, directory, "taken")) for item in data["snapshots"]),
        receipts=tuple(msgspec.convert(item, Receipt) for item in data["receipts"]),
        alerts=tuple((str(destination), str(outcome)) for destination, outcome in data["alerts"]),
    )


def _incident(data: dict[str, Any]) -> Incident:
    return Incident(
        **data
        | {
            "kind": IncidentKind(data["kind"]),
            "zones": tuple(data["zones"]),
            "opened": _stamp(data["opened"]),
            "closed": None if data["closed"] is None else _stamp(data["closed"]),
        }
    )


def _with_file(data: dict[str, Any], directory: Path, instant: str) -> dict[str, Any]:
    if Path(data["path"]).name != data["path"]:
        raise ValueError(f"{data['path']!r} is no file name")
    return data | {"path": directory / data["path"], instant: _stamp(data[instant])}


def _stamp(data: dict[str, Any]) -> Stamp:
    return msgspec.convert(data, Stamp)


def _file_name(value: object) -> str:
    if isinstance(value, Path):
        return value.name
    raise TypeError(f"a sidecar can't hold a {type(value).__name__}")


def _outcome(alert: Delivery) -> str:
    return {State.PENDING: "waiting", State.DONE: "sent", State.DEAD: "dead"}.get(alert.state, str(alert.state))
