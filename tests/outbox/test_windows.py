from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from edged.base.clock import Stamp
from edged.model import IncidentKind, Lane, State
from edged.outbox.nouns import AlertRules, NoticeKind
from edged.outbox.policy import alert_drafts
from edged.outbox.store import open_outbox
from edged.outbox.windows import elapsed
from tests.outbox.world import EVERYWHERE, HandClock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edged.model import Delivery, Incident
    from edged.outbox.nouns import Notice
    from edged.outbox.store import Outbox
    from tests.outbox.world import Maker

RULES = AlertRules(cooldown=60.0, cap_per_hour=0)
PEOPLE = EVERYWHERE.people


async def enter(outbox: Outbox, incident: Incident, rules: AlertRules = RULES) -> Incident:
    """Enter an incident with an alert for each recipient."""
    return await outbox.open_incident(incident, alert_drafts(incident, EVERYWHERE), rules)


async def notices(outbox: Outbox) -> list[tuple[Delivery, Notice]]:
    """Return the alert deliveries of notices, oldest first, each with its notice."""
    found = []
    for delivery in reversed(await outbox.deliveries()):
        notice = None if delivery.incident else await outbox.notice(delivery.subject)
        if notice is not None:
            found.append((delivery, notice))
    return found


@pytest.mark.parametrize(
    ("earlier", "later", "seconds"),
    [
        (Stamp(wall=0, mono=5, boot="a", synced=False), Stamp(wall=900, mono=7, boot="a", synced=False), 2.0),
        (Stamp(wall=0, mono=5, boot="a", synced=True), Stamp(wall=90, mono=1, boot="b", synced=True), 90.0),
        (Stamp(wall=0, mono=5, boot="a", synced=False), Stamp(wall=90, mono=1, boot="b", synced=True), None),
        (Stamp(wall=0, mono=5, boot="a", synced=True), Stamp(wall=90, mono=1, boot="b", synced=False), None),
        (Stamp(wall=99, mono=5, boot="a", synced=True), Stamp(wall=90, mono=1, boot="b", synced=True), None),
    ],
    ids=["same boot: mono", "both trusted: wall", "first untrusted", "second untrusted", "wall went back"],
)
def test_the_time_between_two_moments(earlier: Stamp, later: Stamp, seconds: float | None) -> None:
    """Within a boot the monotonic clock counts, across boots two trusted walls, else nothing is known."""
    assert elapsed(earlier, later) == seconds


@dataclass(frozen=True, kw_only=True)
class Case:
    """Seconds after the first incident, what the second is like, and whether it is held back."""

    name: str
    after: float
    held: str
    camera: str = "door"
    zone: str | None = "yard"
    kind: IncidentKind = IncidentKind.MOTION
    rules: AlertRules = RULES


