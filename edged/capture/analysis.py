"""From a full luma plane to the small picture that detection looks at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIXELS = 320 * 180  # enough for a person at twenty metres, cheap enough for ten frames a second on a Pi


def analysis_size(width: int, height: int, pixels: int = PIXELS) -> tuple[int, int]:
    """Return width and height of at most `pixels` pixels with the aspect of `width` x `height`, never enlarged."""
    factor = min(1.0, math.sqrt(pixels / (width * height)))
    small = max(1, int(width * factor)), max(1, int(height * factor))
    return small if factor < 1.0 else (width, height)


def shrink(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the read-only analysis picture of a luma plane, shape (height, width): each pixel the mean of its area.

    The mean over an area takes most of the sensor's noise away, which plain subsampling would keep.
    """
    height, width = plane.shape
    small = np.asarray(cv2.resize(plane, analysis_size(width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if small.base is not None or np.shares_memory(small, plane):
        small = small.copy()
    small.flags.writeable = False
    return small


class Picker:
    """Chooses from pictures that come at any rate those that are due at `rate` a second."""

    def __init__(self, rate: float) -> None:
        self._interval = 1.0 / rate
        self._due = -math.inf

    def take(self, seconds: float) -> bool:
        """Return whether the picture at `seconds` of the stream is due."""
        late = seconds - self._due
        if -2 * self._interval < late < -self._interval / 4:  # a quarter early is due: source rates are no multiples
            return False
        on_time = abs(late) <= self._interval
        self._due = self._due + self._interval if on_time else seconds + self._interval
        return True
