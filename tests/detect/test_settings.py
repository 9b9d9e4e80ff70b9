"""The section `[cameras.NAME.detect]` refuses what can't work and names the key."""

from __future__ import annotations

from typing import Any

import pytest

from edged.base.config import parse
from edged.base.errors import ConfigError
from edged.detect.settings import DetectSettings

TRIANGLE = [[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]]


def test_the_defaults_are_sound() -> None:
    """An empty section is a valid one."""
    assert parse({}, DetectSettings) == DetectSettings()


def test_polygons_and_quantities_are_read() -> None:
    """Zones are tables of corners, times and shares carry their units."""
    settings = parse({"zones": {"gate": TRIANGLE}, "merge": "10s", "smallest": "1%"}, DetectSettings)
    assert settings.zones == {"gate": ((0.0, 0.0), (1.0, 0.0), (0.5, 1.0))}
    assert (settings.merge, settings.smallest) == (10.0, 0.01)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"zones": {"gate": TRIANGLE[:2]}}, "zones.gate"),
        ({"masks": {"tree": [[0.0, 0.0], [1.2, 0.0], [0.5, 1.0]]}}, "masks.tree"),
        ({"evidence": 6}, "evidence"),
        ({"evidence": 0}, "evidence"),
        ({"smallest": "0%"}, "smallest"),
        ({"merge": "0s"}, "merge"),
        ({"longest": "5s"}, "longest"),
        ({"sensitivity": 3}, "sensitivity"),
    ],
)
def test_what_cant_work_is_refused_by_its_key(data: dict[str, Any], key: str) -> None:
    """The mistake names the key that has to change."""
    with pytest.raises(ConfigError) as caught:
        parse(data, DetectSettings)
    assert [mistake.key for mistake in caught.value.mistakes] == [key]