CASES = [
    Case(name="at once", after=0.0, held="cooldown"),
    Case(name="just inside", after=59.9, held="cooldown"),
    Case(name="window over", after=60.0, held=""),
    Case(name="other zone", after=5.0, held="", zone="street"),
    Case(name="no zone", after=5.0, held="", zone=None),
    Case(name="other camera", after=5.0, held="", camera="shed"),
    Case(name="by hand", after=5.0, held="", kind=IncidentKind.MANUAL),
    Case(name="switched off", after=0.0, held="", rules=AlertRules(cooldown=0.0)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_what_a_cool_down_holds_back(outbox: Outbox, make: Maker, clock: HandClock, case: Case) -> None:
    """Only an incident of the same camera, first zone and kind within the window raises no alert of its own."""
    await enter(outbox, make.incident(), case.rules)
    clock.at += case.after
    second = await enter(outbox, make.incident(case.camera, case.zone, kind=case.kind), case.rules)
    assert (second.held, second.alerting) == (case.held, not case.held)
    assert len(await outbox.deliveries_of(second.id)) == (0 if case.held else len(PEOPLE))
    assert await outbox.incident(second.id) == second


async def test_the_window_counts_from_the_last_alerting_incident(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """Incidents every 25 s alert every third time: those held back do not prolong the window."""
    held = []
    for _ in range(7):
        held.append((await enter(outbox, make.incident())).held)
        clock.at += 25.0
    assert held == ["", "cooldown", "cooldown", "", "cooldown", "cooldown", ""]


async def test_what_was_held_back_is_told_once_when_the_window_ends(
    outbox: Outbox, make: Maker, clock: HandClock
) -> None:
    """Two more since the first of them, one alert per recipient; asking again tells nothing more."""
    first = await enter(outbox, make.incident())
    clock.at += 5.0
    second = await enter(outbox, make.incident())
    clock.at += 5.0
    await enter(outbox, make.incident())
    assert await outbox.next_window_end() == 160.0
    clock.at = 159.0
    assert await outbox.tell_ended_windows(PEOPLE) == 0
    clock.at = 160.0
    assert await outbox.tell_ended_windows(PEOPLE) == 1
    assert await outbox.tell_ended_windows(PEOPLE) == 0
    told = await notices(outbox)
    assert [delivery.destination for delivery, _ in told] == list(PEOPLE)
    assert {delivery.lane for delivery, _ in told} == {Lane.ALERT}
    notice = told[0][1]
    assert (notice.kind, notice.count, notice.since) == (NoticeKind.SUMMARY, 2, second.opened)
    assert (notice.camera, notice.zones, notice.incident) == ("door", ("yard",), first.id)
    assert await outbox.next_window_end() is None


async def test_an_alert_after_an_ended_window_is_preceded_by_its_summary(
    outbox: Outbox, make: Maker, clock: HandClock
) -> None:
    """When the next incident comes before anyone looked, the summary is drafted with it, before its alert."""
    await enter(outbox, make.incident())
    clock.at += 10.0
    await enter(outbox, make.incident())
    clock.at += 100.0
    third = await enter(outbox, make.incident())
    assert third.alerting
    kinds = ["notice" if delivery.incident is None else "alert" for delivery in reversed(await outbox.deliveries())]
    assert kinds == ["alert", "alert", "notice", "notice", "alert", "alert"]
    assert await outbox.tell_ended_windows(PEOPLE) == 0


async def test_a_quiet_window_ends_without_a_word(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """Where nothing was held back, nothing is told."""
    await enter(outbox, make.incident())
    clock.at += 61.0
    assert await outbox.tell_ended_windows(PEOPLE) == 0
    assert await notices(outbox) == []


@dataclass(frozen=True, kw_only=True)
class Restart:
    """What happens between two alike incidents, and whether the second is held back."""

    name: str
    trusted: bool
    reboot: bool
    away: float
    held: str


RESTARTS = [
    Restart(name="restart", trusted=True, reboot=False, away=20.0, held="cooldown"),
    Restart(name="restart, untrusted", trusted=False, reboot=False, away=20.0, held="cooldown"),
    Restart(name="reboot", trusted=True, reboot=True, away=20.0, held="cooldown"),
    Restart(name="reboot, over", trusted=True, reboot=True, away=70.0, held=""),
    Restart(name="reboot, untrusted", trusted=False, reboot=True, away=20.0, held=""),
]


@pytest.mark.parametrize("case", RESTARTS, ids=lambda case: case.name)
async def test_a_window_survives_a_restart(state_dir: Path, make: Maker, clock: HandClock, case: Restart) -> None:
    """The window holds after a restart, and after a reboot while time is trusted; in doubt the alert goes out."""
    before = await open_outbox(state_dir / "outbox.db", clock)
    await enter(before, make.incident())
    await before.close()
    clock.at += case.away
    if case.reboot:
        clock.reboot(trusted=case.trusted)
    clock.trusted = case.trusted
    after = await open_outbox(state_dir / "outbox.db", clock)
    assert (await enter(after, make.incident())).held == case.held
    await after.close()


async def test_what_was_held_back_before_a_reboot_is_told_when_time_is_unknown(
    state_dir: Path, make: Maker, clock: HandClock
) -> None:
    """A window whose end can't be known any more ends now: nothing held back is forgotten."""
    before = await open_outbox(state_dir / "outbox.db", clock)
    await enter(before, make.incident())
    await enter(before, make.incident())
    await before.close()
    clock.reboot(trusted=False)
    after = await open_outbox(state_dir / "outbox.db", clock)
    assert await after.next_window_end() == clock.at
    assert await after.tell_ended_windows(PEOPLE) == 1
    assert [notice.count for _, notice in await notices(after)] == [1, 1]
    await after.close()


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ({"alerting": False, "held": "disarmed"}, "disarmed"),
        ({"alerting": False}, "disarmed"),
        ({"continues": "f" * 32}, "continuation"),
    ],
)
async def test_what_raises_no_alert_and_is_not_told(
    outbox: Outbox, make: Maker, clock: HandClock, change: dict[str, object], held: str
) -> None:
    """While disarmed, and for continuations, there is neither alert nor summary, and no window begins."""
    quiet = await enter(outbox, replace(make.incident(), **change))  # type: ignore[arg-type]
    assert (quiet.held, quiet.alerting) == (held, False)
    assert (await enter(outbox, make.incident())).alerting
    clock.at += 100.0
    assert await outbox.tell_ended_windows(PEOPLE) == 0


async def test_entering_an_incident_twice_changes_nothing(outbox: Outbox, make: Maker) -> None:
    """A repeated call returns the incident as it was decided first, and its alerts stay as they are."""
    incident = make.incident()
    first = await enter(outbox, incident)
    held = make.incident()
    second = await enter(outbox, held)
    assert await enter(outbox, incident) == first
    assert await enter(outbox, held) == second
    assert len(await outbox.deliveries()) == len(PEOPLE)


# ------------------------------------------------------------------------------------------------ the cap

CAPPED = AlertRules(cooldown=0.0, cap_per_hour=3)


async def test_the_cap_holds_back_what_exceeds_it_in_any_hour(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """With three an hour, incidents every ten minutes get their alert until three lie within the last hour."""
    held = []
    for _ in range(9):
        held.append((await enter(outbox, make.incident(), CAPPED)).held)
        clock.at += 600.0
    assert held == ["", "", "", "cap", "cap", "cap", "", "", ""]


async def test_the_excess_is_told_in_one_summary(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """Whatever the cameras, the cap's summary counts them all, an hour after the first that was held back."""
    first_held: list[Incident] = []
    for number in range(6):
        incident = await enter(outbox, make.incident(f"camera-{number}"), CAPPED)
        first_held += [incident] if incident.held else []
        clock.at += 60.0
    start = first_held[0].opened.mono
    clock.at = start + 3599.0
    assert await outbox.tell_ended_windows(PEOPLE) == 0
    clock.at = start + 3600.0
    assert await outbox.tell_ended_windows(PEOPLE) == 1
    told = await notices(outbox)
    assert len(told) == len(PEOPLE)
    notice = told[0][1]
    assert (notice.kind, notice.count, notice.camera) == (NoticeKind.CAP, 3, "")
    assert (notice.since, notice.incident) == (first_held[0].opened, first_held[0].id)


async def test_the_cap_lets_alerts_out_when_time_is_unknown(state_dir: Path, make: Maker, clock: HandClock) -> None:
    """After a reboot with an untrusted clock the alerts of before do not count."""
    before = await open_outbox(state_dir / "outbox.db", clock)
    for _ in range(3):
        await enter(before, make.incident(), CAPPED)
    await before.close()
    clock.reboot(trusted=False)
    after = await open_outbox(state_dir / "outbox.db", clock)
    assert (await enter(after, make.incident(), CAPPED)).alerting
    await after.close()


async def test_an_incident_in_a_cool_down_does_not_count_for_the_cap(
    outbox: Outbox, make: Maker, clock: HandClock
) -> None:
    """What the cool-down holds back is told by it alone."""
    rules = AlertRules(cooldown=60.0, cap_per_hour=2)
    held: Sequence[str] = [(await enter(outbox, make.incident(), rules)).held for _ in range(3)]
    other = await enter(outbox, make.incident("shed"), rules)
    assert (*held, other.held) == ("", "cooldown", "cooldown", "")
    assert (await enter(outbox, make.incident("roof"), rules)).held == "cap"


async def test_every_alert_delivery_starts_pending(outbox: Outbox, make: Maker) -> None:
    """Alerts are due at once and unfrozen."""
    incident = await enter(outbox, make.incident())
    for delivery in await outbox.deliveries_of(incident.id):
        assert (delivery.state, delivery.message, delivery.due) == (State.PENDING, None, 100.0)
