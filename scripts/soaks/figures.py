"""What a soak found, as the one line of JSON that it ends with."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripts.soaks.oracle.judge import Finding

_BREACHES = ("lost", "duplicated", "corrupt", "left_over")


@dataclass(kw_only=True)
class Figures:
    """The sums over a soak; `findings` holds each breach once, however often it was seen."""

    cycles: int = 0
    obligations: int = 0
    useful_bytes: int = 0
    wire_bytes: int = 0
    longest_recovery_s: float = 0.0
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)

    def add(self, findings: Iterable[Finding]) -> list[Finding]:
        """Count breaches; return those that are new."""
        fresh = [finding for finding in findings if (finding.kind, finding.what) not in self.findings]
        self.findings |= {(finding.kind, finding.what): finding for finding in fresh}
        return fresh

    @property
    def clean(self) -> bool:
        """Nothing was lost, duplicated, corrupt or left over."""
        return not any(finding.kind in _BREACHES for finding in self.findings.values())

    @property
    def wasted_percent(self) -> float:
        """How much more went over the line than was of use, in percent of what was of use."""
        wasted = max(0, self.wire_bytes - self.useful_bytes)
        return round(100.0 * wasted / self.useful_bytes, 2) if self.useful_bytes else 0.0

    def as_json(self, **about: object) -> str:
        """Return the line; `about` says what was run."""
        counts = Counter(finding.kind for finding in self.findings.values())
        return json.dumps(
            {
                **about,
                "cycles": self.cycles,
                "obligations": self.obligations,
                "lost": counts["lost"],
                "duplicated": counts["duplicated"],
                "possible_duplicates": counts["possible_duplicate"],
                "corrupt": counts["corrupt"],
                "left_over": counts["left_over"],
                "wasted_percent": self.wasted_percent,
                "longest_recovery_s": round(self.longest_recovery_s, 2),
            }
        )
