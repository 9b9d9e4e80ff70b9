"""The verdict: each part by itself, and the whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edged.base.config import Duration
from edged.model import LinkState, Sign
from edged.supervise.board import GateView, View
from edged.supervise.firmware import Firmware
from edged.supervise.health import Level, judge, level_of, summary
from edged.supervise.settings import SuperviseSettings
from edged.supervise.supervisor import Status
from tests.supervise.samples import MB, camera, disk, health, link, queue, task, view

SETTINGS = SuperviseSettings()
OK, DEGRADED, FAILING = Level.OK, Level.DEGRADED, Level.FAILING
GONE = camera("yard", health=health(Sign.NO_FRAMES, text="no picture for 42 s"))
CLIMBING = camera("yard", health=health(Sign.NO_FRAMES, text="no picture for 42 s", rung=2))
DARK = camera("yard", health=health(Sign.DARK, text="the picture has been dark for 60 s"))
UNBORN = camera("yard", health=None)
PLAYED = camera("yard", health=health(Sign.ENDED, text="the stream has ended"), ended=True)


def test_a_healthy_device_is_ok_in_every_part() -> None:
    """Nothing to find, nothing to tell."""
    report = judge(view(), queue(), SETTINGS)
    assert report.level is OK
    assert report.findings == ()
    assert summary(report, 1) == "1 camera watched, and nothing is amiss."


@pytest.mark.parametrize(
    ("part", "seen", "level", "words"),
    [
        ("cameras", view(cameras=(camera(), GONE)), DEGRADED, "no picture for 42 s. It will be opened again"),
        ("cameras", view(cameras=(camera(), CLIMBING)), DEGRADED, "It is being brought back"),
        ("cameras", view(cameras=(GONE,)), FAILING, "No camera gives pictures"),
        ("cameras", view(cameras=(DARK,)), DEGRADED, "Check the lens and the light"),
        ("cameras", view(cameras=(UNBORN,), uptime=119.0), OK, ""),
        ("cameras", view(cameras=(UNBORN,), uptime=121.0), FAILING, "No camera gives pictures"),
        ("cameras", view(cameras=(camera(), UNBORN), uptime=121.0), DEGRADED, "has not started"),
        ("cameras", view(cameras=()), OK, ""),
        ("cameras", view(cameras=(PLAYED,)), OK, "Camera yard has ended, as asked: its file was played once"),
        ("cameras", view(cameras=(PLAYED, camera())), OK, "Camera yard has ended"),
        ("cameras", view(cameras=(PLAYED, replace(GONE, name="hall"))), FAILING, "No camera gives pictures"),
        ("link", view(link=None), OK, ""),
        ("link", view(link=link(LinkState.METERED)), OK, ""),
        ("link", view(link=link(LinkState.DOWN, "no route")), DEGRADED, "can't be reached (no route)"),
        ("link", view(link=link(LinkState.CAPTIVE)), DEGRADED, "asks for a log-in page"),
        (
            "destinations",
            view(gates=(GateView(destination="mail:a@example.org", state="down", reason="wrong password"),)),
            DEGRADED,
            "Nothing can go to a@example.org now: wrong password.",
        ),
        (
            "destinations",
            view(gates=(GateView(destination="folder:usb", state="probing", reason=""),)),
            DEGRADED,
            "folder usb now: no answer.",
        ),
        ("destinations", view(gates=(GateView(destination="receiver", state="up", reason=""),)), OK, ""),
        ("disk", view(disk=None), OK, ""),
        ("disk", view(disk=disk(level="warn", free=5_000 * MB)), DEGRADED, "5.0 GB of 64.0 GB are free"),
        ("disk", view(disk=disk(level="critical")), FAILING, "all but full"),
        ("disk", view(disk=disk(trouble="it is not mounted any more")), FAILING, "it is not mounted any more"),
        ("recording", view(disk=disk(level="critical")), FAILING, "snapshots only"),
        ("recording", view(cameras=(camera(refused="the disk refused: I/O"),)), FAILING, "the disk refused: I/O"),
        ("clock", view(synced=False), DEGRADED, "not synchronised"),
        ("power", view(firmware=Firmware(flags=0, temperature=50.0)), OK, ""),
        ("power", view(firmware=Firmware(flags=0x50005, temperature=50.0)), DEGRADED, "voltage is too low. Use the"),
        ("power", view(firmware=Firmware(flags=0x40000, temperature=None)), DEGRADED, "was throttled since the start"),
        (
            "configuration",
            view(configuration="push.rate: is no rate"),
            DEGRADED,
            "would not start with it: push.rate: is no",
        ),
        ("tasks", view(complaints=("the database does not take writes: EIO",)), FAILING, "EIO"),
        ("tasks", view(tasks=(task(status=Status.DEGRADED, error="OSError: x"),)), FAILING, "OSError: x"),
        ("tasks", view(tasks=(task(status=Status.DEGRADED, critical=False),)), DEGRADED, "again and again"),
        ("tasks", view(tasks=(task(status=Status.RESTARTING, restarts=1),)), DEGRADED, "being restarted"),
        ("tasks", view(tasks=(task(status=Status.RESTARTING, restarts=0),)), OK, ""),
        ("tasks", view(tasks=(task(status=Status.ENDED),)), OK, ""),
        ("loop", view(lag_p99=2.0), OK, ""),
        ("loop", view(lag_p99=2.1), DEGRADED, "2.1 s late"),
    ],
)
def test_each_part(part: str, seen: View, level: Level, words: str) -> None:
    """What each part finds in a view, how bad it is, and that it says what to do."""
    found = judge(seen, queue(), SETTINGS).parts[part]
    assert level_of(found) is level
    assert words in " ".join(finding.text for finding in found)
    assert bool(found) is bool(words)


def test_a_reason_that_ends_a_sentence_gets_no_second_stop() -> None:
    """A reason may be a question to the person already."""
    gate = GateView(destination="receiver", state="down", reason="connection refused; is the port right?")
    (finding,) = judge(view(gates=(gate,)), queue(), SETTINGS).parts["destinations"]
    assert finding.text.endswith("is the port right?")


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"waiting": 900, "held": 4, "sent": 3}, OK, ""),
        ({"dead": 1}, DEGRADED, "1 delivery was refused for good"),
        ({"dead": 2}, DEGRADED, "2 deliveries were refused for good"),
        ({"oldest_age": 86400.0}, OK, ""),
        ({"oldest_age": 90000.0, "backlog_bytes": 3 * MB}, DEGRADED, "for 25 h; 3.0 MB wait in all"),
    ],
)
def test_the_outbox(changes: dict[str, Any], level: Level, words: str) -> None:
    """A queue is no illness; what can't be sent, or waits too long, is."""
    found = judge(view(), queue(**changes), SETTINGS).parts["outbox"]
    assert level_of(found) is level
    assert words in " ".join(finding.text for finding in found)


