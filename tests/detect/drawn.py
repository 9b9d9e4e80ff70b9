"""Drawn scenes with a known truth: a textured view, light, noise, and things that move in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edged.detect.motion import MotionDetector
from edged.detect.settings import DetectSettings
from edged.model import Frame, Motion

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Picture = NDArray[np.float32]
    Paint = Callable[[Picture, float], Picture]  # a picture and its time in seconds: the picture as it is then

HEIGHT, WIDTH = 180, 320
RATE = 8.0  # pictures a second


@dataclass(frozen=True, kw_only=True, slots=True)
class Square:
    """A patterned square that goes from `start` to `end` (x of its left side, pixels) between two times and stays."""

    start: float
    end: float
    begins: float
    ends: float
    y: int = 90
    side: int = 36

    def x(self, time: float) -> int:
        """Return its left side's x at `time`."""
        share = min(1.0, max(0.0, (time - self.begins) / (self.ends - self.begins)))
        return round(self.start + share * (self.end - self.start))

    def __call__(self, picture: Picture, time: float) -> Picture:
        """Draw it."""
        return patch(picture, self.x(time), self.y, self.side)


def patch(picture: Picture, x: int, y: int, side: int) -> Picture:
    """Draw a patterned square with its left top at (x, y); what lies outside of the view is cut off."""
    left, right = max(0, x), min(WIDTH, x + side)
    if left >= right:
        return picture
    drawn = picture.copy()
    stripes = 40.0 + 120.0 * ((np.arange(side) // 6) % 2)
    drawn[y : y + side, left:right] = np.broadcast_to(stripes[:, None], (side, side))[:, left - x : right - x]
    return drawn


def view(seed: int = 7) -> Picture:
    """Return a view: soft texture at several scales, as a yard or a room has it."""
    random = np.random.default_rng(seed)
    picture = np.full((HEIGHT, WIDTH), 110.0, dtype=np.float32)
    for scale, strength in ((4, 10.0), (12, 14.0), (45, 18.0)):
        grain = random.normal(0.0, strength, (HEIGHT // scale + 1, WIDTH // scale + 1)).astype(np.float32)
        picture += cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return picture


def watch(
    seconds: float,
    *paints: Paint,
    noise: float = 2.0,
    rate: float = RATE,
    settings: DetectSettings | None = None,
    background: Picture | None = None,
) -> list[Motion]:
    """Let a detector watch a scene from a cold start; `paints` change each picture in order, then noise is added."""
    detector = MotionDetector(settings or DetectSettings())
    return [detector.feed(frame) for frame in frames(seconds, *paints, noise=noise, rate=rate, background=background)]


def frames(
    seconds: float,
    *paints: Paint,
    noise: float = 2.0,
    rate: float = RATE,
    start: float = 0.0,
    background: Picture | None = None,
) -> list[Frame]:
    """Draw a scene's pictures."""
    random = np.random.default_rng(1)
    empty = view() if background is None else background
    drawn = []
    for number in range(int(seconds * rate)):
        time = number / rate
        picture = empty
        for paint in paints:
            picture = paint(picture, time)
        noisy = picture + random.normal(0.0, noise, picture.shape)
        luma = np.clip(noisy, 0.0, 255.0).astype(np.uint8)
        drawn.append(Frame(camera="yard", epoch=1, pts=number, mono=start + time, luma=luma))
    return drawn


def moving(motions: list[Motion], start: float = 0.0, end: float = 1e9) -> list[Motion]:
    """Return those from `start` to `end` that show motion."""
    return [motion for motion in motions if motion.regions and start <= motion.mono <= end]
