"""What the device promised: incidents that its log called opened, and how much of each clip part was on the disk.

The log is the device's standard error in JSON, written before a kill or a power cut could take anything back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

Part = tuple[str, int]  # incident, number


@dataclass(kw_only=True, slots=True)
class Promises:
    """The obligations so far: `cameras` by incident, `seconds` of pictures by clip part."""

    cameras: dict[str, str] = field(default_factory=dict)
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
                found.cameras[str(event["incident"])] = str(event["camera"])
            case "fragment synced" if event["seconds"] > 0.0:  # before that it is the header alone
                part = (str(event["incident"]), int(event["part"]))
                found.seconds[part] = max(found.seconds.get(part, 0.0), float(event["seconds"]))
    return found


def parse(line: bytes) -> dict[str, Any]:
    """Return the event of a log line, empty for what is none (a library's words, half a line)."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
