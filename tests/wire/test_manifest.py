"""Manifests: there and back through Upload-Metadata, strict towards what is hostile."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.wire import faults, manifest, tus
from edged.wire.faults import FaultError
from edged.wire.manifest import Manifest

SAMPLE = Manifest(
    key="a" * 32,
    kind="clip",
    name="Front door 14:02.mp4",
    content_type="video/mp4",
    size=1000,
    sha256="b" * 64,
    incident="c" * 32,
    camera="Eingang Süd",
    part=1,
    final=True,
    start=1_790_000_000.25,
    seconds=12.5,
    opened=1_790_000_001.0,
    closed=1_790_000_009.0,
    cause="motion",
    zones=("yard", "gate"),
    continues="d" * 32,
    synced=False,
)

printable = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60)
keys = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True)
instants = st.floats(0, 1e11)


@given(
    key=keys,
    name=printable.filter(bool),
    size=st.integers(0, 2**53),
    incident=st.none() | keys,
    camera=printable,
    start=st.none() | instants,
    zones=st.lists(printable, max_size=8).map(tuple),
)
def test_a_manifest_survives_the_wire(**fields: object) -> None:
    """Whatever may be said arrives as it was said."""
    said = Manifest(kind="document", content_type="image/jpeg", sha256="0" * 64, **fields)  # type: ignore[arg-type]
    assert manifest.from_metadata(manifest.to_metadata(said)) == said


def test_foreign_servers_find_name_and_type() -> None:
    """The customary entries stand beside the manifest."""
    pairs = tus.parse_metadata(manifest.to_metadata(SAMPLE))
    assert pairs["filename"] == b"Front door 14:02.mp4"
    assert pairs["filetype"] == b"video/mp4"


@pytest.mark.parametrize(
    "change",
    [
        {"key": ""},
        {"key": "../../etc/passwd"},
        {"key": "a\n"},
        {"key": "a" * 129},
        {"key": 5},
        {"kind": "alert"},
        {"name": ""},
        {"name": "a\x00b"},
        {"name": "a\u2028b"},
        {"name": "a" * 256},
        {"content_type": "text"},
        {"content_type": "text/html\r\nX: y"},
        {"size": -1},
        {"size": 1.5},
        {"size": 2**60},
        {"sha256": "B" * 64},
        {"sha256": "b" * 63},
        {"incident": "x/y"},
        {"part": -1},
        {"part": True},
        {"start": "now"},
        {"start": -1},
        {"zones": ["a"] * 33},
        {"zones": "yard"},
        {"synced": None},
    ],
    ids=str,
)
def test_what_breaks_the_rules_is_refused(change: dict[str, object]) -> None:
    """Each field is held to its type and limits, and the fault names it."""
    raw = json.dumps({**asdict(SAMPLE), **change}).encode()
    with pytest.raises(FaultError) as refused:
        manifest.parse(raw)
    assert refused.value.fault is faults.BAD_MANIFEST
    assert next(iter(change)) in refused.value.detail


def test_a_newer_devices_field_is_passed_over() -> None:
    """A receiver must not refuse a device that knows more than it does."""
    assert manifest.parse(json.dumps({**asdict(SAMPLE), "mood": "sunny"})) == SAMPLE


@given(raw=st.binary(max_size=200))
def test_garbage_is_refused(raw: bytes) -> None:
    """No bytes break the parsers."""
    with pytest.raises(FaultError):
        manifest.parse(raw)
    with pytest.raises(FaultError):
        manifest.from_metadata(raw.decode("latin-1"))


def test_a_manifest_too_large_for_its_header_is_not_made() -> None:
    """The device learns at once, not from the receiver."""
    zones = tuple(f"{number:0128}" for number in range(32))
    with pytest.raises(ValueError, match="more than"):
        manifest.to_metadata(
            Manifest(**{**asdict(SAMPLE), "zones": zones, "name": "n" * 255, "camera": "é" * 128, "cause": "é" * 128})
        )
