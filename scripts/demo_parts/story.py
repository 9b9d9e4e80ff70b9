"""The device's log as a story: one readable line for each step of an incident."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any


class Story:
    """Turns log lines into lines for people; incidents are numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.notable: list[str] = []

    def line(self, raw: bytes) -> str:
        """Return the line for one line of the device's log, "" when it tells nothing of an incident."""
        try:
            event = json.loads(raw)
        except ValueError:
            return raw.decode(errors="replace").rstrip()  # a traceback or a library's word: better shown
        text = self._text(event)
        if not text and event.get("level") in {"warning", "error", "critical"}:
            facts = {key: value for key, value in event.items() if key not in {"level", "timestamp", "event"}}
            text = f"[{event['level']}] {event['event']} {facts}"
        return f"{_clock(event)}  {text}" if text else ""

    def _text(self, event: dict[str, Any]) -> str:
        who = self._who(event.get("incident"))
        match event["event"]:
            case "incident opened":
                held = f" (no alert of its own: {event['held']})" if event.get("held") else ""
                return f"{who}: opened at camera {event['camera']}{held}"
            case "alert sent":
                return f"{who}: alert sent to {event['destination'].removeprefix('mail:')}"
            case "delivered" if event["kind"] == "clip":
                proof = "receipt verified" if event.get("proof") == "signed" else f"proof: {event.get('proof')}"
                return f"{who}: clip uploaded, {event.get('bytes', 0):,} bytes, {proof}"
            case "incident closed":
                return f"{who}: closed"
        return ""

    def _who(self, incident: str | None) -> str:
        if incident is None:
            return "edged"
        return f"incident {self._numbers.setdefault(incident, len(self._numbers) + 1)}"


def _clock(event: dict[str, Any]) -> str:
    return datetime.fromisoformat(event["timestamp"]).astimezone().strftime("%H:%M:%S")
