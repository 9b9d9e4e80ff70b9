"""The `[cameras.NAME.detect]` section: where motion counts, and when it makes an incident."""

from __future__ import annotations

from dataclasses import dataclass, field

from edged.base.config import Duration, Share

Polygon = tuple[tuple[float, float], ...]
_CORNERS = 3  # a polygon's least


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectSettings:
    """How one camera is watched. Polygons are corners [x, y] in fractions of the view, from its top left."""

    enabled: bool = True  # False: the camera records by hand only
    zones: dict[str, Polygon] = field(default_factory=dict)  # motion counts in these alone; none: the whole view
    masks: dict[str, Polygon] = field(default_factory=dict)  # motion never counts in these
    smallest: Share = Share(0.004)  # of the view: smaller things are insects, drops and noise
    frames: int = 5  # of so many analysed frames ...
    evidence: int = 3  # ... this many must show motion to open an incident
    merge: Duration = Duration(8)  # quiet for so long ends it; motion that comes back sooner belongs to it
    post_roll: Duration = Duration(5)  # recorded after the last motion
    longest: Duration = Duration(300)  # then a linked incident continues it, without an alert of its own

    def __post_init__(self) -> None:
        """Refuse what can't work; ValueError names the key."""
        for kind, polygons in (("zones", self.zones), ("masks", self.masks)):
            for name, polygon in polygons.items():
                if len(polygon) < _CORNERS or any(not 0.0 <= value <= 1.0 for corner in polygon for value in corner):
                    raise ValueError(f"{kind}.{name}: needs three corners or more, each [x, y] from 0.0 to 1.0")
        if not 1 <= self.evidence <= self.frames:
            raise ValueError("evidence: must be from 1 to `frames`")
        if not 0.0 < self.smallest < 1.0:
            raise ValueError("smallest: must be above 0% and below 100%")
        if self.merge <= 0.0 or self.post_roll < 0.0:
            raise ValueError("merge: must be longer than 0s, and post_roll not negative")
        if self.longest <= self.merge:
            raise ValueError("longest: must be longer than merge")
