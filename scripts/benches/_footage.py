"""Labelled footage: its annotations, and its pictures as the product's analysis sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import av

from edged.capture.analysis import Picker, shrink
from edged.capture.decoder import luma_plane
from edged.capture.settings import CameraSettings
from edged.model import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

_RATE = float(next(str(field.default) for field in fields(CameraSettings) if field.name == "analysis_rate"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A time of a clip, in seconds from its first picture; `hard` marks events shown apart as well."""

    start: float
    end: float
    hard: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """What is known of a clip."""

    name: str
    path: Path
    seconds: float
    quiet_lead: float
    events: tuple[Span, ...]
    ambiguous: tuple[Span, ...]
    negatives: tuple[Span, ...]


def load_labels(folder: Path) -> list[Labels]:
    """Read `annotations.json` of `folder`."""
    clips: dict[str, dict[str, Any]] = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    return [
        Labels(
            name=name,
            path=folder / clip["file"],
            seconds=float(clip["duration_s"]),
            quiet_lead=float(clip.get("quiet_lead_s", 0.0)),
            events=_spans(clip.get("events", [])),
            ambiguous=_spans(clip.get("ambiguous", [])),
            negatives=_spans(clip.get("negatives", [])),
        )
        for name, clip in clips.items()
    ]


def luma_frames(path: Path) -> Iterator[Frame]:
    """Decode the clip and yield the pictures that the analysis gets; `mono` counts seconds from the first."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        picker = Picker(_RATE)
        first: float | None = None
        for number, picture in enumerate(container.decode(stream)):
            # some old AVI files carry no time stamps
            time = number / float(stream.average_rate or 25) if picture.pts is None else float(picture.time)
            first = time if first is None else first
            if picker.take(time):
                planar = picture if picture.format.is_planar else picture.reformat(format="gray")
                yield Frame(camera="bench", epoch=1, pts=number, mono=time - first, luma=shrink(luma_plane(planar)))


def _spans(entries: list[dict[str, Any]]) -> tuple[Span, ...]:
    return tuple(
        Span(start=float(entry["start"]), end=float(entry["end"]), hard=bool(entry.get("hard"))) for entry in entries
    )
