from __future__ import annotations

from typing import Any

import pytest

from edged.base.config import Duration, parse
from edged.base.errors import ConfigError
from edged.capture.pisettings import PiSettings, controls, unknown
from edged.capture.settings import CameraSettings


@pytest.mark.parametrize(
    ("section", "word"),
    [
        ({"rotation": 90}, "rotation"),
        ({"shutter": "300s"}, "shutter"),
        ({"gain": 0.5}, "gain"),
        ({"ev": 9.0}, "ev"),
        ({"white_gains": [1.0]}, "white_gains"),
        ({"white_gains": [1.0, 0.0]}, "white_gains"),
        ({"white_gains": [1.8, 1.5], "white": "indoor"}, "white_gains"),
        ({"distance": 2.0}, "distance"),
        ({"distance": 40.0, "focus": "manual"}, "distance"),
        ({"night_rate": -1.0}, "night_rate"),
        ({"night_rate": 30.0}, "night_rate"),
        ({"night_rate": 0.5}, "night_rate"),
        ({"shutter": "100ms"}, "shutter"),
        ({"shutter": "600ms", "night_rate": 2.0}, "shutter"),
    ],
)
def test_what_no_sensor_does_is_refused(section: dict[str, Any], word: str) -> None:
    """The mistake names its key."""
    with pytest.raises(ConfigError, match=word):
        parse({"source": "picamera", "pi": section}, CameraSettings)


def test_long_exposures_need_the_time_for_them() -> None:
    """A camera that is given less than a picture a second is waited for accordingly."""
    slow = {"source": "picamera", "read_timeout": "6s", "health": {"silence": "5s"}}
    asked = parse({**slow, "pi": {"shutter": "2s", "night_rate": 0.4}}, CameraSettings).pi
    assert controls(asked, 15.0)["ExposureTime"] == 2_000_000


def test_only_a_pi_camera_has_the_section() -> None:
    """On another source it would do nothing."""
    with pytest.raises(ConfigError, match="pi"):
        parse({"source": "synthetic", "pi": {"hflip": True}}, CameraSettings)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (PiSettings(), {}),
        (PiSettings(exposure="short", ev=-1.0), {"AeExposureMode": 1, "ExposureValue": -1.0}),
        (PiSettings(shutter=Duration(0.01), gain=4.0), {"ExposureTime": 10_000, "AnalogueGain": 4.0}),
        (PiSettings(white="cloudy"), {"AwbMode": 6}),
        (PiSettings(white_gains=(1.8, 1.5)), {"ColourGains": (1.8, 1.5)}),
        (PiSettings(focus="manual", distance=0.5), {"AfMode": 0, "LensPosition": 0.5}),
        (PiSettings(noise="high_quality", hdr="night"), {"NoiseReductionMode": 2, "HdrMode": 4}),
        (PiSettings(night_rate=2.0), {"FrameDurationLimits": (100_000, 500_000)}),
    ],
)
def test_each_setting_is_told_as_libcamera_has_it(asked: PiSettings, told: dict[str, Any]) -> None:
    """Only what was asked for is told: the rest is left to libcamera's own algorithms."""
    always = {"FrameDurationLimits": (100_000, 100_000), "AfMode": 2}
    assert controls(asked, 10.0) == {**always, **told}


def test_only_focus_that_nobody_asked_for_may_be_lacking() -> None:
    """A lens that does not move is no fault; a setting without effect is one."""
    assert unknown(controls(PiSettings(), 10.0), PiSettings(), {"FrameDurationLimits"}) == ()
    asked = PiSettings(focus="manual", hdr="single")
    assert unknown(controls(asked, 10.0), asked, {"FrameDurationLimits", "LensPosition"}) == ("AfMode", "HdrMode")


@pytest.mark.parametrize(
    ("asked", "mirrored"),
    [
        (PiSettings(), (False, False)),
        (PiSettings(rotation=180), (True, True)),
        (PiSettings(rotation=180, hflip=True), (False, True)),
        (PiSettings(vflip=True), (False, True)),
    ],
)
def test_half_a_turn_is_both_mirrors(asked: PiSettings, mirrored: tuple[bool, bool]) -> None:
    """A sensor can't turn its picture, but half a turn is a mirror each way."""
    assert asked.mirrored == mirrored
