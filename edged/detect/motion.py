"""Motion on small luma pictures: what differs from the learned background and changes right now.

Each picture is normalised locally (its mean taken off, divided by its spread in a window around each pixel), so that
light which rises, falls or drifts smoothly leaves no trace while things that hide the background's texture do. A pixel
moves when it differs both from the background (slow, learned) and from the picture a moment ago: a shadow that stays,
a thing that was put down or the hole that a car leaves does not change any more and is learned within seconds. Cells
that start to move again and again (foliage, rain, water) are set aside; a change of the whole view (lamps, infrared
switch, exposure, a camera that starts) withholds all until it is over. What is left must be of a size and seen again.

Sources of the parts: running mean and deviation per pixel as in sigma-delta estimation (Manzanera and Richefeu, 2007);
local normalisation as a light-invariant measure as in normalised cross-correlation (Jacques et al., 2005); the noise
from the median of differences (Donoho and Johnstone, 1994). Calibrated on labelled footage by `./scripts/bench detect`;
each constant has slack to both sides.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edged.detect.light import LightWatch
from edged.detect.things import Thing, Things
from edged.detect.zones import ZoneMap
from edged.model import Motion, Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edged.detect.settings import DetectSettings
    from edged.model import Frame

    Picture = NDArray[np.float32]
    Cells = NDArray[np.bool_]
    Mask = NDArray[np.uint8]  # 0 or 255

_PIXELS = (
    14_400  # of the working picture (160 x 90): averaging halves the noise, and a cell still shows a child far off
)
_CELL = 5  # pixels a side: 0.17 % of the view, the grain of a person's outline
_WINDOW = 19  # pixels: about an eighth of the view, larger than a limb and smaller than a room's shading
_SOFTNESS = 4.0  # luma steps added to the spread, so that a flat wall's noise is not blown up ...
_NOISES = 4.0  # ... or so many times the sensor's noise: normalised noise then stays under a quarter
_DIFFERENT = 0.65  # in normalised units: two thirds of the local spread, nearly three times the largest noise
_DEVIATIONS = 2.5  # and so many times the pixel's own mean deviation: a leaf has to leave its usual play
_DENSITY = 0.4  # of a cell's pixels: noise is sparse, things are dense
_MOMENT = 0.35  # seconds between the pictures compared: a slow walker moves a pixel or two
_GAP = 3.0  # seconds without a picture (or back in time), after which the view may be another
_SETTLED = 1.0  # seconds from the first picture, in which the background is a plain mean
_LEARN = 4.0  # seconds in which the background follows what is not different: drifting sun, dusk
_LEARN_DIFFERENT = 30.0  # seconds in which it follows what differs and moves: a person is not learned while passing
_STILL = 2.0  # seconds after which what differs without changing is learned as fast as this, too
_LEARN_ALL = 0.5  # seconds in which it follows everything while the whole view changes
_LEARN_DEVIATION = 8.0  # seconds: some periods of a branch in the wind
_LARGEST_DEVIATION = 1.5  # one passing thing must not make its way insensitive
_RESTLESS = 20.0  # seconds over which the starts of a cell's motion are counted
_STARTS = 3.0  # more starts than this are foliage, rain or water: a passer-by is one
_MEDIAN_TO_SIGMA = 1.4826 / 1.33  # median of |difference| to sigma; 1.33: difference of two high-passed pictures


@dataclass(slots=True)
class _Model:
    """What is learned of a view: arrays of the working picture's shape, and of the grid's."""

    since: float  # mono of the first picture
    last: float  # mono of the newest
    normal: Picture  # the background, normalised
    deviation: Picture  # mean absolute deviation from it
    still: Picture  # seconds for which a pixel has differed without changing
    fine: Picture  # the newest picture, high-passed, to measure noise by
    noise: float  # sigma in luma steps
    starts: NDArray[np.float64]  # of each cell's motion, counted with decay
    moving: Cells  # in the newest picture
    zones: ZoneMap


class MotionDetector:
    """Judges one camera's frames, in order. Another size of picture, or a gap, starts anew."""

    def __init__(self, settings: DetectSettings) -> None:
        self._settings = settings
        self._model: _Model | None = None
        self._recent: deque[tuple[float, Picture]] = deque()
        self._light = LightWatch()
        self._things = Things()

    def adopt(self, settings: DetectSettings) -> None:
        """Go by other zones, masks and sizes from the next frame on; what was learned of the view stays."""
        self._settings = settings
        if self._model is not None:
            self._model.zones = ZoneMap(settings.zones, settings.masks, self._model.moving.shape)

    def feed(self, frame: Frame) -> Motion:
        """Judge the next frame; pure NumPy and OpenCV, meant for a thread."""
        picture = _working_picture(frame.luma)
        model = self._model
        if model is None or model.normal.shape != picture.shape:
            self._begin(picture, frame.mono)
            return _motion(frame, (), 0.0, unsettled=True)
        elapsed = min(max(frame.mono - model.last, 0.01), 1.0)  # time that stands still must not stop the learning
        if abs(frame.mono - model.last) > _GAP:
            self._settle_again(model, frame.mono)
        model.last = frame.mono
        _learn_noise(model, picture, elapsed)
        normal = _normalise(picture, max(_SOFTNESS, _NOISES * model.noise))
        difference = np.abs(normal - model.normal)
        limit = np.maximum(model.deviation * _DEVIATIONS, _DIFFERENT)
        different = _above(difference, limit)
        changing = _above(np.abs(normal - self._moment_ago(frame.mono, normal)), limit)
        moving = _dense(different & changing, model.moving.shape)
        wide = float(np.mean(_dense(changing, model.moving.shape)))
        unsettled = self._light.changes(picture, frame.mono, wide) or frame.mono - model.since < _SETTLED
        _learn(model, normal, difference, different, changing, elapsed=elapsed, all_of_it=unsettled)
        restless = _count_starts(model, moving, elapsed)
        things = self._things.follow(moving & ~restless & model.zones.counts, frame.mono, self._settings.smallest)
        if unsettled:
            return _motion(frame, (), 0.0, unsettled=True)
        regions = tuple(_region(thing, model.zones) for thing in things)
        return _motion(frame, regions, sum(map(_score, things)), unsettled=False)

    def _begin(self, picture: Picture, now: float) -> None:
        rows, columns = (max(1, side // _CELL) for side in picture.shape)
        normal = _normalise(picture, _SOFTNESS)
        self._model = _Model(
            since=now,
            last=now,
            normal=normal,
            deviation=np.zeros_like(picture),
            still=np.zeros_like(picture),
            fine=_high_pass(picture),
            noise=1.0,
            starts=np.zeros((rows, columns)),
            moving=np.zeros((rows, columns), dtype=bool),
            zones=ZoneMap(self._settings.zones, self._settings.masks, (rows, columns)),
        )
        self._recent = deque([(now, normal)])
        self._light = LightWatch()
        self._things = Things()

    def _settle_again(self, model: _Model, now: float) -> None:
        """Learn the view anew after a gap, but remember where it is restless."""
        model.since = now
        self._recent.clear()
        self._light = LightWatch()
        self._things = Things()

    def _moment_ago(self, now: float, normal: Picture) -> Picture:
        """Return the newest picture that is at least a moment old, or the oldest there is; keep `normal`."""
        self._recent.append((now, normal))
        while len(self._recent) > 2 and now - self._recent[1][0] >= _MOMENT:  # noqa: PLR2004 -- it and its successor
            self._recent.popleft()
        return self._recent[0][1]


def _working_picture(luma: NDArray[np.uint8]) -> Picture:
    height, width = luma.shape
    scale = min(1.0, math.sqrt(_PIXELS / (height * width)))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _normalise(picture: Picture, softness: float) -> Picture:
    mean = cv2.blur(picture, (_WINDOW, _WINDOW))
    variance = cv2.sqrBoxFilter(picture, cv2.CV_32F, (_WINDOW, _WINDOW)) - cv2.multiply(mean, mean)
    spread = np.sqrt(np.maximum(variance, 0.0)) + softness
    return np.asarray((picture - mean) / spread, dtype=np.float32)


def _above(values: Picture, limit: Picture) -> Mask:
    return np.asarray(cv2.compare(values, limit, cv2.CMP_GT), dtype=np.uint8)


def _high_pass(picture: Picture) -> Picture:
    """Return every second pixel of every second row, less its neighbours' mean: sample enough for a median."""
    return np.ascontiguousarray((picture - cv2.blur(picture, (3, 3)))[::2, ::2])


def _learn_noise(model: _Model, picture: Picture, elapsed: float) -> None:
    """Measure the sensor's noise: it rises at once (gain goes up in the dark) and falls within a second."""
    fine = _high_pass(picture)
    sigma = _MEDIAN_TO_SIGMA * float(np.median(np.abs(fine - model.fine)))
    model.fine = fine
    model.noise = max(sigma, model.noise + (sigma - model.noise) * elapsed)


def _dense(pixels: Mask, shape: tuple[int, ...]) -> Cells:
    """Return the cells of a grid of `shape` in which the share of `pixels` is that of a thing."""
    share = cv2.resize(pixels, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(share > _DENSITY * 255)


def _learn(
    model: _Model,
    normal: Picture,
    difference: Picture,
    different: Mask,
    changing: Mask,
    *,
    elapsed: float,
    all_of_it: bool,
) -> None:
    """Let background and deviation follow the newest picture; `all_of_it` where the whole view changes."""
    age = model.last - model.since
    model.still = (model.still + np.float32(elapsed)) * ((different & ~changing) > 0)
    if age < _SETTLED:
        cv2.accumulateWeighted(normal, model.normal, elapsed / max(age, elapsed))
    elif all_of_it:
        cv2.accumulateWeighted(normal, model.normal, min(1.0, elapsed / _LEARN_ALL))
    else:
        lasting = _above(model.still, np.full_like(model.still, _STILL))
        cv2.accumulateWeighted(normal, model.normal, elapsed / _LEARN, ~different)
        cv2.accumulateWeighted(normal, model.normal, elapsed / _LEARN_DIFFERENT, different & ~lasting)
        cv2.accumulateWeighted(normal, model.normal, min(1.0, elapsed / _STILL), lasting)
    bounded = np.minimum(difference, _LARGEST_DEVIATION)
    cv2.accumulateWeighted(bounded, model.deviation, elapsed / _LEARN_DEVIATION)


def _count_starts(model: _Model, moving: Cells, elapsed: float) -> Cells:
    """Return the cells that are restless: their motion started too often of late."""
    model.starts *= math.exp(-elapsed / _RESTLESS)
    model.starts += moving & ~model.moving
    model.moving = moving
    return model.starts > _STARTS


def _region(thing: Thing, zones: ZoneMap) -> Region:
    return Region(x=thing.x, y=thing.y, w=thing.w, h=thing.h, zone=zones.zone_of(thing.cells))


def _score(thing: Thing) -> float:
    """Return how good a picture of the thing this is: its area, up to halved towards the view's corners."""
    off = math.hypot(thing.x + thing.w / 2 - 0.5, thing.y + thing.h / 2 - 0.5) / math.hypot(0.5, 0.5)
    return thing.area * (1.0 - 0.5 * off)


def _motion(frame: Frame, regions: tuple[Region, ...], score: float, *, unsettled: bool) -> Motion:
    return Motion(
        camera=frame.camera,
        mono=frame.mono,
        pts=frame.pts,
        epoch=frame.epoch,
        regions=regions,
        score=score,
        unsettled=unsettled,
    )
