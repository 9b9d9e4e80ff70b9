"""A drawn scene with a known truth: a room, a figure that crosses it, a lamp, a sensor's noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edged.capture.settings import SyntheticSettings

_DIM = 0.6  # of the bright lamp's light
_TILES = 4  # noise patterns made ahead: fresh noise for each picture would cost more than encoding it


class Scene:
    """Luma pictures of `width` x `height` at any time from the start; the same seed draws the same scene."""

    def __init__(self, settings: SyntheticSettings, width: int, height: int) -> None:
        self._settings = settings
        self._width, self._height = width, height
        rng = np.random.default_rng(settings.seed)
        self._room = _room(rng, width, height)
        self._noise = np.empty((_TILES, height, width), np.int8)
        for tile in self._noise:  # one by one: made at once they would take a hundred megabytes for a moment
            drawn = rng.standard_normal((height, width), np.float32) * settings.noise
            tile[:] = np.clip(np.rint(drawn), -127, 127)
        self._order = rng.permutation(1 << 12) % _TILES

    def walker(self, seconds: float) -> tuple[float, float, float, float] | None:
        """Return the figure at `seconds` as x, y, w, h in fractions of the view; None while nobody is there."""
        into = seconds % self._settings.period
        for start in self._settings.walks:
            share = (into - start) / self._settings.walk
            if 0.0 <= share < 1.0:
                return -0.1 + 1.1 * share, 0.35, 0.1, 0.5
        return None

    def light(self, seconds: float) -> float:
        """Return the lamp's light at `seconds`, as a share of its brightest."""
        rounds, into = divmod(seconds, self._settings.period)
        switched = int(rounds) * len(self._settings.lamps) + sum(into >= instant for instant in self._settings.lamps)
        return _DIM if switched % 2 else 1.0

    def draw(self, number: int, seconds: float) -> NDArray[np.uint8]:
        """Return picture `number`, at `seconds`: uint8, shape (height, width), in the video range 16 to 235."""
        picture = self._room * self.light(seconds)
        if (box := self.walker(seconds)) is not None:
            self._draw_walker(picture, box, self.light(seconds))
        # each picture has noise of its own: the tile and its shift together do not repeat within hours
        noise = np.roll(self._noise[self._order[number % self._order.size]], number * 7919, axis=None)
        drawn: NDArray[np.uint8] = np.clip(picture + noise, 16, 235).astype(np.uint8)
        return drawn

    def _draw_walker(self, picture: NDArray[np.float32], box: tuple[float, float, float, float], light: float) -> None:
        x, y, w, h = box
        left, right = max(0, round(x * self._width)), max(0, round((x + w) * self._width))
        top, bottom = round(y * self._height), round((y + h) * self._height)
        head = top + (bottom - top) // 5
        inset = (right - left) // 4
        picture[head:bottom, left:right] = 60.0 * light
        picture[top:head, left + inset : max(left + inset, right - inset)] = 170.0 * light


def _room(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Draw wall, floor, a door and some furniture, with a texture that light and noise act on."""
    room = np.empty((height, width), np.float32)
    floor = round(height * 0.7)
    room[:floor] = np.linspace(150, 120, width, dtype=np.float32)
    room[floor:] = np.linspace(90, 110, height - floor, dtype=np.float32)[:, None]
    room[round(height * 0.2) : floor, round(width * 0.7) : round(width * 0.85)] = 80
    for _ in range(12):
        x, y = rng.integers(0, width - width // 8), rng.integers(0, height - height // 8)
        w, h = rng.integers(width // 40, width // 8), rng.integers(height // 40, height // 8)
        room[y : y + h, x : x + w] += rng.uniform(-30, 30)
    return room
