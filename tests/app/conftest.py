from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.app.shop import Shop, build

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound state directory of a device, made once."""
    state = tmp_path_factory.mktemp("template") / "state"
    build(state)
    return state


@pytest.fixture
def shop(template: Path, state_dir: Path) -> Shop:
    """A copy of it."""
    return Shop.copied(template, state_dir)
