"""What the commands print for people."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edged.app.listing import facts, listing, size, table

BERLIN = ZoneInfo("Europe/Berlin")
NOON = {"wall": 1_780_056_000.0, "synced": True}  # 2026-05-29 12:00 UTC
UNSURE = {"wall": 1_780_056_000.0, "synced": False}


def delivery(**changes: Any) -> dict[str, Any]:
    """Return a delivery's row."""
    row = {
        "id": 7,
        "key": "k" * 32,
        "kind": "clip",
        "priority": 5,
        "destination": "receiver",
        "incident": "abcdef0123456789" * 2,
        "subject": "c" * 32,
        "size": 1_400_000,
        "state": "pending",
        "attempts": 2,
        "possibly_sent": 0,
        "last_error": "",
        "proof": None,
        "created": NOON,
    }
    return row | changes


def incident(**changes: Any) -> dict[str, Any]:
    """Return an incident's row."""
    row = {
        "id": "abcdef0123456789" * 2,
        "camera": "door",
        "kind": "motion",
        "zones": ["yard", "gate"],
        "opened": NOON,
        "closed": UNSURE,
        "alerting": True,
        "held": "",
        "continues": None,
        "recovered": False,
    }
    return row | changes


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_440_000, "1.4 MB"),
        (2_000_000_000, "2.0 GB"),
        (5 * 10**12, "5000.0 GB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    """Bytes are told in the largest unit that leaves a number above one."""
    assert size(count) == text


def test_columns_are_aligned_and_an_empty_table_says_so() -> None:
    """Each column is as wide as its widest cell; nothing trails."""
    assert table(("a", "bb"), [("long", "x"), ("s", "y")]) == "a     bb\nlong  x\ns     y"
    assert table(("a", "bb"), []) == "none"


def test_outbox_list_shows_what_waits_and_why() -> None:
    """A row for each delivery, in the site's time, and the sums below."""
    shown = listing(
        "outbox.list",
        {
            "deliveries": [
                delivery(last_error="no route to the receiver" + "!" * 100),
                delivery(id=8, state="done", proof="signed", incident=None, created=UNSURE),
            ],
            "counts": {"waiting": 1, "proven": 3, "dead": 0},
            "backlog": {"count": 1, "bytes": 1_400_000, "oldest": NOON},
        },
        BERLIN,
    )
    head, first, second, empty, sums = shown.splitlines()
    assert head.split() == ["id", "kind", "destination", "state", "size", "tries", "since", "of", "last", "error"]
    assert first.split()[:9] == ["7", "clip", "receiver", "pending", "1.4", "MB", "2", "2026-05-29", "14:00:00"]
    assert first.split()[9] == "abcdef0123456789" * 2, "whole, as `incidents show` takes it"
    assert first.endswith("receiver" + "!" * 36)  # 60 characters, then it is cut
    assert "done (signed)" in second
    assert "14:00:00?  cccccccc" in second
    assert (empty, sums) == ("", "1 to deliver, 1.4 MB; 1 waiting, 3 proven")


def test_an_empty_outbox_says_so() -> None:
    """Without deliveries there are words instead of a bare head."""
    nothing = {"deliveries": [], "counts": {"waiting": 0}, "backlog": {"count": 0, "bytes": 0, "oldest": None}}
    assert listing("outbox.list", nothing, BERLIN) == "none\n\n0 to deliver, 0 B; nothing delivered yet"


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, "2026-05-29 14:00:00   2026-05-29 14:00:00?  door    yard, gate  motion  yes"),
        ({"closed": None, "zones": []}, "2026-05-29 14:00:00  goes on  door    -      motion  yes"),
        ({"alerting": False, "held": "cooldown", "recovered": True}, "yard, gate  motion (recovered)  no: cooldown"),
    ],
)
def test_incidents_list(changes: dict[str, Any], end: str) -> None:
    """A row tells when, where, and whether people were told."""
    _, row = listing("incidents.list", {"incidents": [incident(**changes)]}, BERLIN).splitlines()
    assert " ".join(row.split()).endswith(" ".join(end.split()))
    assert row.startswith("abcdef0123456789" * 2)


def test_incidents_show_has_facts_clips_and_deliveries() -> None:
    """One incident is told in three blocks."""
    clip = {
        "id": "c" * 32,
        "part": 1,
        "path": "/var/lib/edged/clips/part-001.mp4",
        "size": 2_000_000,
        "sha256": "5e" * 32,
        "start": NOON,
        "seconds": 12.34,
    }
    shown = incident() | {"clips": [clip], "snapshots": [], "deliveries": [delivery(proof="signed"), delivery(id=9)]}
    head, clips, sent = listing("incidents.show", shown, BERLIN).split("\n\n")
    assert "zones      yard, gate" in head.splitlines()
    assert "continues  -" in head.splitlines()
    assert clips.splitlines()[1].split()[0:6] == ["1", "2026-05-29", "14:00:00", "12.3", "2.0", "MB"]
    assert clips.splitlines()[1].endswith("5e5e5e5e5e5e  /var/lib/edged/clips/part-001.mp4")
    assert [row.split() for row in sent.splitlines()[1:]] == [
        ["7", "clip", "receiver", "pending", "signed"],
        ["9", "clip", "receiver", "pending", "-"],
    ]


def test_other_results_are_facts() -> None:
    """A command's result without a table of its own is one line for each fact."""
    assert listing("outbox.drop", {"dropped": [3, 4]}, BERLIN) == "dropped  3, 4"
    assert facts({}, BERLIN) == ""
