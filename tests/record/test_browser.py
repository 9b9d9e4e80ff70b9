"""Clips in a real browser: they play from the first to the last picture, and one can jump about in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edged.record.leftovers import look
from tests.browser import Tab, open_tab
from tests.record.footage import packets
from tests.record.test_clip import record

if TYPE_CHECKING:
    from pathlib import Path

_PLAY = """async url => {
  const video = document.createElement('video');
  video.muted = true;
  video.preload = 'auto';
  document.body.append(video);
  const heard = (name) => new Promise((done, refused) => {
    video.addEventListener(name, done, {once: true});
    video.addEventListener('error', () => refused(new Error(video.error.message)), {once: true});
  });
  const ready = heard('canplaythrough');
  video.src = url;
  await ready;
  const sought = heard('seeked');
  video.currentTime = 2;
  await sought;
  const half = video.currentTime;
  const over = heard('ended');
  await video.play();
  await over;
  return {duration: video.duration, half, end: video.currentTime, width: video.videoWidth, height: video.videoHeight};
}"""


async def played(tab: Tab, path: Path) -> dict[str, Any]:
    """Play a file from its middle to its end and return what the browser made of it."""
    await tab.page.goto(path.parent.as_uri())
    result: dict[str, Any] = await tab.page.evaluate(_PLAY, path.name)
    return result


@pytest.mark.parametrize("bframes", [0, 2])
async def test_a_sealed_part_plays(tmp_path: Path, bframes: int) -> None:
    """Its length is known from the start, and it ends when it should."""
    sealed = record(tmp_path / "part-001.mp4", packets(seconds=3, bframes=bframes))
    async with open_tab() as tab:
        seen = await played(tab, sealed.path)
    assert (seen["width"], seen["height"]) == (sealed.width, sealed.height)
    assert seen["half"] == 2
    assert seen["end"] == pytest.approx(sealed.seconds, abs=0.25)
    assert seen["duration"] == pytest.approx(sealed.seconds, abs=0.25)


async def test_a_salvaged_part_plays(tmp_path: Path) -> None:
    """What a crash left plays like any other."""
    sealed = record(tmp_path / "part-001.mp4", packets(seconds=4, bframes=2))
    sealed.path.write_bytes(sealed.path.read_bytes()[: round(sealed.size * 0.9)])
    (part,) = look(tmp_path, ()).parts
    async with open_tab() as tab:
        seen = await played(tab, part.path)
    assert part.seconds < sealed.seconds
    assert seen["end"] == pytest.approx(part.seconds, abs=0.25)
    assert seen["duration"] == pytest.approx(part.seconds, abs=0.25)
