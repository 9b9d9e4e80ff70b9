"""The manifest: what a device says of a file before it sends it, carried in tus's Upload-Metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edged.wire import faults, tus
from edged.wire.faults import FaultError
from edged.wire.keys import Digest, Key  # noqa: TC001 -- msgspec reads the types at run time

_LIMIT = 5000  # bytes of JSON; base64 of it stays below tus.METADATA_LIMIT

# no control characters: these are shown on pages and written to logs
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z"
Title = Annotated[str, Meta(max_length=128, pattern=_PRINTABLE)]
FileName = Annotated[str, Meta(min_length=1, max_length=255, pattern=_PRINTABLE)]
ContentType = Annotated[str, Meta(max_length=100, pattern=r"^[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*\Z")]
Instant = Annotated[float, Meta(ge=0.0, le=1e11)]
Seconds = Annotated[float, Meta(ge=0.0, le=1e7)]
Kind = Literal["clip", "snapshot", "preview", "document"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """One file. Instants in Unix seconds; what belongs to an incident is empty for a document."""

    key: Key  # idempotency key: the file's identity for ever
    kind: Kind
    name: FileName  # for people; never a path
    content_type: ContentType
    size: Annotated[int, Meta(ge=0, le=2**53)]
    sha256: Digest
    incident: Key | None = None
    camera: Title = ""
    part: Annotated[int, Meta(ge=0, le=100_000)] = 0  # a clip's part from 1, a snapshot's sequence from 1
    final: bool = False  # the incident's last part
    start: Instant | None = None  # of the first picture
    seconds: Seconds = 0.0
    opened: Instant | None = None  # the incident's
    closed: Instant | None = None
    cause: Title = ""  # "motion", "manual"
    zones: Annotated[tuple[Title, ...], Meta(max_length=32)] = ()
    continues: Key | None = None
    synced: bool = True  # the device trusted its clock


def to_metadata(manifest: Manifest) -> str:
    """Return the Upload-Metadata header; ValueError when the manifest is too large for it.

    Foreign tus servers find the customary `filename` and `filetype` beside it.
    """
    raw = msgspec.json.encode(manifest)
    if len(raw) > _LIMIT:
        raise ValueError(f"the manifest of {manifest.key} has {len(raw)} bytes, more than {_LIMIT}")
    return tus.format_metadata(
        {"filename": manifest.name.encode(), "filetype": manifest.content_type.encode(), "manifest": raw}
    )


def from_metadata(header: str) -> Manifest:
    """Read and check the manifest in an Upload-Metadata header; FaultError (bad manifest) says what is wrong."""
    raw = tus.parse_metadata(header).get("manifest", b"")
    if not raw:
        raise FaultError(faults.BAD_MANIFEST, "no manifest in it")
    if len(raw) > _LIMIT:
        raise FaultError(faults.BAD_MANIFEST, f"the manifest has more than {_LIMIT} bytes")
    return parse(raw)


def parse(raw: bytes | str) -> Manifest:
    """Read a manifest's JSON strictly; unknown fields (a newer device's) are passed over. FaultError otherwise."""
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except faults.UNREADABLE as error:
        raise FaultError(faults.BAD_MANIFEST, str(error)[:200]) from error


def to_json(manifest: Manifest) -> bytes:
    """Return the manifest as JSON."""
    return msgspec.json.encode(manifest)
