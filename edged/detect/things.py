"""Things: cells that move together, of a size, and seen again where they were or next to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Box = tuple[float, float, float, float]

_NEAR = 1.5  # cells around a thing in which it counts as the same one: a runner moves one or two in a moment
_MEMORY = 0.6  # seconds, or the frame before at lower rates: a thing may fail to show once or twice
_AGAIN = 2  # sightings: what shows once is a drop, an insect or a flash
_NEIGHBOURS = np.ones((3, 3), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """A moving thing: x, y, w, h and area in fractions of the view, and its cells."""

    x: float
    y: float
    w: float
    h: float
    area: float
    cells: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Track:
    box: Box
    sightings: int
    seen: float


class Things:
    """Follows the things of one view from frame to frame."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._before = float("-inf")  # the frame before

    def follow(self, cells: NDArray[np.bool_], now: float, smallest: float) -> tuple[Thing, ...]:
        """Return the things in `cells` that are at least `smallest` (share of the view) and were seen before."""
        oldest = min(now - _MEMORY, self._before)
        self._before = now
        known = [track for track in self._tracks if track.seen >= oldest]
        things, tracks = [], []
        for thing, box in _things(cells, smallest) if cells.any() else ():
            sightings = 1 + max((track.sightings for track in known if _meet(track.box, box)), default=0)
            tracks.append(_Track(box=box, sightings=sightings, seen=now))
            if sightings >= _AGAIN:
                things.append(thing)
        self._tracks = tracks + [track for track in known if not any(_meet(track.box, new.box) for new in tracks)]
        return tuple(things)


def _things(cells: NDArray[np.bool_], smallest: float) -> list[tuple[Thing, Box]]:
    # neighbours within a cell's distance belong together: a person's legs and trunk are one thing
    joined = cv2.dilate(cells.astype(np.uint8), _NEIGHBOURS)
    count, labels = cv2.connectedComponents(joined, connectivity=8)
    rows, columns = cells.shape
    found = []
    for label in range(1, count):
        own = (labels == label) & cells
        area = int(np.count_nonzero(own)) / cells.size
        if area < smallest:
            continue
        ys, xs = np.nonzero(own)
        left, right, top, bottom = int(xs.min()), int(xs.max()) + 1, int(ys.min()), int(ys.max()) + 1
        thing = Thing(
            x=left / columns,
            y=top / rows,
            w=(right - left) / columns,
            h=(bottom - top) / rows,
            area=area,
            cells=own,
        )
        found.append((thing, (left - _NEAR, top - _NEAR, right + _NEAR, bottom + _NEAR)))
    return found


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
