"""Changes of the whole view: lamps, the infrared switch, exposure, a camera that starts, a jolt."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TILES = (8, 6)  # columns, rows: a person fills some of them, light most
_MOMENT = 0.35  # seconds between the pictures compared
_STEP = 1.5  # luma steps: above what noise leaves of a tile's mean ...
_SHARE = 0.03  # ... and of its brightness: the eye's own threshold
_MOST = 0.6  # of the tiles in one direction: no thing but the light
_WIDE = 0.5  # of the cells changing at once: a jolt, or a thing that covers the view
_HOLD = 1.0  # seconds until exposure and white balance have followed


class LightWatch:
    """Watches the brightness of the view's tiles."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, NDArray[np.float32]]] = deque()
        self._until = float("-inf")

    def changes(self, picture: NDArray[np.float32], now: float, wide: float) -> bool:
        """Return whether the whole view changes at `now` or just did; `wide` is the share of cells that change."""
        tiles = np.asarray(cv2.resize(picture, _TILES, interpolation=cv2.INTER_AREA), dtype=np.float32)
        self._recent.append((now, tiles))
        while len(self._recent) > 2 and now - self._recent[1][0] >= _MOMENT:  # noqa: PLR2004 -- it and its successor
            self._recent.popleft()
        before = self._recent[0][1]
        limit = np.maximum(_STEP, _SHARE * np.maximum(tiles, before))
        brighter, darker = np.mean(tiles - before > limit), np.mean(before - tiles > limit)
        if max(brighter, darker) > _MOST or wide > _WIDE:
            self._until = now + _HOLD
        return now < self._until
