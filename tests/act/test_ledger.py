"""The helper's budget of a day, on clocks that are right, wrong, or set in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.act.ledger import EVERYTHING, Entry, elapsed, grown, is_spent, open_ledger, read_ledger, write_ledger
from edged.base.clock import Stamp

if TYPE_CHECKING:
    from pathlib import Path

HOUR, DAY = 3600.0, 86_400.0
WALL = 1_780_000_000.0


def at(boot: str, mono: float, wall: float = 0.0, *, synced: bool = False) -> Stamp:
    """Return an instant; an unset clock began in 1970 when the machine did."""
    return Stamp(wall=wall or mono, mono=mono, boot=boot, synced=synced)


def entry(stamp: Stamp, what: str = "reboot", age: float = 0.0) -> Entry:
    """Return an entry made at `stamp`."""
    return Entry(what=what, reason="no camera delivers", at=stamp, age=age, seen=stamp)


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (at("a", 10), at("a", 110), 100.0),  # one boot: the monotonic clock, whatever the wall says
        (at("a", 10, WALL, synced=True), at("a", 110, WALL + DAY, synced=True), 100.0),
        (at("a", 10, WALL, synced=True), at("b", 60, WALL + DAY, synced=True), DAY),
        (at("a", 10, WALL, synced=True), at("b", 60, WALL + 500), 500.0),  # a clock kept over the reboot goes late
        (at("a", 10, WALL, synced=True), at("b", 60), 60.0),  # 1970 again
        (at("a", 10), at("b", 60, WALL, synced=True), 60.0),  # 1970 then: no 56 years have passed
        (at("a", 10), at("b", 60), 60.0),
        (at("a", 10, WALL, synced=True), at("b", 60, WALL - DAY, synced=True), 60.0),  # set back by a person
    ],
)
def test_no_more_time_counts_than_has_surely_passed(then: Stamp, now: Stamp, expected: float) -> None:
    """Neither a clock that jumps nor one that starts anew makes a day shorter."""
    assert elapsed(then, now) == expected


def test_a_budget_holds_for_a_day_of_true_time() -> None:
    """The second reboot of a day is refused until 24 hours after the first, reboot or not."""
    entries = [entry(at("a", 100, WALL, synced=True))]
    before = grown(entries, at("b", 50, WALL + DAY - 1, synced=True))
    after = grown(entries, at("b", 50, WALL + DAY, synced=True))
    assert (is_spent(before, "reboot", 1), is_spent(after, "reboot", 1)) == (True, False)
    assert not is_spent(before, "reboot", 2)
    assert not is_spent(before, "reset-door", 1)


def test_a_box_that_always_wakes_in_1970_is_not_blocked_for_ever() -> None:
    """Eight hours of power a day, never a clock: each run that looks adds what it knows, and so a day passes."""
    entries, refusals = [entry(at("0", HOUR))], 0
    for boot in range(1, 10):
        entries = grown(entries, at(str(boot), 8 * HOUR))
        if not is_spent(entries, "reboot", 1):
            break
        refusals += 1
    assert refusals == 2  # 8 h + 8 h are no day, 24 h are


def test_a_box_that_always_wakes_in_1970_gets_no_more_for_it() -> None:
    """Each boot asks after three hours: seven are refused before the next one is done."""
    entries = [entry(at("0", 3 * HOUR))]
    spent = []
    for boot in range(1, 10):
        entries = grown(entries, at(str(boot), 3 * HOUR))
        spent.append(is_spent(entries, "reboot", 1))
    assert spent == [True] * 7 + [False] * 2


@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(0, 2 * DAY), st.booleans(), st.floats(-1e10, 1e10)), min_size=1, max_size=20
    )
)
def test_whatever_the_clock_does_the_age_is_at_most_the_true_one(
    walk: list[tuple[bool, float, bool, float]],
) -> None:
    """As long as a clock that calls itself synchronised is right, no budget is dodged; and no age ever shrinks."""
    true, boot, mono = 0.0, 0, 0.0
    entries = [entry(Stamp(wall=WALL, mono=0.0, boot="0", synced=True))]
    for reboots, passes, synced, wrong in walk:
        boot, mono, true = boot + reboots, passes if reboots else mono + passes, true + passes
        # an unset clock may show anything before the true time: it was stopped, or starts anew
        wall = WALL + true - (0.0 if synced else abs(wrong))
        older = grown(entries, Stamp(wall=wall, mono=mono, boot=str(boot), synced=synced))
        assert entries[0].age <= older[0].age <= true + 1e-3
        entries = older


def test_old_entries_are_kept_for_those_who_look_but_not_all() -> None:
    """Ten of the past, and all of the last day."""
    old = [entry(at("a", 0), age=2 * DAY) for _ in range(20)]
    new = [entry(at("a", 0), what="reset-door") for _ in range(30)]
    assert [each.what for each in grown(old + new, at("a", 1))] == ["reboot"] * 10 + ["reset-door"] * 30


def test_the_ledger_comes_back_as_it_was(tmp_path: Path) -> None:
    """Edged may read it, root alone may write it."""
    path, entries = tmp_path / "ledger.json", [entry(at("a", 1))]
    assert open_ledger(path, at("a", 1)) == []
    write_ledger(path, entries)
    assert open_ledger(path, at("a", 2)) == entries
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [b"", b"[", b"{}", b'[{"what": 1}]', b"\xff"])
def test_a_damaged_ledger_counts_as_spent_for_a_day(tmp_path: Path, content: bytes) -> None:
    """Nobody knows what was in it: neither a free budget nor none for ever."""
    (tmp_path / "ledger.json").write_bytes(content)
    entries = open_ledger(tmp_path / "ledger.json", at("a", 100))
    assert [each.what for each in entries] == [EVERYTHING]
    assert is_spent(entries, "reboot", 99)
    kept = open_ledger(tmp_path / "ledger.json", at("a", 100 + DAY))  # the next look: the day goes on
    assert grown(kept, at("a", 100 + DAY)) == []


def test_who_only_looks_leaves_a_damaged_ledger_alone(tmp_path: Path) -> None:
    """Edged itself may not write there."""
    (tmp_path / "ledger.json").write_bytes(b"[")
    with pytest.raises(ValueError, match="truncated"):
        read_ledger(tmp_path / "ledger.json")
    assert (tmp_path / "ledger.json").read_bytes() == b"["
