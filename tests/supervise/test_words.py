"""The page's words, by tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edged.model import LinkState, Sensor, Sign
from edged.supervise import words
from edged.supervise.words import Tone
from tests.supervise.samples import MB, camera, clip, delivery, health, incident, link, transfer

if TYPE_CHECKING:
    from edged.supervise.board import CameraView, TransferView

CLIP = clip("c" * 32, 1, 30.0)
DONE: dict[str, Any] = {"state": "done", "proof": "signed"}


def alert(number: int = 1, whom: str = "ann@example.org", **changes: Any) -> dict[str, Any]:
    """Return an alert's row."""
    return delivery(number, kind="alert", destination=f"mail:{whom}", size=0, **changes)


@pytest.mark.parametrize(
    ("seen", "tone", "text"),
    [
        (camera(health=None), Tone.BUSY, "Starting"),
        (camera(), Tone.OK, "Watching"),
        (camera(armed=False), Tone.OK, "Watching, alerts are off"),
        (camera(incident="a" * 32), Tone.BUSY, "Recording an incident"),
        (camera(health=health(Sign.DARK, text="dark for 60 s")), Tone.WARN, "Dark for 60 s"),
        (camera(health=health(Sign.FROZEN, text="frozen for 20 s")), Tone.BAD, "Frozen for 20 s"),
        (
            camera(health=health(Sign.NO_FRAMES, text="no picture for 9 s", rung=1)),
            Tone.BAD,
            "No picture for 9 s, being brought back",
        ),
        (camera(health=health(Sign.ENDED, text="the stream has ended"), ended=True), Tone.IDLE, "Played to its end"),
    ],
)
def test_a_camera(seen: CameraView, tone: Tone, text: str) -> None:
    """A camera's state in a few words."""
    assert words.of_camera(seen) == words.Saying(tone=tone, text=text)


@pytest.mark.parametrize(
    ("sensor", "text"),
    [
        (None, ""),
        (Sensor(), ""),
        (Sensor(lux=120.4, exposure=0.02, gain=2.0, temperature=41.3), "120 lx, 1/50 s, gain 2.0, 41 °C"),
        (Sensor(lux=0.34, exposure=0.5), "0.3 lx, 0.5 s"),
    ],
)
def test_a_sensor(sensor: Sensor | None, text: str) -> None:
    """What it tells in figures that a person can use, and nothing for what it does not know."""
    assert words.of_sensor(sensor) == text


@pytest.mark.parametrize(
    ("state", "reason", "text"),
    [
        (LinkState.UP, "", "Connected"),
        (LinkState.METERED, "", "Connected, every byte costs"),
        (LinkState.DOWN, "no\nroute", "Offline: no route"),
        (LinkState.CAPTIVE, "", "A log-in page is in the way"),
    ],
)
def test_the_line(state: LinkState, reason: str, text: str) -> None:
    """The line's state in a few words, a reason in one line."""
    assert words.of_link(link(state, reason)).text == text
    assert words.of_link(None).tone is Tone.IDLE


@pytest.mark.parametrize(
    ("row", "under_way", "tone", "text"),
    [
        (delivery(), None, Tone.IDLE, "Waiting"),
        (delivery(), transfer(sent=42, size=100), Tone.BUSY, "Sending, 42 %"),
        (delivery(), transfer(sent=0, size=0), Tone.BUSY, "Sending, 0 %"),
        (delivery(last_error="no route."), None, Tone.WARN, "Waiting: no route"),
        (
            alert(last_error="no reply after the dot", possibly_sent=1),
            None,
            Tone.WARN,
            "Waiting: no reply after the dot, it may have arrived already",
        ),
        (delivery(state="held"), None, Tone.WARN, "Waits for your release"),
        (delivery(state="done", proof="readback"), None, Tone.OK, "Proven safe"),
        (delivery(state="done", proof="claimed"), None, Tone.OK, "Sent"),
        (delivery(state="done"), None, Tone.OK, "Sent"),
        (delivery(state="dead", last_error="550 unknown"), None, Tone.BAD, "Refused: 550 unknown"),
        (delivery(state="dead"), None, Tone.BAD, "Refused: no reason given"),
        (delivery(state="dropped"), None, Tone.IDLE, "Given up"),
    ],
)
def test_a_delivery(row: dict[str, Any], under_way: TransferView | None, tone: Tone, text: str) -> None:
    """Where one delivery stands."""
    assert words.of_delivery(row, under_way) == words.Saying(tone=tone, text=text)


