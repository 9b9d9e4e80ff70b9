from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edged.base.gate import Gate, GateFigures, GateState

FIGURES = GateFigures(failures=5, pause=60.0, successes=2)


def _failed_gate(now: float) -> Gate:
    gate = Gate(FIGURES)
    for _ in range(FIGURES.failures):
        assert gate.admit(now)
        gate.fail(now, "refused")
    return gate


def test_five_failures_in_a_row_close_it_for_a_minute() -> None:
    """A gate closes after the fifth failure and lets one probe through when the pause is over."""
    gate = _failed_gate(10.0)
    assert gate.state is GateState.DOWN
    assert not gate.admit(69.9)
    assert gate.wait(20.0) == 50.0
    assert gate.admit(70.0)
    assert not gate.admit(70.0), "only one probe at a time"


def test_a_success_between_failures_starts_the_count_anew() -> None:
    """Failures count only in a row."""
    gate = Gate(FIGURES)
    for _ in range(3):
        for _ in range(FIGURES.failures - 1):
            gate.fail(0.0, "refused")
        gate.succeed()
    assert gate.state is GateState.UP


def test_two_successes_open_it_again() -> None:
    """A probing gate opens after the second success in a row."""
    gate = _failed_gate(0.0)
    states = []
    for _ in range(FIGURES.successes):
        assert gate.admit(60.0)
        gate.succeed()
        states.append(gate.state)
    assert states == [GateState.PROBING, GateState.UP]
    assert gate.reason == ""


def test_a_failed_probe_closes_it_at_once() -> None:
    """One failure while probing is enough to close the gate again."""
    gate = _failed_gate(0.0)
    assert gate.admit(60.0)
    gate.fail(61.0, "refused")
    assert not gate.admit(120.9)
    assert gate.admit(121.0)


def test_a_cancelled_probe_gives_its_place_back() -> None:
    """A cancellation says nothing about the peer."""
    gate = _failed_gate(0.0)
    assert gate.admit(60.0)
    gate.cancel()
    assert gate.state is GateState.PROBING
    assert gate.admit(60.0)


def test_a_returning_link_ends_the_wait() -> None:
    """After `hasten` a closed gate lets its probe through at once."""
    gate = _failed_gate(0.0)
    gate.hasten()
    assert gate.admit(1.0)


class GateMachine(RuleBasedStateMachine):
    """Random traffic through a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate(FIGURES)
        self.now = 0.0
        self.out = 0

    @rule(seconds=st.floats(0.0, 100.0))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(outcome=st.sampled_from(["ok", "bad", "cancel"]))
    def request(self, outcome: str) -> None:
        """Try one request and end it at once."""
        if not self.gate.admit(self.now):
            assert self.gate.state is not GateState.UP
            return
        if outcome == "ok":
            self.gate.succeed()
        elif outcome == "bad":
            self.gate.fail(self.now, "x")
        else:
            self.gate.cancel()

    @invariant()
    def never_closed_for_longer_than_the_pause(self) -> None:
        """However it got there, the pause is the longest wait."""
        assert self.gate.wait(self.now) <= FIGURES.pause + 1e-9  # seconds that were added up


TestGateMachine = GateMachine.TestCase


def test_a_pause_that_the_peer_asked_for_outlives_the_links_return() -> None:
    """Only a person overrules "come back in n s" or a refused key; what failures closed opens with the link."""
    gate = Gate(GateFigures(failures=1))
    gate.pause(100.0, 700.0, "busy")
    gate.hasten(overrule=False)
    assert gate.wait(101.0) == 699.0
    gate.hasten()
    assert gate.admit(101.0)
    gate.fail(102.0, "no answer")
    gate.hasten(overrule=False)
    assert gate.admit(102.0)


def test_other_figures_hold_from_the_next_failure_on() -> None:
    """A gate that is closed opens when it would have opened; from then on it goes by the new ones."""
    gate = _failed_gate(10.0)
    gate.adopt(GateFigures(failures=1, pause=5.0, successes=1))
    assert gate.wait(20.0) == 50.0
    assert gate.admit(70.0)
    gate.succeed()
    assert gate.state is GateState.UP
    gate.fail(80.0, "refused")
    assert gate.wait(80.0) == 5.0
