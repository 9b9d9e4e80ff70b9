"""Names and identities of an incident's files.

A file's identity comes from its incident's random id and its own name: whoever finds the file again, after whatever was
lost, arrives at the same one, so a receiver that has it already is not given it twice.
"""

from __future__ import annotations

import hashlib
import re

_IDENTITY = re.compile(r"[0-9a-f]{32}")
_NUMBERED = re.compile(r"(part|snapshot)-(\d{1,6})\.(mp4|jpg)")


def part_name(number: int) -> str:
    """Return the file name of clip part `number`, from 1."""
    return f"part-{number:03}.mp4"


def snapshot_name(number: int) -> str:
    """Return the file name of snapshot `number`, from 1."""
    return f"snapshot-{number}.jpg"


def is_incident(name: str) -> bool:
    """Return whether `name` has the form of an incident's id, as its directory has."""
    return _IDENTITY.fullmatch(name) is not None


def number_in(name: str) -> int | None:
    """Return the number in a part's or snapshot's file name; None for any other name."""
    match = _NUMBERED.fullmatch(name)
    if match is None or name not in {part_name(int(match[2])), snapshot_name(int(match[2]))}:
        return None
    return int(match[2])


def identity(incident: str, name: str) -> str:
    """Return the id (32 hex digits) of the file `name` of `incident`."""
    return hashlib.sha256(f"{incident}/{name}".encode()).hexdigest()[:32]
