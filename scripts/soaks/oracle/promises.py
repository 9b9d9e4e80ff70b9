"""What the device promised: incidents that its log called opened, and how much of each clip part was on the disk.

From a camera's first incident on it also promised to know each time without pictures.

The log is the device's standard error in JSON, written before a kill or a power cut could take anything back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

Part = tuple[str, int]  # incident, number


@dataclass(kw_only=True, slots=True)
class Promises:
    """The obligations so far: `cameras` by incident, `seconds` of pictures by clip part.

    `first` is when (Unix seconds) each camera's first incident was logged.
    """

    cameras: dict[str, str] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    seconds: dict[Part, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cameras) + len(self.seconds)


def read(lines: Iterable[bytes]) -> Promises:
    """Return what the log's lines promise; a line cut off by a kill promises nothing."""
    found = Promises()
    for line in lines:
        event = parse(line)
        match event.get("event"):
            case "incident opened":
                camera = found.cameras[str(event["incident"])] = str(event["camera"])
                found.first.setdefault(camera, instant(event.get("timestamp", "")))
            case "fragment synced" if event["seconds"] > 0.0:  # before that it is the header alone
                part = (str(event["incident"]), int(event["part"]))
                found.seconds[part] = max(found.seconds.get(part, 0.0), float(event["seconds"]))
    return found


def instant(timestamp: str) -> float:
    """Return a log line's time in Unix seconds, infinity when it has none."""
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return inf


def parse(line: bytes) -> dict[str, Any]:
    """Return the event of a log line, empty for what is none (a library's words, half a line)."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