def test_an_outbox_without_an_answer_is_failing() -> None:
    """A database that hangs can't keep the promise."""
    assert judge(view(), None, SETTINGS).level is FAILING


def test_limits_are_the_settings() -> None:
    """Another limit gives another verdict."""
    strict = SuperviseSettings(lag=Duration(0.001), backlog_age=Duration(10.0), camera=Duration(5.0))
    report = judge(view(cameras=(UNBORN,), uptime=6.0), queue(oldest_age=11.0), strict)
    assert {name for name, found in report.parts.items() if found} == {"cameras", "outbox", "loop"}


def test_the_worst_part_is_the_whole_and_comes_first() -> None:
    """One failing part makes the device failing, and its reason is the first that is read."""
    report = judge(view(synced=False, disk=disk(level="critical")), queue(), SETTINGS)
    assert report.level is FAILING
    assert report.findings[0].level is FAILING
    assert summary(report, 1).startswith("The disk is all but full")
    assert summary(report, 1).endswith("And 2 more things.")


def test_a_notice_is_told_but_alarms_nobody() -> None:
    """What a person should know is among the findings and leaves the device ok."""
    report = judge(view(notices=("The database was rebuilt.",)), queue(), SETTINGS)
    assert [finding.text for finding in report.findings] == ["The database was rebuilt."]
    assert report.level is OK
    assert summary(report, 2) == "2 cameras watched, and nothing is amiss."
