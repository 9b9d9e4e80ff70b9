"""The soaks' last look: what edged's own check finds after a round is a finding of the soak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.soaks.rig import examined
from tests.app.conftest import shop, template  # noqa: F401 -- fixtures
from tests.app.home import tables, toml

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app.shop import Shop


async def test_what_fsck_finds_is_left_over(shop: Shop, tmp_path: Path) -> None:  # noqa: F811 -- the fixture
    """A sound directory is none; a clip cut short and a missing sidecar are, each with its line."""
    path = tmp_path / "edged.toml"
    path.write_text(toml(tables(shop.state, receiver={"url": "http://127.0.0.1:9"})))
    assert await examined(path) == []
    shop.part().write_bytes(shop.part().read_bytes()[:-1])
    shop.sidecar().unlink()
    found = await examined(path)
    assert {finding.kind for finding in found} == {"left_over"}
    told = "\n".join(finding.text for finding in found)
    assert "part-001.mp4 has" in told
    assert "the sidecar of incident" in told
