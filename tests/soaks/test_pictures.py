"""The oracle catches a gap ledger that is not true to what a camera showed."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.soaks.oracle.pictures import Shown, frozen, gaps, told
from tests.feeder import Run

# good pictures from 100 to 200, an outage of twenty seconds, and good ones again; one that was too short to be told
RUNS = (Run(start=90.0, end=200.0), Run(start=220.0, end=300.0), Run(start=302.0, end=400.0))
TRUE = (200.2, 220.8)


def entry(start: float, end: float, camera: str = "bad1") -> dict[str, Any]:
    """Return a row of the ledger."""
    return {"camera": camera, "start_mono": start, "end_mono": end, "reason": "no picture for 5 s"}


def shown(*unsure: tuple[float, float]) -> Shown:
    """Return what the camera showed, and when nobody can say."""
    return Shown(camera="bad1", runs=RUNS, since=100.0, until=390.0, silence=3.0, unsure=unsure)


@pytest.mark.parametrize(
    ("ledger", "kinds"),
    [
        ([TRUE], []),
        ([(200.2, 210.0), (210.0, 220.8)], []),  # given up, opened, and silent again: the whole of it is there
        ([TRUE, (300.1, 302.0)], []),  # the device may tell what it need not
        ([TRUE, (80.0, 99.0)], []),  # before anything is judged
        ([TRUE, (310.0, 330.0, "bad2")], []),
        ([], ["lost"]),
        ([(200.2, 220.8, "bad2")], ["lost"]),
        ([(202.5, 220.8)], ["lost"]),  # it began later than it did
        ([(200.2, 217.0)], ["lost"]),  # it ended sooner
        ([(200.2, 207.0), (211.0, 220.8)], ["lost"]),  # a part of it is missing
        ([(197.0, 220.8)], ["corrupt"]),  # it claims time that was seen
        ([(200.2, 228.0)], ["corrupt"]),
        ([TRUE, (240.0, 250.0)], ["corrupt"]),  # it was none
    ],
)
def test_the_ledger_is_held_to_what_was_shown(ledger: list[Any], kinds: list[str]) -> None:
    """Each outage stands there to the second, and nothing that was none."""
    assert [finding.kind for finding in gaps(shown(), [entry(*each) for each in ledger])] == kinds


def test_of_damaged_pictures_nobody_can_say_what_was_seen() -> None:
    """What touches such a time is judged neither way."""
    assert not list(gaps(shown((210.0, 230.0)), []))
    assert not list(gaps(shown((240.0, 245.0)), [entry(*TRUE), entry(240.0, 250.0)]))
    assert list(gaps(shown((310.0, 330.0)), []))


def test_a_long_frozen_picture_is_in_a_gap() -> None:
    """By its end it must be: of this camera, and not over before."""
    span = [(100.0, 120.0)]
    assert not list(frozen("bad1", span, [entry(109.0, 121.0)]))
    for row in (entry(101.0, 105.0), entry(121.0, 130.0), entry(109.0, 121.0, "bad2")):
        assert [finding.kind for finding in frozen("bad1", span, [row])] == ["lost"]


def test_each_loss_that_was_told_is_followed_by_a_return() -> None:
    """Nobody is left with a camera that is lost for ever, and no long loss goes untold."""
    notices = [{"camera": "bad1", "kind": kind} for kind in ("system", "clear", "system", "clear")]
    assert not list(told("bad1", notices, 2))
    assert [finding.kind for finding in told("bad1", notices, 3)] == ["lost"]
    assert [finding.kind for finding in told("bad1", notices[:3], 2)] == ["lost"]
