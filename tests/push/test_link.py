"""The line's states: tables of what was seen, and what no sequence of exchanges may do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.model import LinkState
from edged.push.link import Exchange, LinkWatch, Outcome, Track, begin, mean_life, observe, probe_wait, usable
from edged.push.settings import ProbeSettings

if TYPE_CHECKING:
    from tests.simloop import SimClock, Simulate

_FIGURES = ProbeSettings()
_LETTERS = {"a": Outcome.ANSWERED, "c": Outcome.CAPTIVE, "s": Outcome.SILENT}


def _follow(letters: str, *, step: float = 60.0, metered: bool = False) -> Track:
    track, now = begin(0.0), 0.0
    for letter in letters:
        now += step
        seen = Exchange(outcome=_LETTERS[letter], reason=letter)
        track = observe(track, seen, figures=_FIGURES, metered=metered, now=now)
    return track


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        ("", LinkState.DOWN),
        ("a", LinkState.UP),
        ("as", LinkState.UP),
        ("asa", LinkState.UP),
        ("asas", LinkState.UP),
        ("ass", LinkState.DOWN),
        ("assa", LinkState.UP),
        ("c", LinkState.CAPTIVE),
        ("ac", LinkState.UP),
        ("acc", LinkState.CAPTIVE),
        ("asc", LinkState.CAPTIVE),
        ("accs", LinkState.DOWN),
        ("acca", LinkState.UP),
    ],
)
def test_states_follow_what_was_seen(seen: str, state: LinkState) -> None:
    """One failure is no outage, two in a row are; one answer ends it."""
    assert _follow(seen).link.state is state


def test_a_metered_line_comes_up_as_metered() -> None:
    """A line marked as metered is never plainly up."""
    assert _follow("assa", metered=True).link.state is LinkState.METERED


def test_a_line_that_fell_at_once_must_prove_itself_twice() -> None:
    """A line that flaps within seconds is taken back after two answers in a row, not one."""
    assert _follow("assa", step=4.0).link.state is LinkState.DOWN
    assert _follow("assasa", step=4.0).link.state is LinkState.DOWN
    assert _follow("assaa", step=4.0).link.state is LinkState.UP


@given(st.text("acs", max_size=40), st.floats(0.1, 100.0))
def test_no_single_failure_takes_a_line_down(seen: str, step: float) -> None:
    """Whatever came before, a line that has just answered twice survives one failure; and two kill it."""
    assert usable(_follow(seen + "aa", step=step).link)
    assert usable(_follow(seen + "aas", step=step).link)
    assert not usable(_follow(seen + "aass", step=step).link)


def test_rate_and_round_trip_are_running_means() -> None:
    """New measurements move the figures by their weight; exchanges that measured nothing leave them."""
    track = begin(0.0)
    for rtt, rate in ((0.1, 0.0), (0.2, 1000.0), (0.0, 2000.0)):
        seen = Exchange(outcome=Outcome.ANSWERED, rtt=rtt, rate=rate)
        track = observe(track, seen, figures=_FIGURES, metered=False, now=1.0)
    assert track.link.rtt == pytest.approx(0.13)
    assert track.link.rate == pytest.approx(1300.0)


def test_the_mean_life_learns_from_cuts_and_grows_while_the_line_holds() -> None:
    """Cuts every minute draw the mean life towards a minute; a line that now lives longer is given credit."""
    track = _follow("a" + "sa" * 30, step=30.0)
    assert mean_life(track, 61 * 30.0) == pytest.approx(60.0, rel=0.2)
    assert mean_life(track, 61 * 30.0 + 5000.0) > 4900.0


@pytest.mark.parametrize(
    ("seen", "waiting", "tries", "metered", "wait"),
    [
        ("a", False, 0, False, 300.0),
        ("a", True, 0, False, 300.0),  # uploads are evidence enough
        ("a", False, 0, True, 3600.0),
        ("as", False, 0, False, 5.0),
        ("ass", False, 3, False, 300.0),
        ("ass", True, 0, False, 5.0),
        ("ass", True, 2, False, 20.0),
        ("ass", True, 9, False, 60.0),
        ("ass", True, 9, True, 60.0),
        ("ass", False, 9, True, 3600.0),
    ],
)
def test_probes_are_rare_unless_something_waits(
    seen: str, *, waiting: bool, tries: int, metered: bool, wait: float
) -> None:
    """Probes follow each other quickly only while work waits for a line that is down."""
    track = _follow(seen)
    assert probe_wait(track, waiting=waiting, tries=tries, figures=_FIGURES, metered=metered) == wait


def test_listeners_hear_of_the_return_once(simulate: Simulate) -> None:
    """Who waits for the line is called at each change of its use, and not at every exchange."""
    heard: list[bool] = []

    async def scene(clock: SimClock) -> None:
        watch = LinkWatch(_FIGURES, clock, metered=False)
        watch.subscribe(lambda: heard.append(watch.usable))
        for letter in "aaassssaa":
            await asyncio.sleep(60)
            watch.saw(Exchange(outcome=_LETTERS[letter]))

    simulate(scene)
    assert heard == [True, False, True]


def test_a_line_becomes_metered_and_back_while_it_is_used(simulate: Simulate) -> None:
    """A usable one at once, and nobody is told of a return; one that is down when it comes back."""

    async def scene(clock: SimClock) -> list[LinkState]:
        link, told = LinkWatch(_FIGURES, clock, metered=False), list[bool]()
        link.subscribe(lambda: told.append(link.usable))
        link.adopt(_FIGURES, metered=True)
        states = [link.link.state]
        link.saw(Exchange(outcome=Outcome.ANSWERED))
        states.append(link.link.state)
        link.adopt(_FIGURES, metered=False)
        states.append(link.link.state)
        assert told == [True]
        link.adopt(ProbeSettings(failures=1), metered=True)
        link.saw(Exchange(outcome=Outcome.SILENT))
        return [*states, link.link.state]

    assert simulate(scene) == [LinkState.DOWN, LinkState.METERED, LinkState.UP, LinkState.DOWN]