@pytest.mark.parametrize(
    ("changes", "tone", "text"),
    [
        ({"deliveries": [alert(state="done")]}, Tone.OK, "Alert sent to ann@example.org"),
        ({"deliveries": [alert(1, state="done"), alert(2, state="done")]}, Tone.OK, "Alert sent to 2 people"),
        ({"deliveries": [alert()]}, Tone.BUSY, "Alert on its way"),
        ({"deliveries": [alert(1, state="done"), alert(2)]}, Tone.BUSY, "Alert on its way, sent to 1 of 2"),
        ({"deliveries": [alert(last_error="no route")]}, Tone.WARN, "Alert waiting: no route"),
        (
            {"deliveries": [alert(1), alert(2, "bob@example.org", state="dead", last_error="550 no")]},
            Tone.BAD,
            "Alert to bob@example.org was refused: 550 no",
        ),
        ({"deliveries": [alert(state="dropped")]}, Tone.IDLE, "Alert given up"),
        (
            {"held": "cooldown"},
            Tone.IDLE,
            "No alert of its own: more of the same within a short time, told in one summary",
        ),
        ({"held": "cap"}, Tone.IDLE, "No alert of its own: the hourly limit was reached, told in one summary"),
        ({"held": "disarmed"}, Tone.IDLE, "No alert: not armed at that time"),
        ({"held": "continuation"}, Tone.IDLE, "No alert of its own: it goes on from the incident before"),
        ({"held": "something new"}, Tone.IDLE, "No alert of its own"),
    ],
)
def test_an_incidents_alerts(changes: dict[str, Any], tone: Tone, text: str) -> None:
    """What became of the alerts, the worst first."""
    assert words.of_alerts(incident(**changes)) == words.Saying(tone=tone, text=text)


def test_nobody_to_tell() -> None:
    """Without recipients there is nothing to say of alerts."""
    assert words.of_alerts(incident(deliveries=[delivery()])) is None


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({"clips": [CLIP], "deliveries": [delivery(**DONE)]}, ["Proven safe at the receiver"]),
        ({"clips": [CLIP], "deliveries": [delivery()]}, ["Waits to be sent to the receiver"]),
        (
            {"clips": [CLIP], "deliveries": [delivery(1, **DONE), delivery(2)]},
            ["Waits to be sent to the receiver (1 of 2 parts are there)"],
        ),
        (
            {"clips": [CLIP], "deliveries": [delivery(1, **DONE), delivery(2, destination="folder:usb")]},
            ["Proven safe at the receiver", "Waits to be sent to folder usb"],
        ),
        (
            {"clips": [CLIP], "deliveries": [delivery(state="done", proof="claimed")]},
            ["Accepted by the receiver, but not proven"],
        ),
        (
            {"clips": [CLIP], "deliveries": [delivery(1), delivery(2, state="dead", last_error="too large")]},
            ["Refused by the receiver: too large"],
        ),
        (
            {"clips": [CLIP], "deliveries": [delivery(state="held")]},
            ["Waits for your release before it goes to the receiver"],
        ),
        (
            {"clips": [CLIP], "deliveries": [delivery(state="dropped")]},
            ["Not sent to the receiver: given up on order"],
        ),
        ({"closed": None}, ["Recording"]),
        (
            {"closed": None, "clips": [CLIP], "deliveries": [delivery(**DONE)]},
            ["Recording", "Proven safe at the receiver, so far"],
        ),
        ({}, ["No clip was recorded, only what you see here"]),
        ({"clips": [CLIP]}, ["Kept on this device"]),
        (
            {"clips": [CLIP | {"here": False}], "deliveries": [delivery(**DONE)]},
            ["Proven safe at the receiver", "No longer on this device"],
        ),
    ],
)
def test_an_incidents_clip(changes: dict[str, Any], texts: list[str]) -> None:
    """What became of the clip, for each destination."""
    assert [saying.text for saying in words.of_clip(incident(**changes), {})] == texts


def test_progress_is_of_all_parts() -> None:
    """Half of the second of two equal parts, the first being there, is 75 %."""
    rows = [delivery(1, size=10 * MB, **DONE), delivery(2, size=10 * MB)]
    going = {2: transfer(2, sent=5 * MB, size=10 * MB)}
    (saying,) = words.of_clip(incident(clips=[CLIP], deliveries=rows), going)
    assert (saying.tone, saying.text) == (Tone.BUSY, "Sending to the receiver, 75 %")


def test_all_but_sent_is_not_all() -> None:
    """The last byte makes the hundred per cent."""
    assert words.percent(999, 1000) == "99 %"
    assert words.percent(1000, 1000) == "100 %"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.4, "just now"), (42.0, "42 s ago"), (7800.0, "2 h 10 min ago")]
)
def test_ages(seconds: float | None, text: str) -> None:
    """Ages as people say them."""
    assert words.ago(seconds) == text


def test_a_hostile_error_stays_one_line() -> None:
    """What a peer wrote can't turn lines around or break them."""
    row = delivery(last_error="550 \u202egnp.exe\r\nSet-Cookie: x")
    assert words.of_delivery(row, None).text == "Waiting: 550 gnp.exe Set-Cookie: x"
