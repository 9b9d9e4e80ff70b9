"""Motion detection over labelled footage: recall, false incidents, quiet time under alarm, delay and CPU.

The footage's own README defines the scoring. Each clip is seen from a cold start and at full speed, through the same
decoding, rate and picture size as the product's. The baseline sees the same pictures: OpenCV's MOG2 (Zivkovic, 2004)
with its shadows off, opened by a 3 x 3 kernel, moving when a blob covers the same least share of the view, behind the
same incident machine.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from statistics import median
from time import thread_time
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from edged.detect.incident import IncidentMachine
from edged.detect.motion import MotionDetector
from edged.detect.settings import DetectSettings
from edged.model import EventKind, Motion, Region
from scripts.benches._footage import Labels, load_labels, luma_frames
from scripts.benches._score import Incident, Score, score
from scripts.benches.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edged.model import Event, Frame

_FOOTAGE = Path(__file__).resolve().parents[2].parent / "shared" / "data"
_SETTINGS = DetectSettings()
_BATCH = 64  # frames for one detector, then for the other: neither pays for the other's use of the caches


class Detector(Protocol):
    """What judges frames: edged's detector or the baseline."""

    def feed(self, frame: Frame) -> Motion:
        """Judge the next frame."""
        ...


class Mog2:
    """The baseline."""

    def __init__(self) -> None:
        self._model = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
        self._kernel = np.ones((3, 3), dtype=np.uint8)

    def feed(self, frame: Frame) -> Motion:
        """Judge the next frame."""
        mask = cv2.morphologyEx(self._model.apply(frame.luma), cv2.MORPH_OPEN, self._kernel)
        boxes = cv2.connectedComponentsWithStats(mask)[2][1:]
        height, width = frame.luma.shape
        regions = tuple(
            Region(x=x / width, y=y / height, w=w / width, h=h / height, zone="")
            for x, y, w, h, area in boxes.tolist()
            if area >= _SETTINGS.smallest * width * height
        )
        return Motion(
            camera=frame.camera,
            mono=frame.mono,
            pts=frame.pts,
            epoch=frame.epoch,
            regions=regions,
            score=float(len(regions)),
            unsettled=False,
        )


