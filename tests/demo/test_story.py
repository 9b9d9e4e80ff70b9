"""The device's log becomes a story for people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.demo_parts.story import Story

FIRST, SECOND = "1" * 32, "2" * 32


def raw(event: str, level: str = "info", **facts: Any) -> bytes:
    """Return a line of the log."""
    return json.dumps({"event": event, "level": level, "timestamp": "2026-05-29T12:00:00Z", **facts}).encode()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (raw("incident opened", incident=FIRST, camera="door", held=""), "incident 1: opened at camera door"),
        (
            raw("incident opened", incident=FIRST, camera="door", held="cooldown"),
            "incident 1: opened at camera door (no alert of its own: cooldown)",
        ),
        (raw("alert sent", incident=FIRST, destination="mail:a@b.c"), "incident 1: alert sent to a@b.c"),
        (
            raw("delivered", incident=FIRST, kind="clip", bytes=1234567, proof="signed"),
            "incident 1: clip uploaded, 1,234,567 bytes, receipt verified",
        ),
        (
            raw("delivered", incident=FIRST, kind="clip", bytes=5, proof="claimed"),
            "incident 1: clip uploaded, 5 bytes, proof: claimed",
        ),
        (raw("incident closed", incident=FIRST), "incident 1: closed"),
        (raw("camera lost", "warning", camera="door"), "[warning] camera lost {'camera': 'door'}"),
    ],
)
def test_what_is_told(line: bytes, text: str) -> None:
    """A step of an incident, or whatever is no good news, after the time of day."""
    told = Story().line(line)
    assert told.partition("  ")[2] == text
    assert len(told.partition("  ")[0]) == len("12:00:00")


def test_what_is_not_told() -> None:
    """Snapshots and the daemon's own affairs are no part of the story."""
    story = Story()
    assert story.line(raw("delivered", incident=FIRST, kind="snapshot")) == ""
    assert story.line(raw("edged runs")) == ""


def test_incidents_are_numbered_as_they_come() -> None:
    """Each keeps its number."""
    story = Story()
    told = [story.line(raw("incident closed", incident=each)) for each in (SECOND, FIRST, SECOND)]
    assert [line.split()[2] for line in told] == ["1:", "2:", "1:"]


def test_what_is_no_log_line_is_shown_as_it_is() -> None:
    """A traceback is better seen than lost."""
    assert Story().line(b"Traceback \xff (most recent call last):\n") == "Traceback \ufffd (most recent call last):"
