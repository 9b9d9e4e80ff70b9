"""A daemon that no camera serves any more leaves for a new start, and the next one says why."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.app.home import until
from tests.app.test_daemon import Daemon, daemon

FOOTAGE = Path(__file__).parent.parent / "data" / "bew_walking_by.mp4"


@pytest.mark.timeout(180)  # a minute and more on a machine that has other things to do
async def test_the_next_run_tells_why_the_last_one_left(tmp_path: Path) -> None:
    """Exit code 1, so that systemd starts it anew; the reason is in the log of both, and on the page of the second."""
    film = tmp_path / "film.mp4"
    shutil.copy(FOOTAGE, film)
    door = {"url": str(film), "loop": True}
    sections: dict[str, Any] = {"cameras": {"door": door}, "recovery": {"leave_after": "1s"}}
    async with daemon(tmp_path, **sections) as edged:
        await until(lambda: _watched(edged))
        os.truncate(film, 0)
        await until(lambda: edged.process.returncode is not None)
        assert edged.process.returncode == 1
        (stop,) = [line for line in edged.log if line["event"] == "edged stops"]
        assert stop["reason"].startswith("no camera has delivered for ")
        assert edged.events()[-1] == "edged stopped"  # in order
    (tmp_path / "notify").unlink()
    async with daemon(tmp_path, **sections) as edged:
        health = await edged.page("/health")
        (told,) = [line for line in edged.log if line["event"] == "edged started anew by itself"]
        assert told["reason"] == stop["reason"]
        (sentence, *_) = health["subsystems"]["notices"]["reasons"]
        assert sentence.startswith("edged started anew by itself on ")
        assert sentence.endswith(f": {stop['reason']}.")
        assert await edged.end(15) == 0
    assert not (tmp_path / "state" / "left.json").exists()


async def _watched(edged: Daemon) -> bool:
    """Return whether the camera delivers, and has been seen to: who looks at all of them does so every five seconds."""
    if "status page is up" not in edged.events():
        return False
    return bool((await edged.tell("status"))["door"]["well"] and (await edged.page("/health"))["uptime_s"] > 6.0)
