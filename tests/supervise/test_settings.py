"""Settings of the pages and of the supervision: what can't work is refused at the start, with its key."""

from __future__ import annotations

from typing import Any

import pytest

from edged.base.config import parse
from edged.base.errors import ConfigError
from edged.supervise.settings import HttpSettings, SuperviseSettings


@pytest.mark.parametrize(
    ("section", "table", "key"),
    [
        (HttpSettings, {"listen": "8377"}, "listen"),
        (HttpSettings, {"listen": "localhost:99999"}, "listen"),
        (HttpSettings, {"picture_every": "0s"}, "picture_every"),
        (SuperviseSettings, {"lag": "0s"}, "lag"),
        (SuperviseSettings, {"camera": "0s"}, "camera"),
        (SuperviseSettings, {"backlog_age": "0s"}, "backlog_age"),
    ],
)
def test_what_can_t_work_is_refused(section: type[Any], table: dict[str, str], key: str) -> None:
    """An address without a port, and limits under which edged would never count as healthy."""
    with pytest.raises(ConfigError) as refused:
        parse(table, section)
    assert [mistake.key for mistake in refused.value.mistakes] == [key]


def test_people_need_not_be_told_of_lost_cameras() -> None:
    """The time "0s" switches that one off, as its comment says."""
    assert parse({"camera_lost": "0s"}, SuperviseSettings).camera_lost == 0.0
