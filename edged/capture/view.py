"""What a camera looks at: learnt as edges, so that a lens that was covered, or a camera that was moved, shows.

A picture becomes the strength of its edges, which lamps, dusk and the infrared switch change little. Where the learnt
view has edges, block by block, the newest pictures are compared with it by zero-mean normalised cross-correlation: what
passes or is put down changes some blocks, a hand or another direction nearly all. Block-wise voting, so that a date
that the camera writes into its pictures saves nobody; a slow reference against a quick one as in camera tamper
detection (Ribnick et al., 2006; Saglam and Temizel, 2009). Measured by `./scripts/bench view`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Edges = NDArray[np.float32]

_SIZE = (96, 54)  # of the working picture: noise is averaged away, the edges of walls and furniture stay
_BLOCKS = (8, 6)  # columns, rows
_EVERY = 0.5  # seconds between two looks
_SOFT = 6.0  # luma steps a pixel: an edge of that strength counts half, so that strong ones do not drown the others
_RECENT = 6  # looks that are averaged: who walks by is blurred
_LEARN = 300.0  # seconds over which the view is learnt: the sun moves, a chair is put elsewhere
_SETTLE = 20.0  # seconds of pictures before anything is judged
_TEXTURED = 0.12  # of mean edge strength: a block with less has nothing to be missed
_ENOUGH = 8  # of the blocks: a view without edges, as in fog, can't be told from another
_ALIKE = 0.4  # correlation below which a block is not what it was: other views' blocks come to 0 +- 0.1
_FADED = 0.3  # of a block's learnt strength: what is left under a hand, or in a blur
_GONE = 0.5  # of the textured blocks: the view is another
_PARTLY = 0.4  # of them: too much is in the way to learn from
_FLAT = 0.4  # of the learnt edges' strength: less is left of them under a cover
_ACCEPTED = 3600.0  # seconds after which another view that has edges is taken for the usual one


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """How the view is: another since `since` (mono; None while it is the usual one), with nothing in it if `flat`."""

    since: float | None = None
    flat: bool = False


USUAL = View()


class ViewWatch:
    """Watches one camera's view, over all its openings. `usual` is the present verdict."""

    def __init__(self) -> None:
        self.view = USUAL
        self._learnt: Edges | None = None
        self._recent: deque[Edges] = deque(maxlen=_RECENT)
        self._seen = 0.0  # seconds of pictures learnt from
        self._looked = float("-inf")

    def see(self, luma: NDArray[np.uint8], now: float) -> None:
        """Look at a picture, uint8 of shape (height, width), that is not dark."""
        if now - self._looked < _EVERY:
            return
        elapsed = min(now - self._looked, 2 * _EVERY)
        self._looked = now
        self._recent.append(_edges(luma))
        recent = np.asarray(np.mean(self._recent, axis=0), dtype=np.float32)
        if self._learnt is None:
            self._learnt = recent
            return
        missing = _missing(self._learnt, recent)
        if self._seen >= _SETTLE and missing > _GONE:
            self._miss(self._learnt, recent, now)
            return
        self.view = USUAL
        if self._seen < _SETTLE or missing < _PARTLY:
            self._seen += elapsed
            cv2.accumulateWeighted(recent, self._learnt, elapsed / min(max(self._seen, 1.0), _LEARN))

    def _miss(self, learnt: Edges, recent: Edges, now: float) -> None:
        since = now if self.view.since is None else self.view.since
        flat = float(recent.mean()) < _FLAT * float(learnt.mean())
        self.view = View(since=since, flat=flat)
        if now - since > _ACCEPTED and not flat:
            self._learnt, self._seen, self.view = None, 0.0, USUAL


def _edges(luma: NDArray[np.uint8]) -> Edges:
    small = cv2.resize(luma, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
    across, down = cv2.Sobel(small, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(small, cv2.CV_32F, 0, 1, scale=0.125)
    strength = cv2.magnitude(across, down)
    return np.asarray(strength / (strength + _SOFT), dtype=np.float32)


def _missing(learnt: Edges, recent: Edges) -> float:
    """Return the share of the blocks with edges in which these are no longer; 0.0 where there are too few to tell."""
    old, new = _blocks(learnt), _blocks(recent)
    textured = old.mean(axis=1) > _TEXTURED
    if int(textured.sum()) < _ENOUGH:
        return 0.0
    old, new = old[textured], new[textured]
    faded = new.mean(axis=1) < _FADED * old.mean(axis=1)
    old, new = old - old.mean(axis=1, keepdims=True), new - new.mean(axis=1, keepdims=True)
    norm = np.sqrt((old * old).sum(axis=1) * (new * new).sum(axis=1)) + 1e-6
    return float(np.mean(faded | ((old * new).sum(axis=1) / norm < _ALIKE)))


def _blocks(edges: Edges) -> Edges:
    """Return the pixels of each block as a row."""
    (columns, rows), (width, height) = _BLOCKS, _SIZE
    parts = edges.reshape(rows, height // rows, columns, width // columns)
    return parts.transpose(0, 2, 1, 3).reshape(rows * columns, -1)
