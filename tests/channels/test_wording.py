"""The words of subjects and times, by tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edged.channels import times
from edged.channels.content import Alert, AlertContent, Cause, Digest, Notice, Summary
from edged.channels.text import listed, one_line, plural
from edged.channels.wording import view_of
from tests.channels.samples import LETTERHEAD, NOON, contents, sighting, stamp

DAY = 86_400.0
SUBJECTS: list[tuple[AlertContent, str]] = [
    (Alert(sighting=sighting()), "Motion at Front door (yard) - 14:02"),
    (Alert(sighting=sighting(zones=())), "Motion at Front door - 14:02"),
    (Alert(sighting=sighting(zones=("yard", "gate"))), "Motion at Front door (yard, gate) - 14:02"),
    (Alert(sighting=sighting(zones=tuple("abcde"))), "Motion at Front door (a, b, c and 2 more) - 14:02"),
    (Alert(sighting=replace(sighting(), manual=True)), "Recording at Front door (yard) - 14:02"),
    (Alert(sighting=sighting(opened=stamp(NOON - DAY))), "Motion at Front door (yard) - 21 Nov 14:02"),
    (Alert(sighting=sighting(opened=stamp(1000.0, synced=False))), "Motion at Front door (yard) - time unknown"),
    (Summary(count=3, since=stamp(), cause=Cause.COOLDOWN, camera="Till"), "3 more since 14:02 - Till"),
    (Summary(count=1, since=stamp(), cause=Cause.CAP), "1 more since 14:02 - all cameras"),
    (Summary(count=2, since=stamp(), cause=Cause.RECOVERED), "2 recovered since 14:02 - all cameras"),
    (Digest(entries=(sighting(),)), "1 incident while offline: 14:02"),
    (
        Digest(entries=(sighting(opened=stamp(NOON - DAY)), sighting())),
        "2 incidents while offline: 21 Nov 14:02 to 14:02",
    ),
    (
        Digest(entries=(sighting(), Summary(count=4, since=stamp(NOON + 600), cause=Cause.COOLDOWN, camera="Till"))),
        "5 incidents while offline: 14:02 to 14:12",
    ),
    (Notice(title="Camera Till is lost", text="", at=stamp()), "Camera Till is lost - 14:02"),
]


@pytest.mark.parametrize(("content", "subject"), SUBJECTS, ids=[subject for _, subject in SUBJECTS])
def test_subjects(content: AlertContent, subject: str) -> None:
    """What the phone's lock screen shows: what, where, when."""
    assert view_of(content, LETTERHEAD).subject == subject


def test_subjects_are_short() -> None:
    """Every subject says the gist within 60 characters."""
    assert {name: len(view_of(content, LETTERHEAD).subject) for name, content in contents().items()} == {
        name: length
        for name, content in contents().items()
        if (length := len(view_of(content, LETTERHEAD).subject)) <= 60
    }


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("UTC", "Sun 22 Nov 2026, 13:02:31 UTC"),
        ("Europe/Paris", "Sun 22 Nov 2026, 14:02:31 CET"),
        ("America/New_York", "Sun 22 Nov 2026, 08:02:31 EST"),
        ("Asia/Kathmandu", "Sun 22 Nov 2026, 18:47:31 +0545"),
        ("Pacific/Auckland", "Mon 23 Nov 2026, 02:02:31 NZDT"),
    ],
)
def test_times_are_of_the_sites_zone(zone: str, told: str) -> None:
    """The zone's name stands beside the time."""
    assert times.full(stamp(), zone) == told


@pytest.mark.parametrize(
    ("wall", "zone", "told"),
    [
        (1_792_889_999.0, "Europe/Paris", "Sun 25 Oct 2026, 02:59:59 CEST"),
        (1_792_890_000.0, "Europe/Paris", "Sun 25 Oct 2026, 02:00:00 CET"),
    ],
)
def test_the_hour_that_comes_twice_is_told_apart(wall: float, zone: str, told: str) -> None:
    """In the night when clocks go back, the zone's name says which of the two hours is meant."""
    assert times.full(stamp(wall), zone) == told


@pytest.mark.parametrize(
    ("wall", "synced", "known"), [(0.0, False, False), (NOON, False, True), (NOON, True, True), (0.0, True, True)]
)
def test_a_time_before_edged_is_no_time(wall: float, synced: bool, known: bool) -> None:
    """An unset clock shows 1970 or its image's date: such a time is not passed on as one."""
    assert times.is_set(stamp(wall, synced=synced)) is known


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Front\r\ndoor", "Front door"),
        ("  a \t b ", "a b"),
        ("a\u202eb\u2028c\x00d", "ab c d"),
        ("\ud800x", "x"),
        ("é🚪", "é🚪"),
        ("x" * 200, "x" * 119 + "…"),
    ],
)
def test_one_line(text: str, line: str) -> None:
    """A name becomes one visible line."""
    assert one_line(text) == line


def test_small_words() -> None:
    """Lists and numbers read naturally."""
    assert listed(("a", "b")) == "a, b"
    assert listed(tuple("abcde"), 3) == "a, b, c and 2 more"
    assert (plural(1, "alert"), plural(2, "alert"), plural(2, "was", "were")) == ("1 alert", "2 alerts", "2 were")
