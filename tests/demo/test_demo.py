"""The demo itself, as a person sees it: real processes on loopback, judged at the end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

DEMO = Path(__file__).parent.parent.parent / "scripts" / "demo_parts" / "demo.py"
COUNTS = ("incidents", "alerts_received", "alerts_held_back", "clips_received", "clips_verified", "duplicates")
FIGURES = ("bytes_sent", "bytes_wasted", "loop_lag_p99_ms", "rss_mb", "cpu_seconds_per_camera_second")


async def play(out: Path, *words: str, until: Callable[[str], bool] = lambda _: False) -> tuple[int, list[str]]:
    """Run the demo in a process group of its own; at the first line for which `until` holds, press Ctrl-C on it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(DEMO), *words, "--out", str(out)),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    lines, pressed = [], False
    assert process.stdout is not None
    try:
        async for raw in process.stdout:
            lines.append(raw.decode().rstrip())
            if not pressed and until(lines[-1]):
                pressed = True
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the group
        return await process.wait(), lines
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def judge(out: Path, code: int, lines: list[str]) -> dict[str, Any]:
    """Hold the demo's last line to what is on the disk, and return it."""
    assert code == 0, lines
    told: dict[str, Any] = json.loads(lines[-1])
    assert tuple(told) == (*COUNTS, *FIGURES)
    assert told["incidents"] == told["clips_received"] == told["clips_verified"] >= 1
    assert told["alerts_received"] + told["alerts_held_back"] == told["incidents"]
    assert told["duplicates"] == 0
    mails = [path.read_text(errors="replace") for path in (out / "mails").glob("*.eml")]
    assert sum("X-Edged-Kind: alert" in mail for mail in mails) == told["alerts_received"]
    with closing(sqlite3.connect(out / "receiver" / "receiver.db")) as database:
        ((arrived, size),) = database.execute("SELECT count(*), sum(size) FROM file")
    assert len(list((out / "clips").iterdir())) == arrived
    assert told["bytes_sent"] >= size
    assert all(told[name] >= 0 for name in FIGURES)
    return told


@pytest.mark.timeout(150)
async def test_for_some_seconds(tmp_path: Path) -> None:
    """After its time the demo closes, delivers, and tells in one JSON line what came of it."""
    code, lines = await play(tmp_path / "out", "--for", "20")
    judge(tmp_path / "out", code, lines)
    assert lines[0].startswith("status page  http://127.0.0.1:")
    story = "\n".join(lines)
    for text in ("incident 1: opened at camera entrance", "incident 1: alert sent to", "receipt verified"):
        assert text in story


@pytest.mark.timeout(150)
async def test_until_ctrl_c(tmp_path: Path) -> None:
    """Ctrl-C goes to the whole group of a terminal, and still ends in order: closed, delivered, judged."""
    code, lines = await play(tmp_path / "out", until=lambda line: "opened at camera" in line)
    judge(tmp_path / "out", code, lines)


async def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    """Only what an earlier demo made is emptied."""
    (tmp_path / "thesis.txt").write_text("years of work")
    code, lines = await play(tmp_path, "--for", "1")
    assert (code, lines) == (2, [])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
