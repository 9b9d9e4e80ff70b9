from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from edged.model import Lane, State
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import Destinations, alert_drafts, clip_drafts, snapshot_drafts
from edged.outbox.store import open_outbox
from tests.outbox.world import HandClock, Maker, receipt

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from edged.model import Delivery, Incident

T = TypeVar("T")

HERE = Destinations(recipients=("a@example.org", "b@example.org"), receiver=True, folders=("usb",))
RULES = AlertRules(cooldown=60.0, cap_per_hour=4)
OVER = (State.DONE, State.DROPPED)


@dataclass(kw_only=True)
class Row:
    """What the model knows of a delivery."""

    key: str
    lane: Lane
    priority: int
    destination: str
    due: float
    state: State
    arrived: int = 0


class OutboxMachine(RuleBasedStateMachine):
    """The outbox beside a plain model of it: nothing is lost, nothing done twice, whatever order things happen in."""

    open_incidents = Bundle("open_incidents")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.home = tempfile.TemporaryDirectory()
        self.path = Path(self.home.name) / "outbox.db"
        self.clock = HandClock()
        self.make = Maker(clock=self.clock, root=self.path.parent)
        self.rows: dict[int, Row] = {}
        self.incidents: list[Incident] = []
        self.parts: Counter[str] = Counter()
        self.outbox = self.run(open_outbox(self.path, self.clock))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one call of the outbox to its end."""
        return self.runner.run(work)

    def teardown(self) -> None:
        """Close everything."""
        self.run(self.outbox.close())
        self.runner.close()
        self.home.cleanup()

    def learn(self) -> None:
        """Take over rows that the last call entered."""
        for delivery in self.run(self.outbox.deliveries(limit=10_000)):
            self.rows.setdefault(delivery.id, row_of(delivery))

    # ----------------------------------------------------------------------------------------- what happens

    @rule(target=open_incidents, camera=st.sampled_from(["door", "shed"]), twice=st.booleans())
    def open_incident(self, camera: str, twice: bool) -> Incident:
        """Something moves; the call may be repeated."""
        incident = self.make.incident(camera)
        snapshot = self.make.snapshot(incident)
        drafts = [*alert_drafts(incident, HERE), *snapshot_drafts(snapshot, HERE)]
        decided = self.run(self.outbox.open_incident(incident, drafts, RULES, snapshot))
        if twice:
            assert self.run(self.outbox.open_incident(incident, drafts, RULES, snapshot)) == decided
        self.incidents.append(decided)
        self.learn()
        return decided

    @rule(incident=open_incidents, twice=st.booleans())
    def seal_part(self, incident: Incident, twice: bool) -> None:
        """A part is sealed while the incident goes on."""
        self.parts[incident.id] += 1
        clip = self.make.clip(incident, self.parts[incident.id])
        for _ in range(1 + twice):
            self.run(self.outbox.add_clip(clip, clip_drafts(clip, HERE)))
        self.learn()

    @rule(incident=consumes(open_incidents))
    def close_incident(self, incident: Incident) -> None:
        """It ends, once."""
        assert self.run(self.outbox.close_incident(incident.id, self.make.now()))
        assert not self.run(self.outbox.close_incident(incident.id, self.make.now()))

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0, 3700.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, and ended windows are told."""
        self.clock.at += seconds
        self.run(self.outbox.tell_ended_windows(HERE.people))
        self.learn()

    @rule(reboot=st.booleans(), trusted=st.booleans())
    def restart(self, reboot: bool, trusted: bool) -> None:
        """The process starts anew, perhaps after a reboot without a clock."""
        self.run(self.outbox.close())
        if reboot:
            self.clock.reboot(trusted=trusted)
            for row in self.rows.values():
                row.due = 0.0 if row.state is State.PENDING else row.due
        self.outbox = self.run(open_outbox(self.path, self.clock))

    @rule(
        lane=st.sampled_from(Lane),
        outcome=st.sampled_from(["complete", "refused", "unanswered", "bury", "drop", "lose", "twice"]),
        closed=st.sets(st.sampled_from(["receiver", "folder:usb", "mail:a@example.org"]), max_size=2),
    )
    def attempt(self, lane: Lane, outcome: str, closed: set[str]) -> None:
        """A worker claims what the model says is next, and something becomes of it."""
        waiting = [
            (row.priority, row.due, id_)
            for id_, row in self.rows.items()
            if row.state is State.PENDING and row.lane is lane and row.due <= self.clock.at
            if row.destination not in closed
        ]
        claimed = self.run(self.outbox.next_delivery(lane, self.clock.at, closed=closed))
        assert (None if claimed is None else claimed.id) == (min(waiting)[2] if waiting else None)
        if claimed is not None:
            self.finish(claimed, outcome)

    def finish(self, delivery: Delivery, outcome: str) -> None:
        """Bring an attempt to its end, in the outbox and in the model."""
        row, id_ = self.rows[delivery.id], delivery.id
        if outcome in {"complete", "twice"}:
            row.arrived += self.run(self.outbox.complete(id_, receipt(delivery.key, size=delivery.size)))
            if outcome == "twice":
                row.arrived += self.run(self.outbox.complete(id_, None))
            row.state = State.DONE
        elif outcome in {"refused", "unanswered"}:
            row.due = self.clock.at + 45.0
            self.run(self.outbox.retry(id_, row.due, outcome, costs=outcome == "refused"))
        elif outcome == "bury":
            self.run(self.outbox.bury(id_, "550"))
            row.state = State.DEAD
        elif outcome == "drop":
            assert self.run(self.outbox.drop(id_))
            row.state = State.DROPPED
        elif delivery.path is not None:
            proven = any(self.proves(other) for other in self.of_file(delivery))
            assert self.run(self.outbox.lose(id_, "missing")) == (not proven)
            for other in self.of_file(delivery):
                if self.rows[other.id].state not in OVER:
                    self.rows[other.id].state = State.DROPPED if proven else State.DEAD

    def of_file(self, delivery: Delivery) -> tuple[Delivery, ...]:
        """Return all deliveries of the same file."""
        return self.run(self.outbox.deliveries_for(delivery.subject))

    def proves(self, delivery: Delivery) -> bool:
        """Return whether this delivery proved its file to be at the receiver."""
        return delivery.state is State.DONE and delivery.destination == "receiver"

    @precondition(lambda self: any(row.state is State.DEAD for row in self.rows.values()))
    @rule(data=st.data())
    def redrive(self, data: st.DataObject) -> None:
        """A person drives a dead delivery again; it comes back unless its file is gone."""
        dead = sorted(id_ for id_, row in self.rows.items() if row.state is State.DEAD)
        id_ = data.draw(st.sampled_from(dead))
        if self.run(self.outbox.redrive(id_)):
            self.rows[id_].state, self.rows[id_].due = State.PENDING, self.clock.at

    # ------------------------------------------------------------------------------------- what always holds

    @invariant()
    def every_delivery_is_where_the_model_says(self) -> None:
        """No row is missing, none is new, none changed on its own; nothing arrived twice."""
        found = {each.id: each for each in self.run(self.outbox.deliveries(limit=10_000))}
        assert {id_: (each.key, each.state) for id_, each in found.items()} == {
            id_: (row.key, row.state) for id_, row in self.rows.items()
        }
        assert len({row.key for row in self.rows.values()}) == len(self.rows)
        assert all(row.arrived == (row.state is State.DONE) for row in self.rows.values())

    @invariant()
    def every_incident_is_told_once(self) -> None:
        """Each recipient has the incident's own alert, or one notice, told or still to come, counts it."""
        deliveries = self.run(self.outbox.deliveries(limit=10_000))
        own = Counter(
            (each.incident, each.destination) for each in deliveries if each.lane is Lane.ALERT and each.incident
        )
        told = Counter(each.subject for each in deliveries if each.lane is Lane.ALERT and each.incident is None)
        assert set(told.values()) <= {len(HERE.people)}
        counted = sum(notice.count for notice in map(self.notice, told) if notice is not None)
        waiting = self.run(self.outbox.database.read(_held_in_windows))
        held = [incident for incident in self.incidents if incident.held]
        assert counted + waiting == len(held)
        assert own == {
            (incident.id, destination): 1
            for incident in self.incidents
            if not incident.held
            for destination in HERE.people
        }

    def notice(self, id_: str) -> Any:
        """Return a notice."""
        return self.run(self.outbox.notice(id_))


def _held_in_windows(tx: Any) -> int:
    (count,) = tx.execute("SELECT count(*) FROM incidents JOIN windows USING (notice)").fetchone()
    return int(count)


def row_of(delivery: Delivery) -> Row:
    """Return what the model keeps of a new delivery."""
    return Row(
        key=delivery.key,
        lane=delivery.lane,
        priority=delivery.priority,
        destination=delivery.destination,
        due=delivery.due,
        state=delivery.state,
    )


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
