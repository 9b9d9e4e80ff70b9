"""A record beside each stored file, records/ab/ID: what its row says, so that a lost database can be made anew.

It is on the disk before the row and gone before the row, so a record says: this file is wanted. A record whose row is
missing is entered again, never taken for rubbish with its content. Everything here blocks: call it on threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import structlog

from edged.base.disk import make_directory, replace_synced, sync_directory
from edged.receiver.store import StoredFile  # noqa: TC001 -- msgspec reads the types at run time
from edged.wire.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edged.receiver.store import StoredIncident

log = structlog.get_logger(__name__)

_HALF = ".new"  # what a power cut may leave of a write (base/disk)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A stored file and the manifest that came with it."""

    file: StoredFile
    manifest: Manifest


def record_of(file: StoredFile, incident: StoredIncident | None) -> Record:
    """Return the record of a file that has none, as far as its rows tell it."""
    told: dict[str, object] = {
        name: getattr(file, name)
        for name in ("key", "kind", "name", "content_type", "size", "sha256", "incident", "part", "start", "seconds")
    }
    if incident is not None:
        told |= {
            name: getattr(incident, name)
            for name in ("camera", "cause", "zones", "opened", "closed", "continues", "synced")
        }
        told["final"] = file.kind == "clip" and file.part == incident.parts
    return Record(file=file, manifest=msgspec.convert(told, Manifest))


class Records:
    """The directory records/ below the receiver's state directory `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root / "records"

    def prepare(self) -> None:
        """Make the directory; OSError if the disk refuses."""
        make_directory(self._root)

    def write(self, record: Record) -> None:
        """Keep a record, whole or not at all; it lasts."""
        path = self._path(record.file.id)
        make_directory(path.parent)
        replace_synced(path, msgspec.json.encode(record))

    def remove(self, identity: str) -> None:
        """Remove a file's record for good, if there is one."""
        path = self._path(identity)
        if path.exists():
            path.unlink()
            sync_directory(path.parent)

    def identities(self) -> set[str]:
        """Return which files have a record; halves that a power cut left are removed."""
        found = set()
        for path in self._root.glob("??/*"):
            if path.name.endswith(_HALF):
                path.unlink()
            else:
                found.add(path.name)
        return found

    def read(self, identities: set[str]) -> Iterator[Record]:
        """Yield the records of these files; one that is damaged is passed over and told in the log."""
        for identity in sorted(identities):
            path = self._path(identity)
            try:
                record = msgspec.json.decode(path.read_bytes(), type=Record)
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                log.error("record passed over", path=str(path), reason=str(error))
                continue
            if record.file.id != identity:
                log.error("record passed over", path=str(path), reason="it is another file's")
                continue
            yield record

    def _path(self, identity: str) -> Path:
        return self._root / identity[:2] / identity
