"""The incident machine: tables for its decisions, and a machine of random scenes for its promises."""

from __future__ import annotations

import itertools

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edged.base.config import Duration
from edged.detect.incident import IncidentMachine, Phase
from edged.detect.settings import DetectSettings
from edged.model import Event, EventKind, IncidentKind, Motion, Region

STEP = 0.125
SETTINGS = DetectSettings()  # 3 of 5, merge 8 s, post-roll 5 s, at most 300 s


def motion(mono: float, *zones: str, score: float = 0.1, moves: bool = True) -> Motion:
    """Return a frame's judgement with a region in each of `zones`, or one without zones."""
    regions = tuple(Region(x=0.4, y=0.4, w=0.1, h=0.2, zone=zone) for zone in zones or ("",)) if moves else ()
    return Motion(camera="yard", mono=mono, pts=0, epoch=1, regions=regions, score=score, unsettled=False)


def still(mono: float) -> Motion:
    """Return a frame's judgement without motion."""
    return motion(mono, moves=False)


def machine(settings: DetectSettings = SETTINGS) -> IncidentMachine:
    """Return a machine whose incidents are called 1, 2, 3 ..."""
    numbers = itertools.count(1)
    return IncidentMachine("yard", settings, lambda: str(next(numbers)))


def play(one: IncidentMachine, pattern: str, start: float = 100.0) -> list[Event]:
    """Feed a frame for each character of `pattern`, eight a second: "#" moves, anything else doesn't."""
    times = (start + STEP * number for number in range(len(pattern)))
    return [
        event
        for time, char in zip(times, pattern, strict=True)
        for event in one.feed(motion(time) if char == "#" else still(time))
    ]


@pytest.mark.parametrize(
    ("pattern", "opens_at", "first"),
    [
        ("###", 2, 0),
        ("#.#.#", 4, 0),
        ("##..#", 4, 0),
        ("#..##", 4, 0),
        ("##...#", None, None),
        ("#...#...#...#", None, None),
        ("##...###", 7, 5),
        ("....", None, None),
    ],
)
def test_three_of_five_frames_open_an_incident(pattern: str, opens_at: int | None, first: int | None) -> None:
    """An incident opens with the frame that completes the evidence, and begins at its first motion."""
    one = machine()
    events = play(one, pattern)
    if opens_at is None or first is None:
        assert events == []
        return
    assert [(event.kind, event.mono) for event in events] == [(EventKind.OPENED, 100.0 + STEP * first)]
    assert play(machine(), pattern[:opens_at]) == []


def test_the_phases_follow_the_frames() -> None:
    """Quiet, candidate, open, closing, open again and quiet in the end."""
    one = machine()
    seen = [one.phase]
    for pattern, start in (("#", 0.0), ("##", 0.2), (".", 1.0), ("#", 2.0), (".", 11.0)):
        play(one, pattern, start)
        seen.append(one.phase)
    assert seen == [Phase.QUIET, Phase.CANDIDATE, Phase.OPEN, Phase.CLOSING, Phase.OPEN, Phase.QUIET]


def test_an_incident_closes_at_its_last_motion_and_keeps_its_post_roll() -> None:
    """It closes when the merge time is over, dated back to the last motion."""
    one = machine()
    play(one, "####")
    last = 100.0 + 3 * STEP
    assert one.tick(last + 7.9) == ()
    (closed,) = one.tick(last + 8.0)
    assert (closed.kind, closed.incident, closed.mono, closed.keep_until) == (EventKind.CLOSED, "1", last, last + 5.0)
    assert one.tick(last + 9.0) == ()


def test_motion_within_the_merge_time_belongs_to_the_incident() -> None:
    """Somebody who stands still for some seconds makes one incident, not two."""
    one = machine()
    play(one, "###")
    assert play(one, "#", 108.0) == []
    (closed,) = one.tick(130.0)
    assert (closed.incident, closed.mono) == ("1", 108.0)


def test_motion_after_the_merge_time_is_another_incident() -> None:
    """The frame that comes too late first closes the old one, and needs evidence of its own."""
    one = machine()
    play(one, "###")
    events = play(one, "###", 120.0)
    assert [(event.kind, event.incident, event.mono) for event in events] == [
        (EventKind.CLOSED, "1", 100.25),
        (EventKind.OPENED, "2", 120.0),
    ]


def test_zones_are_a_set_in_order_of_appearance() -> None:
    """A new zone is told at once, a known one not again."""
    one = machine()
    events = [event for number in range(3) for event in one.feed(motion(STEP * number, "gate", score=0.5))]
    events += one.feed(motion(3 * STEP, "door", "gate"))
    events += one.feed(motion(4 * STEP, "gate"))
    events += one.feed(motion(5 * STEP, "door", "yard"))
    assert [(event.kind, event.zones) for event in events] == [
        (EventKind.OPENED, ("gate",)),
        (EventKind.EXTENDED, ("gate", "door")),
        (EventKind.EXTENDED, ("gate", "door", "yard")),
    ]


