"""The `[cameras.NAME.pi]` section: what is asked of a Raspberry Pi's sensor, and how libcamera is told.

Left at its default a setting is left to libcamera's own algorithms. Names and numbers of the controls are those of
libcamera's control_ids (core and draft), which picamera2 passes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edged.base.config import Duration

if TYPE_CHECKING:
    from collections.abc import Container

_MICRO = 1_000_000
_WHITE = ("auto", "incandescent", "tungsten", "fluorescent", "indoor", "daylight", "cloudy")  # AwbMode, from 0
_EXPOSURE = ("normal", "short", "long")  # AeExposureMode, from 0
_NOISE = ("off", "fast", "high_quality", "minimal")  # NoiseReductionMode, from 0
_HDR = {"multi": 2, "single": 3, "night": 4}  # HdrMode
_MANUAL, _CONTINUOUS = 0, 2  # AfMode
_LONGEST = 200.0  # seconds of exposure, the most of any Raspberry Pi sensor
_HIGHEST_GAIN = 64.0
_EV = 8.0
_NEAREST = 32.0  # dioptres


@dataclass(frozen=True, kw_only=True, slots=True)
class PiSettings:
    """A Raspberry Pi's sensor."""

    rotation: Literal[0, 180] = 0  # degrees, for a camera that hangs upside down
    hflip: bool = False  # mirror left to right
    vflip: bool = False  # mirror top to bottom
    exposure: Literal["normal", "short", "long"] = "normal"  # what automatic exposure prefers
    shutter: Duration = Duration(0)  # exposure time; "0s": automatic
    gain: float = 0.0  # analogue gain from 1; 0: automatic
    ev: float = 0.0  # brighter or darker than automatic exposure would have it, in stops
    white: Literal["auto", "incandescent", "tungsten", "fluorescent", "indoor", "daylight", "cloudy"] = "auto"
    white_gains: tuple[float, ...] = ()  # of red and blue, instead of `white`
    focus: Literal["auto", "manual"] = "auto"  # of a sensor with a lens that moves
    distance: float = 0.0  # manual focus, in dioptres: 1 / metres; 0 is infinity
    noise: Literal["auto", "off", "fast", "high_quality", "minimal"] = "auto"  # reduction of it
    hdr: Literal["off", "single", "multi", "night"] = "off"  # where the sensor or the Pi 5 has it
    night_rate: float = 0.0  # frames a second in low light, so that exposure may be longer; 0: always `rate`
    tuning: Path | None = None  # libcamera's tuning file of another lens or of a sensor without infrared filter

    def __post_init__(self) -> None:
        """Refuse what no sensor does; ValueError names the key."""
        if not 0 <= self.shutter <= _LONGEST:
            raise ValueError(f"shutter: must be between 0s and {_LONGEST:g}s")
        if self.gain and not 1 <= self.gain <= _HIGHEST_GAIN:
            raise ValueError(f"gain: must be between 1 and {_HIGHEST_GAIN:g}, or 0 for automatic")
        if abs(self.ev) > _EV:
            raise ValueError(f"ev: must be between -{_EV:g} and {_EV:g}")
        if self.white_gains and (len(self.white_gains) != 2 or min(self.white_gains) <= 0):  # noqa: PLR2004
            raise ValueError("white_gains: must be two figures above 0, of red and of blue: [1.8, 1.5]")
        if self.white_gains and self.white != "auto":
            raise ValueError("white_gains: stands instead of `white`; leave one of them out")
        if not 0 <= self.distance <= _NEAREST:
            raise ValueError(f"distance: must be between 0 (infinity) and {_NEAREST:g} dioptres (3 cm)")
        if self.distance and self.focus != "manual":
            raise ValueError('distance: is for focus = "manual"')
        if self.night_rate < 0:
            raise ValueError("night_rate: must be above 0, or 0 for always `rate`")

    @property
    def mirrored(self) -> tuple[bool, bool]:
        """Whether the picture is mirrored left to right and top to bottom, the rotation included."""
        turned = self.rotation != 0
        return self.hflip != turned, self.vflip != turned


def controls(settings: PiSettings, rate: float) -> dict[str, Any]:
    """Return what libcamera is told for a camera of `rate` frames a second: its controls by name."""
    shortest = round(_MICRO / rate)
    longest = round(_MICRO / settings.night_rate) if settings.night_rate else shortest
    told: dict[str, Any] = {"FrameDurationLimits": (shortest, max(shortest, longest))}
    if settings.exposure != "normal":
        told["AeExposureMode"] = _EXPOSURE.index(settings.exposure)
    if settings.shutter:
        told["ExposureTime"] = round(_MICRO * settings.shutter)
    if settings.gain:
        told["AnalogueGain"] = settings.gain
    if settings.ev:
        told["ExposureValue"] = settings.ev
    told |= _white(settings) | _focus(settings)
    if settings.noise != "auto":
        told["NoiseReductionMode"] = _NOISE.index(settings.noise)
    if settings.hdr != "off":
        told["HdrMode"] = _HDR[settings.hdr]
    return told


def _white(settings: PiSettings) -> dict[str, Any]:
    if settings.white_gains:
        return {"ColourGains": settings.white_gains}
    return {} if settings.white == "auto" else {"AwbMode": _WHITE.index(settings.white)}


def _focus(settings: PiSettings) -> dict[str, Any]:
    if settings.focus == "manual":
        return {"AfMode": _MANUAL, "LensPosition": settings.distance}
    return {"AfMode": _CONTINUOUS}


def unknown(told: dict[str, Any], settings: PiSettings, known: Container[str]) -> tuple[str, ...]:
    """Return the controls that were asked for and that the camera, which has those `known`, lacks.

    A lens that does not move needs no focus: continuous focus is asked of those that have it alone.
    """
    optional = {"AfMode"} if settings.focus == "auto" else set()
    return tuple(name for name in told if name not in known and name not in optional)
