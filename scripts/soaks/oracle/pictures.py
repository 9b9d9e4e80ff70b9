"""What a camera really showed, held against the gap ledger: each time without pictures stands there, and no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from scripts.soaks.oracle.judge import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SLACK = 1.0  # seconds: the ledger is exact to these
SETTLE = 14.0  # seconds: what an encoder makes of a frozen picture differs for so long after it began


class Run(Protocol):
    """Good pictures without a break on one connection, on the machine's clock."""

    start: float
    end: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What one camera showed over one life of the device; judged is what lies between `since` and `until`.

    The device may take `silence` for no outage yet. It may miss a run that is over before it has opened the camera; of
    that either is right, and so it is of what touches a time in `unsure`.
    """

    camera: str
    runs: Sequence[Run]
    since: float
    until: float
    silence: float
    unsure: Sequence[tuple[float, float]] = ()
    opening: float = 4.0  # seconds that it may take: an outage ends with the first picture seen, on a busy machine late

    def holes(self) -> list[tuple[float, float]]:
        """Return the times without a good picture."""
        ends = [self.since - SLACK]
        found = []
        for run in sorted(self.runs, key=lambda run: run.start):
            if run.start > ends[-1] and run.start < self.until and ends[-1] > self.since:
                found.append((ends[-1], run.start))
            ends.append(max(ends[-1], run.end))
        return found

    def outages(self) -> list[tuple[float, float]]:
        """Return those that must stand in the ledger."""
        long = [(start, end) for start, end in self.holes() if end - start > self.silence + SLACK]
        return [(start, end) for start, end in long if not self.is_unsure(start, end)]

    def is_unsure(self, start: float, end: float) -> bool:
        """Return whether the time touches one of which nobody can say what was seen."""
        return any(since < end and start < until for since, until in self.unsure)


def gaps(shown: Shown, rows: Iterable[dict[str, Any]]) -> Iterator[Finding]:
    """Yield each outage that the ledger (`rows`) does not have to the second, and each entry that was none."""
    entered = [
        (float(row["start_mono"]), float(row["end_mono"]), str(row["reason"]))
        for row in rows
        if row["camera"] == shown.camera and row["end_mono"] is not None
        if row["start_mono"] < shown.until and row["end_mono"] > shown.since
    ]
    for start, end in shown.outages():
        inner = (start + SLACK, end - SLACK)
        if (missing := inner[1] - inner[0] - _common(inner, entered)) > 0.01:  # noqa: PLR2004 -- rounding
            text = f"{shown.camera} showed nothing for {end - start:.2f} s, of which {missing:.2f} s are in no gap"
            yield Finding(
                kind="lost", what=f"gap {shown.camera} {start:.1f}", text=text + _beside(shown, entered, start)
            )
    for start, end, why in entered:
        seen = [
            (run.start + shown.opening, run.end - SLACK) for run in shown.runs if run.end - run.start > shown.opening
        ]
        wrong = _common((start, end), [(a, b, "") for a, b in seen if b > a])
        if wrong > 0.01 and not shown.is_unsure(start, end):  # noqa: PLR2004 -- rounding
            text = (
                f"the ledger has {end - start:.2f} s without {shown.camera} ({why}), which showed {wrong:.2f} s of it"
            )
            yield Finding(
                kind="corrupt", what=f"gap {shown.camera} {start:.1f}", text=text + _beside(shown, entered, start)
            )


def frozen(camera: str, spans: Iterable[tuple[float, float]], rows: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Yield each of the times at whose end the picture had long been frozen, if it is in no gap.

    An outage that ends soon after the camera was opened anew seems to have ended then: its encoder had begun anew, too.
    """
    for start, end in spans:
        if not any(
            row["camera"] == camera and row["start_mono"] < end <= (row["end_mono"] or end) + SETTLE for row in rows
        ):
            text = f"the picture of {camera} was frozen for {end - start:.1f} s, which is in no gap"
            yield Finding(kind="lost", what=f"frozen {camera} {start:.1f}", text=text)


def _common(span: tuple[float, float], others: Iterable[tuple[float, float, str]]) -> float:
    """Return how many seconds of `span` are in `others`, which do not overlap each other."""
    return sum(max(0.0, min(span[1], end) - max(span[0], start)) for start, end, _ in others)


def _beside(shown: Shown, entered: Iterable[tuple[float, float, str]], at: float) -> str:
    """Return both sides near `at`, in seconds from there."""
    near = (at - 10.0, at + 90.0)
    runs = [f"{run.start - at:+.1f} to {run.end - at:+.1f}" for run in shown.runs if near[0] < run.end < near[1]]
    ledger = [f"{a - at:+.1f} to {b - at:+.1f} ({why})" for a, b, why in entered if near[0] < b < near[1]]
    return f"; from there, good: {', '.join(runs) or 'none'}; gaps: {', '.join(ledger) or 'none'}"


def told(camera: str, notices: Iterable[dict[str, Any]], lost: int) -> Iterator[Finding]:
    """Yield what is wrong with the notices: `lost` outages were long enough to be told, each has its return."""
    kinds = [row["kind"] for row in notices if row["camera"] == camera and row["kind"] in {"system", "clear"}]
    if kinds.count("system") < lost:
        text = f"{camera} was lost {lost} times for long, and people were told {kinds.count('system')} times"
        yield Finding(kind="lost", what=f"notices {camera} {lost}", text=text)
    if kinds.count("clear") != kinds.count("system"):
        text = f"{camera}: {kinds.count('system')} times told as lost, {kinds.count('clear')} times as back"
        yield Finding(kind="lost", what=f"returns {camera} {len(kinds)}", text=text)