def test_better_pictures_are_told_once_a_second() -> None:
    """The best picture so far goes with each telling, and the very best with the end."""
    one = machine()
    play(one, "###")
    told = [
        event for number in range(24) for event in one.feed(motion(101.0 + STEP * number, score=0.2 + number / 100))
    ]
    assert {event.kind for event in told} == {EventKind.EXTENDED}
    assert 2 <= len(told) <= 4
    assert all(later.mono - earlier.mono >= 1.0 for earlier, later in itertools.pairwise(told))
    assert all(event.best == event.mono for event in told)
    one.feed(motion(104.5, score=0.01))
    (closed,) = one.tick(120.0)
    assert (closed.best, closed.score) == pytest.approx((101.0 + 23 * STEP, 0.43))
    assert closed.regions == motion(0.0).regions


def test_the_opening_carries_the_best_of_its_evidence() -> None:
    """The snapshot of the alert is the best picture so far, not the first."""
    one = machine()
    events = [event for number, score in enumerate((0.1, 0.9, 0.3)) for event in one.feed(motion(number, score=score))]
    assert [(event.mono, event.best, event.score) for event in events] == [(0.0, 1.0, 0.9)]


def test_what_lasts_too_long_is_cut_and_continued() -> None:
    """The cut lies at the longest length exactly, and the rest is linked."""
    one = machine(DetectSettings(longest=Duration(10)))
    events = play(one, "#" * 200, 0.0)
    cut = [event for event in events if event.kind is not EventKind.EXTENDED]
    assert [(event.kind, event.incident, event.mono, event.continues) for event in cut] == [
        (EventKind.OPENED, "1", 0.0, None),
        (EventKind.CLOSED, "1", 10.0, None),
        (EventKind.OPENED, "2", 10.0, "1"),
        (EventKind.CLOSED, "2", 20.0, "1"),
        (EventKind.OPENED, "3", 20.0, "2"),
    ]
    assert cut[1].keep_until == 10.0  # the continuation goes on from here: no second is kept twice


def test_what_only_waits_for_its_end_is_not_continued() -> None:
    """Motion that stopped shortly before the longest length ends with its incident."""
    one = machine(DetectSettings(longest=Duration(10)))
    play(one, "#" * 72, 0.0)  # until 8.875 s
    assert one.tick(12.0) == ()
    (closed,) = one.tick(17.0)
    assert (closed.kind, closed.mono) == (EventKind.CLOSED, 8.875)


def test_an_end_without_frames_needs_only_time() -> None:
    """A camera that dies in the middle of an incident does not keep it open."""
    one = machine()
    play(one, "#####")
    (closed,) = one.tick(3600.0)
    assert closed.mono == 100.5


def test_close_ends_what_is_open_at_its_last_motion() -> None:
    """At a stop the post-roll is what there is, and no more."""
    one = machine()
    play(one, "###")
    (closed,) = one.close(102.25)
    assert (closed.mono, closed.keep_until) == (100.25, 102.25)
    assert one.close(103.0) == ()


def test_a_person_starts_an_incident_for_a_time() -> None:
    """It opens at once, needs no motion, and ends when its time is over."""
    one = machine()
    name, (opened,) = one.start_manual(50.0, 300.0)
    assert (opened.kind, opened.cause, opened.incident, opened.mono) == (
        EventKind.OPENED,
        IncidentKind.MANUAL,
        name,
        50.0,
    )
    assert one.tick(349.0) == ()
    events = one.tick(350.0)
    assert [(event.kind, event.mono, event.keep_until) for event in events] == [(EventKind.CLOSED, 350.0, 355.0)]


def test_a_long_order_is_cut_and_continued_like_any_incident() -> None:
    """Twelve minutes by hand are three linked incidents of five minutes at most."""
    one = machine()
    _, events = one.start_manual(0.0, 720.0)
    told = [*events, *(event for second in range(1, 800) for event in one.tick(float(second)))]
    closed = [event.mono for event in told if event.kind is EventKind.CLOSED]
    assert closed == [300.0, 600.0, 720.0]
    assert [event.continues for event in told if event.kind is EventKind.OPENED] == [None, "1", "2"]
    assert {event.cause for event in told} == {IncidentKind.MANUAL}


def test_an_order_keeps_open_what_is_open_already() -> None:
    """There is one incident at a time; motion after the order's end keeps it open as ever."""
    one = machine()
    play(one, "###")
    name, events = one.start_manual(101.0, 30.0)
    assert (name, events) == ("1", ())
    assert one.tick(120.0) == ()
    (closed,) = one.tick(131.0)
    assert closed.mono == 131.0


def test_an_order_that_a_stop_cuts_ends_now() -> None:
    """At a stop an incident by hand ends at the stop, not at the time that was ordered."""
    one = machine()
    one.start_manual(0.0, 300.0)
    (closed,) = one.close(20.0)
    assert (closed.mono, closed.keep_until) == (20.0, 20.0)


def test_a_late_stop_makes_the_cuts_that_were_due() -> None:
    """A stop after a long silence first tells what time alone had caused."""
    one = machine()
    one.start_manual(0.0, 720.0)
    closed = [event.mono for event in one.close(700.0) if event.kind is EventKind.CLOSED]
    assert closed == [300.0, 600.0, 700.0]


