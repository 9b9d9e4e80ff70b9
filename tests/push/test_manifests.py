"""From rows to manifests: what the receiver is told of clips, snapshots and documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.base.clock import Stamp
from edged.model import Clip, Incident, IncidentKind, Snapshot
from edged.outbox.nouns import Document
from edged.push.manifests import describe
from edged.wire import manifest as wire

_OPENED = Stamp(wall=1_780_056_000.0, mono=10.0, boot="b", synced=False)
_CLOSED = Stamp(wall=1_780_056_060.0, mono=70.0, boot="b", synced=True)
_HASH = "a" * 64


def _incident(closed: Stamp | None = _CLOSED) -> Incident:
    return Incident(
        id="i" * 32,
        camera="Front\ndoor",
        kind=IncidentKind.MOTION,
        zones=tuple(f"zone {number}" for number in range(40)),
        opened=_OPENED,
        closed=closed,
        continues="h" * 32,
    )


def _clip(part: int = 2) -> Clip:
    return Clip(
        id="c" * 32,
        incident="i" * 32,
        camera="Front\ndoor",
        part=part,
        path=Path("/state/clips/part-002.mp4"),
        size=5,
        sha256=_HASH,
        start=_OPENED,
        seconds=29.5,
        codec="h264",
        width=1920,
        height=1080,
    )


def test_a_clip_tells_its_incident() -> None:
    """Everything that the receiver's page shows is in the manifest, in a form that the wire takes."""
    made = describe("k", _clip(), _incident(), last_part=2)
    assert wire.from_metadata(wire.to_metadata(made)) == made
    assert (made.kind, made.name, made.content_type) == ("clip", "part-002.mp4", "video/mp4")
    assert (made.camera, made.part, made.final, made.seconds) == ("Frontdoor", 2, True, 29.5)
    assert (made.opened, made.closed, made.cause, made.continues) == (
        1_780_056_000.0,
        1_780_056_060.0,
        "motion",
        "h" * 32,
    )
    assert len(made.zones) == 32
    assert not made.synced


@pytest.mark.parametrize(("part", "last", "final"), [(1, 2, False), (2, 2, True), (2, 0, False)])
def test_only_the_last_part_of_a_closed_incident_is_final(part: int, last: int, *, final: bool) -> None:
    """While the incident goes on (no last part) nobody can know which part is its last."""
    assert describe("k", _clip(part), _incident(), last_part=last).final is final


def test_a_clip_without_its_incidents_row_still_goes() -> None:
    """A clip whose incident was pruned is delivered under the incident's id."""
    made = describe("k", _clip(), None, last_part=0)
    assert (made.incident, made.opened) == ("i" * 32, None)


def test_a_snapshot_tells_its_sequence() -> None:
    """A snapshot is a JPEG of its incident, numbered."""
    snapshot = Snapshot(
        id="s" * 32,
        incident="i" * 32,
        camera="front",
        seq=1,
        path=Path("/state/clips/snapshot-1.jpg"),
        size=5,
        sha256=_HASH,
        taken=_OPENED,
        width=1920,
        height=1080,
    )
    made = describe("k", snapshot, _incident(), last_part=1)
    assert (made.kind, made.content_type, made.part, made.final) == ("snapshot", "image/jpeg", 1, False)


@pytest.mark.parametrize(
    ("name", "content_type"), [("report.pdf", "application/pdf"), ("data.unknown", "application/octet-stream")]
)
def test_a_document_has_a_type_and_no_incident(name: str, content_type: str) -> None:
    """Any file goes, with the type that its name suggests."""
    document = Document(id="d" * 32, name=name, path=Path("/x"), size=5, sha256=_HASH, added=_OPENED)
    made = describe("k", document, None, last_part=0)
    assert (made.kind, made.content_type, made.incident) == ("document", content_type, None)
