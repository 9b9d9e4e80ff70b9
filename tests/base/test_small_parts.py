from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.clock import SystemClock, is_synced, stamp, stamp_at
from edged.base.handover import Latest
from edged.base.pulse import Pulse
from edged.base.retry import Backoff, delay, exhausted
from tests.powercut.recorder import needs_strace

if TYPE_CHECKING:
    from pathlib import Path


@given(st.integers(1, 1000), st.integers())
def test_back_off_stays_between_floor_and_cap(attempt: int, seed: int) -> None:
    """Every wait lies between half the first step and the cap."""
    backoff = Backoff(first=5.0, cap=900.0)
    assert 2.5 <= delay(backoff, attempt, Random(seed)) <= 900.0


def test_back_off_doubles_its_bound() -> None:
    """The largest draw of each attempt doubles until the cap."""

    class Highest(Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    backoff = Backoff(first=5.0, cap=60.0)
    assert [delay(backoff, attempt, Highest()) for attempt in range(1, 7)] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_the_budget_ends() -> None:
    """A budget of three refusals is used up by the third."""
    assert [exhausted(Backoff(budget=3), attempts) for attempts in (2, 3)] == [False, True]


async def test_the_newest_value_wins() -> None:
    """A value that was not taken is replaced and counted; a taker waits for the next one."""
    place: Latest[int] = Latest()
    place.put(1)
    place.put(2)
    assert await place.get() == 2
    assert place.dropped == 1
    waiting = asyncio.create_task(place.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    place.put(3)
    assert await waiting == 3


def test_a_stamp_of_another_moment_keeps_both_times_in_step() -> None:
    """The wall time of a moment ten seconds ago is ten seconds earlier."""
    clock = SystemClock()
    now = stamp(clock)
    then = stamp_at(clock, now.mono - 10.0)
    assert abs((now.wall - then.wall) - 10.0) < 0.5
    assert then.boot == now.boot


@pytest.mark.parametrize(("state", "marked", "expected"), [(0, False, True), (5, True, False), (-1, True, True)])
def test_the_kernel_tells_whether_the_clock_is_synchronised(
    tmp_path: Path, state: int, marked: bool, expected: bool
) -> None:
    """Its answer counts, and systemd's mark where it gives none."""
    mark = tmp_path / "synchronized"
    if marked:
        mark.touch()
    assert is_synced(state, mark) is expected


@needs_strace
def test_a_clock_that_can_not_be_asked_about_is_not_trusted() -> None:
    """Systemd's ProtectClock= refuses the question with EPERM: that is no yes."""
    refused = ("strace", "-qq", "-o", "/dev/null", "-e", "inject=adjtimex,clock_adjtime:error=EPERM")
    asking = "from edged.base import clock; print(clock.is_synced(clock._kernel_clock_state(), clock.Path('/none')))"
    done = subprocess.run([*refused, sys.executable, "-c", asking], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_pulse_falls_silent_after_its_deadline() -> None:
    """A pulse without beats is silent once its deadline has passed, and not before."""

    class Steps(SystemClock):
        now = 0.0

        def mono(self) -> float:
            return self.now

    clock = Steps()
    pulse = Pulse("x", 5.0, clock)
    clock.now = 5.0
    assert not pulse.silent()
    clock.now = 5.1
    assert pulse.silent()
    pulse.beat()
    assert not pulse.silent()


_LOGGER = """
import structlog
from edged.base.log import configure
from edged.base.secret import Secret
configure(style={style!r}, level="info")
log = structlog.get_logger("t")
log.debug("unseen")
try:
    raise ValueError("two\\nlines")
except ValueError:
    log.exception("failed", camera="door", key=Secret("env", "X"))
"""


def _logged(style: str, environment: dict[str, str]) -> str:
    run = subprocess.run(
        [sys.executable, "-c", _LOGGER.format(style=style)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stderr


def test_json_is_one_event_per_line() -> None:
    """A JSON log line holds the event, its fields and the exception in one line, and no secret."""
    (line,) = io.StringIO(_logged("json", {}))
    event = json.loads(line)
    assert event["event"] == "failed"
    assert event["camera"] == "door"
    assert event["error"] == "ValueError: two\nlines"
    assert event["key"] == "***"


_LEVELS = """
import structlog
from edged.base.log import configure, set_level
log = structlog.get_logger()
configure(style="json", level="warning")
log.info("before")
set_level("info")
log.info("after")
set_level("error")
log.info("at last")
"""


def test_the_level_can_change() -> None:
    """Loggers that are there already go by the new level at once."""
    run = subprocess.run([sys.executable, "-c", _LEVELS], capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in run.stderr.splitlines()] == ["after"]


def test_text_is_one_event_per_line_with_the_journals_priority() -> None:
    """A key=value line starts with syslog's priority when the journal listens."""
    (line,) = io.StringIO(_logged("text", {"JOURNAL_STREAM": "8:1"}))
    assert line.startswith("<3>")
    assert "event=failed" in line
