"""What a camera really showed, held against the gap ledger: each time without pictures stands there, and no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.soaks.oracle.judge import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SLACK = 1.0  # seconds: the ledger is exact to these
_NOTICED = 0.3  # seconds without a picture that may well be called an outage already


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One camera over one life of the device: `good` are the times of its good pictures, all on the machine's clock.

    Judged is what lies between `since` and `until`; the device may take `silence` for no outage yet.
    """

    camera: str
    good: Sequence[float]
    since: float
    until: float
    silence: float


def holes(shown: Shown, longer: float) -> list[tuple[float, float]]:
    """Return the times without a good picture, each from the last one before to the first one after."""
    times = [time for time in shown.good if shown.since <= time <= shown.until]
    return [(a, b) for a, b in zip(times, times[1:], strict=False) if b - a > longer]


def gaps(shown: Shown, rows: Iterable[dict[str, Any]]) -> Iterator[Finding]:
    """Yield each outage that the ledger (`rows`) does not have to the second, and each entry that was none."""
    entered = [
        (float(row["start_mono"]), float(row["end_mono"]), str(row["reason"]))
        for row in rows
        if row["camera"] == shown.camera and row["end_mono"] is not None
        if row["start_mono"] > shown.since and row["end_mono"] < shown.until
    ]
    for a, b in holes(shown, shown.silence + SLACK):
        if not any(abs(start - a) <= SLACK and abs(end - b) <= SLACK for start, end, _ in entered):
            near = ", ".join(f"{start - a:+.2f} to {end - b:+.2f} ({why})" for start, end, why in _near(entered, a, b))
            text = f"{shown.camera} showed nothing for {b - a:.2f} s; the ledger, relative to that: {near or 'nothing'}"
            yield Finding(kind="lost", what=f"gap {shown.camera} {a:.1f}", text=text)
    real = holes(shown, _NOTICED)
    for start, end, why in entered:
        known = any(abs(start - a) <= SLACK and abs(end - b) <= SLACK for a, b in real)
        if end - start > SLACK and not known:
            near = ", ".join(f"{a - start:+.2f} to {b - end:+.2f}" for a, b in real if a < end + 3 and b > start - 3)
            text = f"the ledger has {end - start:.2f} s without {shown.camera} ({why}); the truth, relative to that: "
            yield Finding(kind="corrupt", what=f"gap {shown.camera} {start:.1f}", text=text + (near or "nothing"))


def _near(entered: Iterable[tuple[float, float, str]], a: float, b: float) -> list[tuple[float, float, str]]:
    return [entry for entry in entered if entry[0] < b + 3 * SLACK and entry[1] > a - 3 * SLACK]


def told(camera: str, notices: Iterable[dict[str, Any]], lost: int) -> Iterator[Finding]:
    """Yield what is wrong with the notices: `lost` outages were long enough to be told, each has its return."""
    kinds = [row["kind"] for row in notices if row["camera"] == camera and row["kind"] in {"system", "clear"}]
    if kinds.count("system") < lost:
        text = f"{camera} was lost {lost} times for long, and people were told {kinds.count('system')} times"
        yield Finding(kind="lost", what=f"notices {camera} {lost}", text=text)
    if kinds.count("clear") != kinds.count("system"):
        text = f"{camera}: {kinds.count('system')} times told as lost, {kinds.count('clear')} times as back"
        yield Finding(kind="lost", what=f"returns {camera} {len(kinds)}", text=text)
