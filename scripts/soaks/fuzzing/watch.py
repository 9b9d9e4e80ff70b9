"""What must stay true whatever comes in: it runs on, stays small, says nothing of a crash, writes only where it may."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from scripts.soaks.oracle.judge import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

MEMORY = 400 * 1024 * 1024  # bytes resident that neither program may pass; a quiet device has some 120 MB
_CRASHES = ("request failed", "command failed", "task failed", "loop failed, starts again")


@dataclass(kw_only=True)
class Ground:
    """The folder around the state directories: its files as they were, which nobody may touch, nor add to."""

    root: Path
    states: tuple[Path, ...]
    logs: tuple[str, ...]  # names of files that may grow
    before: dict[str, str] = field(default_factory=dict)

    def remember(self) -> None:
        """Lay a canary beside the state directories, and note what there is."""
        (self.root / "canary").write_text("nobody writes here")
        self.before = self._look()

    def trespasses(self) -> list[Finding]:
        """Return what was written, changed or removed outside of the state directories since."""
        now = self._look()
        changed = [name for name in {*now, *self.before} if now.get(name) != self.before.get(name)]
        return [
            _finding("corrupt", f"outside {name}", f"{name}, outside of the stores, was changed") for name in changed
        ]

    def _look(self) -> dict[str, str]:
        files = (path for path in self.root.rglob("*") if path.is_file() and path.name not in self.logs)
        outside = (path for path in files if not any(path.is_relative_to(state) for state in self.states))
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in outside}


def grown(name: str, resident: int) -> list[Finding]:
    """Return a finding when a program holds more memory than it may."""
    if resident <= MEMORY:
        return []
    return [_finding("corrupt", f"memory of the {name}", f"the {name} holds {resident // 2**20} MiB")]


def resident(pid: int) -> int:
    """Return the bytes that a process holds in memory; 0 when it has just ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def ended(name: str, starts: int, expected: int) -> list[Finding]:
    """Return a finding when a program has ended by itself."""
    if starts == expected:
        return []
    return [_finding("corrupt", f"the {name} ended", f"the {name} ended by itself {starts - expected} times")]


def crashes(name: str, events: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Return what a log tells of errors that nobody thought of: those with a place in the source."""
    told = [event for event in events if "at" in event or event.get("event") in _CRASHES]
    return [_finding("corrupt", f"{name} at {event.get('at')}", f"the {name} logged {event}"[:2000]) for event in told]


def blamed(name: str, sent: bytes, statuses: Sequence[str]) -> list[Finding]:
    """Return a finding for each status that blames edged for what a client sent."""
    return [
        _finding("corrupt", f"{name} {status} {sent[:60]!r}", f"the {name} answered {status} to {sent[:2000]!r}")
        for status in statuses
    ]


def unanswered(name: str, sent: bytes) -> Finding:
    """Return the finding for a good request that got no good answer."""
    return _finding("lost", f"{name} unanswered", f"the {name} gave no good answer to {sent[:300]!r}")


def misread(seed: str, lines: Sequence[str]) -> list[Finding]:
    """Return what the process that reads files told: inputs that a reader did not take, and its own end or size."""
    told = [json.loads(line) for line in lines if line.startswith("{")]  # libraries may speak, too
    found = [
        _finding("corrupt", f"{each['reader']}: {each['wrong'][:80]}", f"seed {seed}: {each}")
        for each in told
        if "reader" in each
    ]
    done = [each for each in told if "done" in each]
    if not done:
        found.append(_finding("corrupt", "the readers ended", f"the process with seed {seed} hung or fell"))
    return [*found, *(each for last in done for each in grown("reading process", last["memory"]))]


def _finding(kind: Any, what: str, text: str) -> Finding:
    return Finding(kind=kind, what=what, text=text)
