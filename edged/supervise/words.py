"""What the status page says, in the words of the people who own the place: plain functions from rows to sayings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from edged.base.pages.pages import duration
from edged.channels.text import one_line, plural
from edged.model import LinkState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edged.model import Link, Sensor
    from edged.supervise.board import CameraView, TransferView

_DIM = 10.0  # lux, below which tenths matter
_SLOW = 0.5  # seconds, from which an exposure is not written as a fraction
_PROVEN = frozenset({"signed", "readback", "checksum"})

_HELD = {
    "cooldown": "No alert of its own: more of the same within a short time, told in one summary",
    "cap": "No alert of its own: the hourly limit was reached, told in one summary",
    "disarmed": "No alert: not armed at that time",
    "continuation": "No alert of its own: it goes on from the incident before",
}


class Tone(StrEnum):
    """How a saying is meant: the colour of its mark."""

    OK = "ok"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"
    IDLE = "idle"


@dataclass(frozen=True, kw_only=True, slots=True)
class Saying:
    """A short sentence and how it is meant."""

    tone: Tone
    text: str


def destination_name(destination: str) -> str:
    """Return a destination as people call it: "the receiver", "folder usb", "someone@example.org"."""
    kind, _, name = destination.partition(":")
    if kind == "mail":
        return name or "mail"
    return f"folder {name}" if kind == "folder" else f"the {destination}"


def of_camera(camera: CameraView) -> Saying:
    """Say how a camera is."""
    if camera.health is None:
        return Saying(tone=Tone.BUSY, text="Starting")
    if camera.ended:
        return Saying(tone=Tone.IDLE, text="Played to its end")
    if not camera.health.delivering:
        trying = ", being brought back" if camera.health.rung else ""
        return Saying(tone=Tone.BAD, text=f"{camera.health.text[:1].upper()}{camera.health.text[1:]}{trying}")
    if camera.health.signs:
        return Saying(tone=Tone.WARN, text=f"{camera.health.text[:1].upper()}{camera.health.text[1:]}")
    if camera.incident is not None:
        return Saying(tone=Tone.BUSY, text="Recording an incident")
    return Saying(tone=Tone.OK, text="Watching" if camera.armed else "Watching, alerts are off")


def of_sensor(sensor: Sensor | None) -> str:
    """Say what a sensor tells: "120 lx, 1/50 s, gain 2.0, 41 °C"; "" for one that tells nothing."""
    if sensor is None:
        return ""
    told = []
    if sensor.lux is not None:
        told.append(f"{sensor.lux:.0f} lx" if sensor.lux >= _DIM else f"{sensor.lux:.1f} lx")
    if sensor.exposure:
        told.append(f"{sensor.exposure:.1f} s" if sensor.exposure >= _SLOW else f"1/{1 / sensor.exposure:.0f} s")
    if sensor.gain is not None:
        told.append(f"gain {sensor.gain:.1f}")
    if sensor.temperature is not None:
        told.append(f"{sensor.temperature:.0f} °C")
    return ", ".join(told)


def of_link(link: Link | None) -> Saying:
    """Say what the line is good for."""
    if link is None:
        return Saying(tone=Tone.IDLE, text="No receiver is set up: clips stay on this device")
    why = f": {one_line(link.reason)}" if link.reason else ""
    return {
        LinkState.UP: Saying(tone=Tone.OK, text="Connected"),
        LinkState.METERED: Saying(tone=Tone.OK, text="Connected, every byte costs"),
        LinkState.CAPTIVE: Saying(tone=Tone.WARN, text=f"A log-in page is in the way{why}"),
        LinkState.DOWN: Saying(tone=Tone.BAD, text=f"Offline{why}"),
    }[link.state]


def of_delivery(row: Mapping[str, Any], transfer: TransferView | None) -> Saying:
    """Say where one delivery stands."""
    if transfer is not None:
        return Saying(tone=Tone.BUSY, text=f"Sending, {percent(transfer.sent, transfer.size)}")
    error = one_line(row["last_error"]).rstrip(".")
    if row["state"] == "pending":
        doubt = ", it may have arrived already" if row["possibly_sent"] else ""
        return Saying(tone=Tone.WARN if error else Tone.IDLE, text=f"Waiting: {error}{doubt}" if error else "Waiting")
    return {
        "held": Saying(tone=Tone.WARN, text="Waits for your release"),
        "done": Saying(tone=Tone.OK, text="Proven safe" if row["proof"] in _PROVEN else "Sent"),
        "dead": Saying(tone=Tone.BAD, text=f"Refused: {error or 'no reason given'}"),
        "dropped": Saying(tone=Tone.IDLE, text="Given up"),
    }[row["state"]]


def percent(part: float, whole: float) -> str:
    """Return "42 %"; never "100 %" before all is sent."""
    return f"{100 * part // whole if whole else 0:.0f} %"


# --------------------------------------------------------------------------------------------- incidents


def of_alerts(incident: Mapping[str, Any]) -> Saying | None:
    """Say what became of an incident's alerts; None when nobody is to be told."""
    if incident["held"]:
        return Saying(tone=Tone.IDLE, text=_HELD.get(incident["held"], "No alert of its own"))
    alerts = [row for row in incident["deliveries"] if row["kind"] == "alert"]
    return _of_alerts(alerts) if alerts else None


