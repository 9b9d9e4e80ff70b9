"""The view of a camera on labelled footage: never called another while it is the same, and when covered or turned.

The baseline is a plain difference: another view where the mean of a picture's pixels differs from what was learnt.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edged.capture.settings import HealthSettings
from edged.capture.view import ViewWatch
from scripts.benches._footage import load_labels, luma_frames
from scripts.benches.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Luma = NDArray[np.uint8]

_FOOTAGE = Path(__file__).resolve().parents[2].parent / "shared" / "data"
_SETTINGS = HealthSettings()
_RNG = np.random.default_rng(1)
_LEARN = 40.0  # seconds of a clip, repeated where it is shorter
_WATCH = 10.0  # seconds in which a change must be seen
_BRIGHT = 99.5  # percentile, as health judges darkness
_PLAIN = 12.0  # luma steps of mean difference at which the baseline calls a view another


class Plain:
    """The baseline."""

    def __init__(self) -> None:
        self.other = False
        self._learnt: NDArray[np.float32] | None = None

    def see(self, luma: Luma) -> None:
        """Look at a picture."""
        if self._learnt is None or self._learnt.shape != luma.shape:
            self._learnt = luma.astype(np.float32)
        self.other = float(np.abs(self._learnt - luma).mean()) > _PLAIN
        cv2.accumulateWeighted(luma.astype(np.float32), self._learnt, 0.005)


def _hand(luma: Luma) -> Luma:
    blurred = cv2.GaussianBlur(luma, (0, 0), 40).astype(np.float32) * 0.5 + 20
    return np.clip(blurred + _RNG.normal(0, 2, luma.shape), 0, 255).astype(np.uint8)


def _cap(luma: Luma) -> Luma:
    return np.clip(_RNG.normal(90, 2, luma.shape), 0, 255).astype(np.uint8)


_CHANGES: dict[str, Callable[[Luma], Luma]] = {
    "cap": _cap,
    "hand": _hand,
    "turned": lambda luma: np.roll(luma, luma.shape[1] // 4, axis=1),
    "tilted": lambda luma: np.roll(luma, luma.shape[0] // 6, axis=0),
}


def figures(argv: list[str]) -> list[Figure]:
    """Measure over the footage in `argv[0]`, by default the project's."""
    false, plain, seconds, seen, tried = 0.0, 0.0, 0.0, 0, 0
    for labels in load_labels(Path(argv[0]) if argv else _FOOTAGE):
        pictures = [(frame.mono, frame.luma) for frame in luma_frames(labels.path) if _is_lit(frame.luma)]
        wrong, wrong_plain, length = _quiet(pictures)
        false, plain, seconds = false + wrong, plain + wrong_plain, seconds + length
        found = [name for name, change in _CHANGES.items() if _is_seen([luma for _, luma in pictures], change)]
        seen, tried = seen + len(found), tried + len(_CHANGES)
        missed = ", ".join(sorted(_CHANGES.keys() - found)) or "nothing"
        print(f"{labels.name:32} {length:6.1f} s, {wrong:.1f} s called another; missed: {missed}", file=sys.stderr)
    return [
        Figure(figure="view.false_time_percent", value=100 * false / seconds, unit="%", baseline=100 * plain / seconds),
        Figure(figure="view.changes_seen_percent", value=100 * seen / tried, unit="%", aim="90 or more"),
    ]


def _is_lit(luma: Luma) -> bool:
    return bool(np.percentile(luma[::4, ::4], _BRIGHT) > _SETTINGS.dark_level)


def _quiet(pictures: Sequence[tuple[float, Luma]]) -> tuple[float, float, float]:
    """Return the seconds called another view by edged and by the baseline, and how long the clip is."""
    watch, plain = ViewWatch(), Plain()
    false = wrong = 0.0
    last = pictures[0][0]
    for now, luma in pictures:
        watch.see(luma, now)
        plain.see(luma)
        false += (now - last) * (watch.view.since is not None)
        wrong += (now - last) * plain.other
        last = now
    return false, wrong, last - pictures[0][0]


def _is_seen(pictures: Sequence[Luma], change: Callable[[Luma], Luma]) -> bool:
    watch, now = ViewWatch(), 0.0
    while now < _LEARN:
        watch.see(pictures[round(now * 8) % len(pictures)], now)
        now += 0.5
    while now < _LEARN + _WATCH:
        watch.see(change(pictures[round(now * 8) % len(pictures)]), now)
        now += 0.5
    return watch.view.since is not None
