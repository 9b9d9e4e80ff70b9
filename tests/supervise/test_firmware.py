from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from edged.supervise.firmware import Firmware, FirmwareWatch, warnings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (0x0, []),
        (0x1, ["voltage is too low"]),
        (0x10000, ["voltage was too low"]),
        (0x10001, ["voltage is too low"]),  # what is so now was so, too: said once
        (0x50005, ["voltage is too low", "is throttled"]),
        (0x80008, ["near its limit of heat"]),
        (0x20000, []),  # slowed down for a moment once: the governor's daily work
    ],
)
def test_flags_are_told_in_words(flags: int, said: list[str]) -> None:
    """What is amiss now, and what was since the start and is over."""
    told = warnings(Firmware(flags=flags, temperature=None))
    assert len(told) == len(said)
    assert all(word in text for word, text in zip(said, told, strict=True))


async def test_news_is_logged_once(tmp_path: Path) -> None:
    """A supply that sags is logged when it begins to, and again when it does so anew."""
    throttled, temperature = tmp_path / "get_throttled", tmp_path / "temp"
    watch = FirmwareWatch(throttled, temperature)
    temperature.write_text("48312\n")
    with capture_logs() as logged:
        for flags in ("0\n", "50001\n", "50001\n", "50000\n", "50001\n"):
            throttled.write_text(flags)
            await watch.step()
    low = [entry for entry in logged if "is too low" in entry["reason"]]
    assert len(low) == 2
    assert watch.newest == Firmware(flags=0x50001, temperature=48.312)


@pytest.mark.parametrize("content", [None, "what"])
async def test_a_machine_that_is_no_pi_tells_nothing(tmp_path: Path, content: str | None) -> None:
    """Neither a missing file nor one that holds something else is a reading."""
    if content is not None:
        (tmp_path / "get_throttled").write_text(content)
    watch = FirmwareWatch(tmp_path / "get_throttled", tmp_path / "temp")
    await watch.step()
    assert watch.newest is None
