"""Changes of the whole view."""

from __future__ import annotations

import numpy as np
import pytest

from edged.detect.light import LightWatch

BRIGHT = np.full((90, 160), 120.0, dtype=np.float32)


def test_a_step_of_the_light_is_a_change_for_a_second() -> None:
    """From the step on, and until exposure and white balance have followed."""
    light = LightWatch()
    told = [light.changes(BRIGHT * np.float32(1.0 if time < 16 else 0.8), time / 8, 0.0) for time in range(48)]
    assert not any(told[:16])
    assert told[16]
    assert 8 <= sum(told) <= 12
    assert not any(told[30:])


@pytest.mark.parametrize("factor", [0.99, 1.02])
def test_a_faint_step_is_none(factor: float) -> None:
    """What the eye would not see is left to the normalisation."""
    light = LightWatch()
    assert not any(light.changes(BRIGHT * np.float32(1.0 if time < 8 else factor), time / 8, 0.0) for time in range(24))


def test_a_step_below_the_noise_is_none() -> None:
    """In the dark one luma step is a tenth of the light, and no more than rounding and gain make."""
    light = LightWatch()
    dark = np.full((90, 160), 10.0, dtype=np.float32)
    assert not any(light.changes(dark + np.float32(time % 2), time / 8, 0.0) for time in range(24))


def test_a_thing_that_fills_half_the_view_is_none() -> None:
    """Somebody close to the camera darkens a half, not the whole."""
    light = LightWatch()
    near = BRIGHT.copy()
    near[:, 80:] = 30.0
    assert not any(light.changes(BRIGHT if time < 8 else near, time / 8, 0.3) for time in range(24))


def test_most_of_the_cells_at_once_are_a_change() -> None:
    """A jolt, or a hand on the lens, moves everything without a change of brightness."""
    light = LightWatch()
    assert not light.changes(BRIGHT, 0.0, 0.0)
    assert light.changes(BRIGHT, 0.1, 0.8)
    assert light.changes(BRIGHT, 1.0, 0.0)
    assert not light.changes(BRIGHT, 1.2, 0.0)


def test_slow_light_is_none() -> None:
    """Dusk falls by less than the eye's threshold in a moment."""
    light = LightWatch()
    assert not any(light.changes(BRIGHT * np.float32(1.0 - time / 800), time / 8, 0.0) for time in range(400))
