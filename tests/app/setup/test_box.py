"""What a box knows of itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from edged.app.setup.box import device_name, timezone

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("localtime", "said", "wanted"),
    [
        ("/usr/share/zoneinfo/Europe/Berlin", "", "Europe/Berlin"),
        ("../usr/share/zoneinfo/Pacific/Auckland", "UTC", "Pacific/Auckland"),
        ("", "America/New_York\n", "America/New_York"),
        ("/usr/share/zoneinfo/Not/There", "Asia/Tokyo", "Asia/Tokyo"),
        ("/somewhere/else", "../../etc/passwd", "UTC"),
        ("", "", "UTC"),
    ],
)
def test_the_time_zone_is_the_system_s(tmp_path: Path, localtime: str, said: str, wanted: str) -> None:
    """By its link, by its name in words, else UTC."""
    (tmp_path / "etc").mkdir()
    if localtime:
        (tmp_path / "etc/localtime").symlink_to(localtime)
    if said:
        (tmp_path / "etc/timezone").write_text(said)
    assert timezone(tmp_path) == wanted


def test_the_name_is_one_that_the_configuration_takes() -> None:
    """Whatever the host is called."""
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", device_name())