class _Watch:
    """A detector behind the incident machine, over one clip."""

    def __init__(self, detector: Detector) -> None:
        self.incidents: list[Incident] = []
        self.frames = 0
        self.cpu = 0.0  # seconds
        self._detector = detector
        self._machine = IncidentMachine("bench", _SETTINGS)
        self._opening = (0.0, 0.0)  # first motion, and when it was told

    def see(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            started = thread_time()
            motion = self._detector.feed(frame)
            self.cpu += thread_time() - started
            self.frames += 1
            self._note(self._machine.feed(motion), frame.mono)

    def end(self, now: float) -> None:
        self._note(self._machine.close(now), now)

    def _note(self, events: Iterable[Event], now: float) -> None:
        for event in events:
            if event.kind is EventKind.OPENED:
                self._opening = (event.mono, now)
            elif event.kind is EventKind.CLOSED:
                self.incidents.append(Incident(start=self._opening[0], end=event.mono, told=self._opening[1]))


def figures(argv: list[str]) -> list[Figure]:
    """Measure over the footage in `argv[0]`, by default the project's; the clips' own lines go to stderr."""
    footage = Path(argv[0]) if argv else _FOOTAGE
    cv2.setNumThreads(1)  # so that a thread's own CPU time is all of it
    total, baseline = _Total(), _Total()
    for labels in load_labels(footage):
        ours, theirs = _Watch(MotionDetector(_SETTINGS)), _Watch(Mog2())
        last = 0.0
        frames = luma_frames(labels.path)
        while batch := list(islice(frames, _BATCH)):
            ours.see(batch)
            theirs.see(batch)
            last = batch[-1].mono
        ours.end(last)
        theirs.end(last)
        line = total.add(labels, ours)
        baseline.add(labels, theirs)
        print(line, file=sys.stderr, flush=True)
    return _figures(total, baseline)


class _Total:
    """The scores of all clips, added up."""

    def __init__(self) -> None:
        self._scores: list[Score] = []
        self._frames = 0
        self._cpu = 0.0

    def add(self, labels: Labels, watch: _Watch) -> str:
        """Take in one clip's result; return it as a line for people."""
        result = score(labels, watch.incidents)
        self._scores.append(result)
        self._frames += watch.frames
        self._cpu += watch.cpu
        missed = "".join(f"  missed {event.start:g} s{' (hard)' if event.hard else ''}" for event in result.missed)
        false = "".join(f"  false {incident.start:.1f}-{incident.end:.1f} s" for incident in result.false)
        delay = f"  delay {median(result.delays):.2f} s" if result.delays else ""
        alarm = 100 * result.alarm_s / result.quiet_s if result.quiet_s else 0.0
        return (
            f"{labels.name:32} {len(result.found)}/{len(result.found) + len(result.missed)} found"
            f"  {len(result.false)} false  {alarm:.2f} % of quiet"
            f"  {1000 * watch.cpu / max(1, watch.frames):.2f} ms{delay}{missed}{false}"
        )

    def recall(self, *, hard: bool | None = None) -> float:
        """Return the share of events found; `hard` picks those marked so, or the others."""
        found = self._count(lambda result: sum(hard in {None, event.hard} for event in result.found))
        missed = self._count(lambda result: sum(hard in {None, event.hard} for event in result.missed))
        return found / (found + missed) if found + missed else 1.0

    def has_hard(self) -> bool:
        """Return whether any event is marked hard."""
        return any(event.hard for result in self._scores for event in (*result.found, *result.missed))

    def false(self) -> float:
        """Return the number of false incidents."""
        return self._count(lambda result: len(result.false))

    def false_per_hour(self) -> float:
        """Return false incidents for an hour of negatives."""
        return 3600 * self.false() / max(1.0, self._count(lambda result: result.negative_s))

    def false_time_percent(self) -> float:
        """Return the share of quiet time under alarm."""
        return 100 * self._count(lambda result: result.alarm_s) / max(1.0, self._count(lambda result: result.quiet_s))

    def delay(self) -> float:
        """Return the median delay from an event's start to the opening it caused."""
        delays = [delay for result in self._scores for delay in result.delays]
        return median(delays) if delays else 0.0

    def cpu_ms(self) -> float:
        """Return milliseconds of CPU per analysed frame."""
        return 1000 * self._cpu / max(1, self._frames)

    def _count(self, of: Callable[[Score], float]) -> float:
        return sum(of(result) for result in self._scores)


def _figures(ours: _Total, mog2: _Total) -> list[Figure]:
    table: list[tuple[str, str, float, float, str]] = [
        ("recall", "", ours.recall(), mog2.recall(), "0.95 or more"),
        ("false", "incidents", ours.false(), mog2.false(), "1 at most"),
        ("false_per_hour", "1/h", ours.false_per_hour(), mog2.false_per_hour(), "2.4 at most"),
        ("false_time_percent", "%", ours.false_time_percent(), mog2.false_time_percent(), "under 1"),
        ("delay_median_s", "s", ours.delay(), mog2.delay(), "under 1"),
        ("cpu_ms_per_frame", "ms", ours.cpu_ms(), mog2.cpu_ms(), "under 0.5"),
    ]
    if ours.has_hard():
        table.insert(1, ("recall_hard", "", ours.recall(hard=True), mog2.recall(hard=True), ""))
    return [
        Figure(
            figure=f"detect.{name}",
            value=value,
            unit=unit,
            baseline=baseline,
            ratio=value / baseline if baseline else None,
            aim=aim,
        )
        for name, unit, value, baseline, aim in table
    ]