def test_other_settings_are_for_the_next_incident() -> None:
    """One that is open merges and rolls as it began; the next one goes by the new settings, its evidence too."""
    one = machine()
    changed = DetectSettings(frames=9, evidence=6, merge=Duration(20.0), post_roll=Duration(1.0))
    play(one, "###")
    one.adopt(changed)
    (closed,) = one.tick(110.0)
    assert (closed.kind, closed.keep_until - closed.mono) == (EventKind.CLOSED, SETTINGS.post_roll)
    (opened,) = play(one, "#####.#", start=120.0)
    assert opened.kind is EventKind.OPENED
    assert one.tick(140.0) == ()
    (closed,) = one.tick(141.0)
    assert closed.keep_until - closed.mono == 1.0


def test_other_settings_hold_from_a_cut_on() -> None:
    """What goes on for hours is not kept by the old ones for ever."""
    one = machine()
    play(one, "###", start=100.0)
    one.adopt(DetectSettings(longest=Duration(20.0)))
    events = [event for second in range(2, 340) for event in one.feed(motion(100.0 + second))]
    cuts = [event.mono for event in events if event.kind is EventKind.CLOSED]
    assert cuts == [400.0, 420.0]


SOME = st.builds(
    lambda evidence, merge, longest, post: DetectSettings(
        evidence=evidence, merge=Duration(merge), longest=Duration(longest), post_roll=Duration(post)
    ),
    st.integers(1, 5),
    st.floats(1.0, 9.0),
    st.floats(10.0, 30.0),
    st.floats(0.0, 9.0),
)


class Scenes(RuleBasedStateMachine):
    """Frames, silence, orders, stops and other settings in any order."""

    @initialize(settings=SOME)
    def begin(self, settings: DetectSettings) -> None:
        """Start a machine with any settings."""
        self.settings = self.asked = settings
        self.machine = machine(settings)
        self.now = 1000.0
        self.events: list[Event] = []  # not looked at yet
        self.current: Event | None = None  # the opening of the open incident
        self.closed: Event | None = None  # the latest end
        self.names: list[str] = []

    @rule(
        moves=st.booleans(), wait=st.floats(0.01, 12.0), zone=st.sampled_from(["", "gate"]), score=st.floats(0.0, 1.0)
    )
    def frame(self, moves: bool, wait: float, zone: str, score: float) -> None:
        """A frame comes."""
        self.now += wait
        self.events += self.machine.feed(motion(self.now, zone, score=score) if moves else still(self.now))

    @rule(count=st.integers(3, 80))
    def walk(self, count: int) -> None:
        """Somebody walks through the view."""
        for _ in range(count):
            self.frame(True, 0.5, "", 0.5)

    @rule(wait=st.floats(0.01, 40.0))
    def silence(self, wait: float) -> None:
        """No frame comes."""
        self.now += wait
        self.events += self.machine.tick(self.now)

    @rule(seconds=st.floats(1.0, 60.0))
    def order(self, seconds: float) -> None:
        """A person starts an incident."""
        name, events = self.machine.start_manual(self.now, seconds)
        self.events += events
        self.holds()
        assert name == self.names[-1]

    @rule(settings=SOME)
    def adopt(self, settings: DetectSettings) -> None:
        """A person changes the configuration."""
        self.asked = settings
        self.machine.adopt(settings)

    @rule()
    def stop(self) -> None:
        """Nobody watches any more, for a moment."""
        self.events += self.machine.close(self.now)

    @invariant()
    def holds(self) -> None:
        """One incident at a time, each closed once, in order, bounded and linked."""
        for event in self.events:
            if event.kind is EventKind.OPENED:
                self.check_opening(event)
                continue
            assert self.current is not None
            assert event.incident == self.current.incident
            assert self.current.mono <= event.mono
            if event.kind is EventKind.CLOSED:
                assert event.mono <= self.current.mono + self.settings.longest + 1e-6
                assert event.mono <= event.keep_until <= event.mono + self.settings.post_roll
                self.closed, self.current = event, None
        self.events.clear()
        assert (self.current is not None) == (self.machine.phase in {Phase.OPEN, Phase.CLOSING})

    def check_opening(self, event: Event) -> None:
        """An opening comes when nothing is open, under a new name, and a continuation where the cut was."""
        assert self.current is None
        assert event.incident not in self.names
        self.names.append(event.incident)
        self.settings = self.asked
        if event.continues is not None:
            assert self.closed is not None
            assert (event.continues, event.mono) == (self.closed.incident, self.closed.mono)
        elif self.closed is not None:
            assert event.mono >= self.closed.mono
        self.current = event

    def teardown(self) -> None:
        """Whatever happened, silence closes everything."""
        if hasattr(self, "machine"):
            self.events += self.machine.tick(self.now + 1000.0)
            self.holds()
            assert self.current is None


Scenes.TestCase.settings = hypothesis.settings(max_examples=80, stateful_step_count=30)
TestScenes = Scenes.TestCase
