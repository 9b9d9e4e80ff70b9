"""What an incident should show: each moment of it is in a clip part, or the ledgers say that it is missing.

For faults that truly cost pictures, such as a full disk: the device must own up to exactly what is missing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scripts.soaks.oracle.judge import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.soaks.oracle.device import Device

Span = tuple[float, float]  # monotonic seconds of one boot

_SLACK = 0.4  # seconds: a picture's duration, and the tenth that a reason is rounded to
_SECONDS = re.compile(r"([0-9.]+) s of the clip: ")


def judge_coverage(device: Device) -> list[Finding]:
    """Return a finding for each incident that ended in order and misses pictures of which no ledger tells."""
    return [finding for row in device.incidents for finding in _holes(row, device)]


def _holes(incident: dict[str, Any], device: Device) -> Iterator[Finding]:
    if incident["closed_mono"] is None or incident["recovered"]:  # after a kill it ends with what was synced
        return
    boot = incident["opened_boot"]
    told = sorted((*_recorded(incident["id"], device), *_owned_up_to(incident, device, boot)))
    at, end = incident["opened_mono"], incident["closed_mono"]
    for start, until in told:
        if start > at + _SLACK:
            break
        at = max(at, until)
    if at < end - _SLACK:
        text = (
            f"incident {incident['id']} has no pictures from {at:.1f} on, it closed at {end:.1f}, and no ledger says so"
        )
        yield Finding(kind="lost", what=f"coverage {incident['id']}", text=text)


def _recorded(incident: str, device: Device) -> Iterator[Span]:
    for row in device.files:
        if row["incident"] == incident and row["what"] == "clip":
            yield row["taken_mono"], row["taken_mono"] + row["seconds"]


def _owned_up_to(incident: dict[str, Any], device: Device, boot: int) -> Iterator[Span]:
    for row in device.losses:
        seconds = _SECONDS.match(row["reason"])
        if row["incident"] == incident["id"] and row["what"] == "seconds" and seconds is not None:
            yield row["at_mono"], row["at_mono"] + float(seconds[1])
    for row in device.gaps:
        if row["camera"] == incident["camera"] and row["start_boot"] == boot:
            yield row["start_mono"], row["end_mono"] if row["end_boot"] == boot else float("inf")
