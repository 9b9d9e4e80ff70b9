"""The section [record]: sound by default, and what can't work is refused by name."""

from __future__ import annotations

import pytest

from edged.base.config import parse
from edged.base.errors import ConfigError
from edged.record.settings import RecordSettings


def test_the_defaults_are_those_of_the_design() -> None:
    """Five seconds before, parts of thirty, half a second at risk."""
    settings = parse({}, RecordSettings)
    assert (settings.pre_roll, settings.part, settings.fragment) == (5.0, 30.0, 0.5)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fragment", "5s"),
        ("fragment", "10ms"),
        ("part", "500ms"),
        ("ring", "1kB"),
        ("backlog", "0B"),
        ("snapshot_quality", 101),
        ("snapshot_width", 0),
    ],
)
def test_impossible_figures_are_refused_by_name(key: str, value: object) -> None:
    """Each is told with its key."""
    with pytest.raises(ConfigError) as refused:
        parse({key: value}, RecordSettings)
    assert [mistake.key for mistake in refused.value.mistakes] == [key]
