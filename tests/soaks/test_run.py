"""A run's length, its sums, and the line of figures that a soak ends with."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import pytest

from edged.base.config import parse
from edged.receiver.settings import ReceiverConfig
from edged.settings import DeviceConfig
from scripts.soaks.__main__ import main
from scripts.soaks.figures import Figures
from scripts.soaks.oracle.judge import Finding
from scripts.soaks.run import Run
from scripts.soaks.tables import device, merged, receiver, toml

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.soaks.oracle.judge import Kind


def finding(kind: Kind, what: str = "it") -> Finding:
    """Return a breach."""
    return Finding(kind=kind, what=what, text=f"{what} is {kind}")


async def test_it_ends_by_cycles(tmp_path: Path) -> None:
    """Three cycles are three, and the last one knows it."""
    run = Run(kind="kill", seed=1, rng=Random(1), folder=tmp_path, count=3)
    assert [(number, run.is_over(number)) async for number in run.cycles()] == [(1, False), (2, False), (3, True)]
    assert run.figures.cycles == 3


async def test_it_ends_by_time_with_one_cycle_at_least(tmp_path: Path) -> None:
    """A time that is over allows one cycle."""
    run = Run(kind="kill", seed=1, rng=Random(1), folder=tmp_path, seconds=0.0)
    assert [number async for number in run.cycles()] == [1]


async def test_the_last_cycle_stays_the_last(tmp_path: Path) -> None:
    """A kind that was told "not the last" gets another cycle, even if the time is over meanwhile."""
    run = Run(kind="kill", seed=1, rng=Random(1), folder=tmp_path, seconds=1e9)
    seen = []
    async for number in run.cycles():
        seen.append((number, run.is_over(number)))
        run.seconds = 0.0
    assert seen == [(1, False), (2, True)]


def test_a_breach_that_stays_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Judged again in each round, the same breach is told and counted once."""
    run = Run(kind="kill", seed=1, rng=Random(1), folder=tmp_path)
    run.found([finding("lost")])
    run.found([finding("lost"), finding("lost", "more")])
    assert json.loads(run.figures.as_json())["lost"] == 2
    assert capsys.readouterr().err.count("LOST: it is lost") == 1


@pytest.mark.parametrize("kind", ["lost", "duplicated", "corrupt", "left_over"])
def test_each_breach_soils_a_run(kind: Kind) -> None:
    """Each of the four is a failure; what SMTP can't rule out is only counted."""
    figures = Figures()
    figures.add([finding("possible_duplicate")])
    assert figures.clean
    figures.add([finding(kind)])
    assert not figures.clean


def test_the_line_of_figures() -> None:
    """It has every figure that the soaks are judged by; waste is against what was of use."""
    figures = Figures(cycles=2, obligations=7, useful_bytes=1000, wire_bytes=1050, longest_recovery_s=1.234)
    assert json.loads(figures.as_json(kind="kill", seed=4)) == {
        "kind": "kill",
        "seed": 4,
        "cycles": 2,
        "obligations": 7,
        "lost": 0,
        "duplicated": 0,
        "possible_duplicates": 0,
        "corrupt": 0,
        "left_over": 0,
        "wasted_percent": 5.0,
        "longest_recovery_s": 1.23,
    }


def test_an_unknown_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The kinds that there are are named."""
    with pytest.raises(SystemExit):
        main(["flood"])
    assert "kill" in capsys.readouterr().err


def test_the_tables_are_configurations(tmp_path: Path) -> None:
    """What the rig writes is what edged takes; a kind's own values lie over it, cameras as a whole."""
    here = device(tmp_path, receiver="http://127.0.0.1:1", key=tmp_path / "key", mail_port=25)
    over = merged(here, {"cameras": {"one": {"url": "/a.mp4"}}, "outbox": {"quota": "2MB"}})
    assert set(over["cameras"]) == {"one"}
    assert over["outbox"]["quota"] == "2MB"
    assert over["outbox"]["warn_free"] == here["outbox"]["warn_free"]
    for table in (here, over):
        parse(table, DeviceConfig)
    parse(receiver(tmp_path, 1), ReceiverConfig)
    assert toml({"a": {"b": ['x"y', True, 1.5]}}) == 'a = { b = ["x\\"y", true, 1.5] }\n'
