"""Sidecars: what is written comes back, whole or not at all, and damage is told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edged.base.clock import Stamp
from edged.model import Clip, Delivery, DeliveryKind, Incident, IncidentKind, Lane, Snapshot, State
from edged.outbox.nouns import Dossier
from edged.outbox.sidecar import BadSidecarError, Sidecar, describe, from_json, read, to_json, write
from edged.wire.receipt import Proof, Receipt

if TYPE_CHECKING:
    from pathlib import Path

STAMP = Stamp(wall=1.8e9, mono=100.5, boot="boot-1", synced=False)
INCIDENT = Incident(
    id="a" * 32,
    camera="Türe",
    kind=IncidentKind.MANUAL,
    zones=("gate", "yard"),
    opened=STAMP,
    closed=replace(STAMP, mono=107.0),
    alerting=False,
    held="cooldown",
    continues="b" * 32,
    recovered=True,
)
RECEIPT = Receipt(
    key="c" * 32, size=9, sha256="d" * 64, proof=Proof.SIGNED, issued=1.8e9, receiver="home", signature="e" * 64
)


def sidecar(directory: Path) -> Sidecar:
    """Return a sidecar with everything in it."""
    clip = Clip(
        id="c" * 32,
        incident="a" * 32,
        camera="Türe",
        part=1,
        path=directory / "part-001.mp4",
        size=9,
        sha256="d" * 64,
        start=STAMP,
        seconds=4.5,
        codec="hevc",
        width=160,
        height=96,
    )
    snapshot = Snapshot(
        id="f" * 32,
        incident="a" * 32,
        camera="Türe",
        seq=1,
        path=directory / "snapshot-1.jpg",
        size=5,
        sha256="9" * 64,
        taken=STAMP,
        width=160,
        height=96,
    )
    alerts = (("mail:a@example.org", "sent"), ("mail:b@example.org", "waiting"))
    return Sidecar(incident=INCIDENT, clips=(clip,), snapshots=(snapshot,), receipts=(RECEIPT,), alerts=alerts)


def test_what_is_written_comes_back_also_from_another_place(tmp_path: Path) -> None:
    """A state directory may be moved: the files are those beside the sidecar."""
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    write(there, sidecar(there))
    assert read(there) == sidecar(there)
    there.rename(here)
    assert read(here) == sidecar(here)


def test_an_open_incident_comes_back_open(tmp_path: Path) -> None:
    """No end is no end, not a zero."""
    told = Sidecar(incident=replace(INCIDENT, closed=None))
    assert from_json(to_json(told), tmp_path).incident.closed is None


def test_a_missing_sidecar_is_not_a_damaged_one(tmp_path: Path) -> None:
    """Who looks for a sidecar must be able to tell the two apart."""
    with pytest.raises(FileNotFoundError):
        read(tmp_path)


def damaged(change: str, value: object) -> bytes:
    """Return a sidecar's JSON with one value changed by its dotted path."""
    data: dict[str, Any] = json.loads(to_json(Sidecar(incident=INCIDENT)))
    *path, last = change.split(".")
    place = data
    for name in path:
        place = place[name]
    place[last] = value
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"version": 1}',
        to_json(Sidecar(incident=INCIDENT))[:-9],
        damaged("version", 2),
        damaged("sidecar.incident.kind", "party"),
        damaged("sidecar.incident.opened", 5),
        damaged("sidecar.incident.opened", {"wall": "noon", "mono": 1.0, "boot": "x", "synced": True}),
        damaged("sidecar.incident.unknown", 1),
        damaged("sidecar.clips", [{}]),
        damaged("sidecar.receipts", [{"key": "../x"}]),
        damaged("sidecar", None),
    ],
)
def test_damage_is_told_and_never_half_read(raw: bytes, tmp_path: Path) -> None:
    """Whatever is wrong with it, a sidecar is refused as a whole."""
    with pytest.raises(BadSidecarError):
        from_json(raw, tmp_path)


def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    """A sidecar names files of its own directory and no others."""
    data = json.loads(to_json(sidecar(tmp_path)))
    data["sidecar"]["clips"][0]["path"] = "../../outbox.db"
    with pytest.raises(BadSidecarError, match="no file name"):
        from_json(json.dumps(data).encode(), tmp_path)


def test_a_sidecar_says_what_the_rows_say(tmp_path: Path) -> None:
    """Receipts come from what was delivered, outcomes from the alerts."""
    whole = sidecar(tmp_path)
    alert = Delivery(
        id=1,
        key="k1",
        kind=DeliveryKind.ALERT,
        lane=Lane.ALERT,
        priority=1,
        destination="mail:a@example.org",
        incident="a" * 32,
        subject="a" * 32,
        path=None,
        size=0,
        sha256=None,
        message=None,
        state=State.DONE,
        attempts=0,
        due=0.0,
        upload_url=None,
        possibly_sent=0,
        last_error="",
        receipt=None,
        created=STAMP,
    )
    waiting = replace(alert, destination="mail:b@example.org", state=State.PENDING)
    upload = replace(alert, kind=DeliveryKind.CLIP, lane=Lane.BULK, destination="receiver", receipt=RECEIPT)
    told = describe(
        Dossier(
            incident=whole.incident,
            clips=whole.clips,
            snapshots=whole.snapshots,
            deliveries=(alert, waiting, upload),
        )
    )
    assert told == whole
