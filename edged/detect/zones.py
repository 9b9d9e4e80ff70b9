"""Zones and masks: polygons in fractions of the view, laid over a grid of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edged.detect.settings import Polygon

_FINE = 8  # subdivisions of a cell's side by which its covered share is found


class ZoneMap:
    """Which cells of a grid (`rows`, `columns`) count, and for which zone; a cell belongs where half of it lies."""

    def __init__(self, zones: Mapping[str, Polygon], masks: Mapping[str, Polygon], shape: tuple[int, int]) -> None:
        masked = np.zeros(shape, dtype=bool)
        for polygon in masks.values():
            masked |= covered(polygon, shape)
        self._zones = {name: covered(polygon, shape) for name, polygon in zones.items()}
        self.counts: NDArray[np.bool_] = ~masked  # cells in which motion counts
        if zones:
            self.counts &= np.logical_or.reduce(list(self._zones.values()))

    def zone_of(self, cells: NDArray[np.bool_]) -> str:
        """Return the zone that holds most of `cells`, "" without zones."""
        if not self._zones:
            return ""
        return max(self._zones, key=lambda name: int(np.count_nonzero(self._zones[name] & cells)))


def covered(polygon: Polygon, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the cells of a grid of `shape` (rows, columns) of which at least half lies in `polygon`."""
    rows, columns = shape
    canvas = np.zeros((rows * _FINE, columns * _FINE), dtype=np.uint8)
    corners = np.array(polygon, dtype=np.float64) * (columns * _FINE, rows * _FINE)
    # a pixel's centre lies half a pixel in: without the shift a polygon grows by half a pixel to each side
    cv2.fillPoly(canvas, [np.round(corners - 0.5).astype(np.int32)], 1)
    share = canvas.reshape(rows, _FINE, columns, _FINE).mean(axis=(1, 3))
    found: NDArray[np.bool_] = share >= 0.5  # noqa: PLR2004 -- half
    return found
