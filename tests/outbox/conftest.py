from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edged.outbox.store import Outbox, open_outbox
from tests.outbox.world import HandClock, Maker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def clock() -> HandClock:
    """A clock that stands still until the test moves it."""
    return HandClock()


@pytest.fixture
def make(clock: HandClock, state_dir: Path) -> Maker:
    """A maker of incidents and files in the state directory."""
    return Maker(clock=clock, root=state_dir)


@pytest.fixture
async def outbox(state_dir: Path, clock: HandClock) -> AsyncIterator[Outbox]:
    """A fresh outbox on disk."""
    opened = await open_outbox(state_dir / "outbox.db", clock)
    yield opened
    await opened.close()
