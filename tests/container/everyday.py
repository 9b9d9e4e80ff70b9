"""The main job on another system than the usual one: ready, an incident of footage, its proof, an ordered stop."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.container import lab, site

if TYPE_CHECKING:
    from tests.container.lab import Box

_FOOTAGE = lab.REPOSITORY / "tests" / "data" / "bew_walking_by.mp4"
# as fast as the box can: a slow one falls behind the footage's own speed
_DEVICE = """
[device]
name = "lab"
[cameras.door]
url = "/srv/door.mp4"
speed = "full"
[outbox]
warn_share = "0%"
critical_share = "0%"
critical_free = "100MB"
[receiver]
url = "http://127.0.0.1:8378"
device = "lab"
key = { file = "/etc/edged/receiver.key" }
"""
_PATIENT = 300.0  # seconds, for what an emulated processor does in ten


def start(box: Box) -> None:
    """Start a device whose camera is footage of a man who walks by twice; return when it has told systemd READY."""
    box.wait(lambda: box.unit("edged-receiver", "ActiveState") == "active", "the receiver is ready", limit=_PATIENT)
    box.put(site.KEY, site.add_device(box), mode=0o600, owner="edged:edged")
    box.put("/srv/door.mp4", _FOOTAGE.read_bytes())
    box.put("/etc/edged/edged.toml", _DEVICE)
    box.run("systemctl", "start", "edged")


def proven_seconds(box: Box) -> float:
    """Wait until all that the footage shows is proven at the receiver; return how long its clips are."""
    box.wait(lambda: _played(box), "the footage was recorded to its end", limit=_PATIENT)
    box.run("edged", "ensure", "--wait", "2min")
    seconds = 0.0
    # one; two where the box is so slow that between the two walks it is quiet for longer than a merge
    for incident in json.loads(box.run("edged", "incidents", "list", "--json").stdout)["incidents"]:
        shown = json.loads(box.run("edged", "incidents", "show", incident["id"], "--json").stdout)
        sent = [each["state"] for each in shown["deliveries"] if each["kind"] in {"clip", "snapshot"}]
        assert sent
        assert set(sent) == {"done"}
        seconds += sum(float(clip["seconds"]) for clip in shown["clips"])
    return seconds


def stop(box: Box) -> None:
    """Stop the device; it ends in order and within its time."""
    box.run("systemctl", "stop", "edged")
    assert box.unit("edged", "Result") == "success"
    assert _said(box).rstrip().endswith("edged stopped")


def _played(box: Box) -> bool:
    said = _said(box)
    opened, closed = said.count("incident opened"), said.count("incident closed")
    return "camera ended" in said and 0 < opened == closed


def _said(box: Box) -> str:
    return box.run("journalctl", "-q", "--no-pager", "-o", "cat", "_SYSTEMD_UNIT=edged.service").stdout