def _of_alerts(alerts: Sequence[Mapping[str, Any]]) -> Saying:
    sent = [row for row in alerts if row["state"] == "done"]
    so_far = f", sent to {len(sent)} of {len(alerts)}" if sent else ""
    refused = next((row for row in alerts if row["state"] == "dead"), None)
    waiting = next((row for row in alerts if row["state"] == "pending"), None)
    if refused is not None:
        why = one_line(refused["last_error"]).rstrip(".") or "no reason given"
        return Saying(tone=Tone.BAD, text=f"Alert to {destination_name(refused['destination'])} was refused: {why}")
    if waiting is not None and waiting["last_error"]:
        return Saying(tone=Tone.WARN, text=f"Alert waiting{so_far}: {one_line(waiting['last_error']).rstrip('.')}")
    if waiting is not None:
        return Saying(tone=Tone.BUSY, text=f"Alert on its way{so_far}")
    if len(sent) < len(alerts):
        return Saying(tone=Tone.IDLE, text=f"Alert given up{so_far}")
    whom = destination_name(sent[0]["destination"]) if len(sent) == 1 else plural(len(sent), "person", "people")
    return Saying(tone=Tone.OK, text=f"Alert sent to {whom}")


def of_clip(incident: Mapping[str, Any], transfers: Mapping[int, TransferView]) -> tuple[Saying, ...]:
    """Say what became of an incident's clip, for each destination; `transfers` by delivery."""
    is_open = incident["closed"] is None
    rows = [row for row in incident["deliveries"] if row["kind"] == "clip"]
    destinations = dict.fromkeys(row["destination"] for row in rows)
    sayings = [
        _of_copies(name, [row for row in rows if row["destination"] == name], transfers, is_open=is_open)
        for name in destinations
    ]
    if is_open:
        sayings.insert(0, Saying(tone=Tone.BUSY, text="Recording"))
    elif not incident["clips"]:
        sayings.append(Saying(tone=Tone.WARN, text="No clip was recorded, only what you see here"))
    elif not rows:
        sayings.append(Saying(tone=Tone.IDLE, text="Kept on this device"))
    if incident["clips"] and not any(clip.get("here", True) for clip in incident["clips"]):
        sayings.append(Saying(tone=Tone.IDLE, text="No longer on this device"))
    return tuple(sayings)


def _of_copies(
    destination: str, rows: Sequence[Mapping[str, Any]], transfers: Mapping[int, TransferView], *, is_open: bool
) -> Saying:
    where = destination_name(destination)
    done = [row for row in rows if row["state"] == "done"]
    under_way = [transfers[row["id"]] for row in rows if row["id"] in transfers]
    if under_way:
        sent = sum(row["size"] for row in done) + sum(each.sent for each in under_way)
        return Saying(tone=Tone.BUSY, text=f"Sending to {where}, {percent(sent, sum(row['size'] for row in rows))}")
    states = {row["state"]: row for row in rows}
    if "dead" in states:
        why = one_line(states["dead"]["last_error"]) or "no reason given"
        return Saying(tone=Tone.BAD, text=f"Refused by {where}: {why}")
    if "held" in states:
        return Saying(tone=Tone.WARN, text=f"Waits for your release before it goes to {where}")
    if "pending" in states:
        share = f" ({len(done)} of {len(rows)} parts are there)" if done else ""
        return Saying(tone=Tone.IDLE, text=f"Waits to be sent to {where}{share}")
    return _of_finished(where, done, is_open=is_open)


def _of_finished(where: str, done: Sequence[Mapping[str, Any]], *, is_open: bool) -> Saying:
    if not done:
        return Saying(tone=Tone.IDLE, text=f"Not sent to {where}: given up on order")
    if any(row["proof"] not in _PROVEN for row in done):
        return Saying(tone=Tone.WARN, text=f"Accepted by {where}, but not proven")
    return Saying(tone=Tone.OK, text=f"Proven safe at {where}{', so far' if is_open else ''}")


def ago(seconds: float | None) -> str:
    """Return "3 min ago", "just now", or "" when unknown."""
    if seconds is None:
        return ""
    return "just now" if seconds < 2 else f"{duration(seconds)} ago"  # noqa: PLR2004 -- a picture a second is "now"
