"""A lane worked off: urgency, gates, what is set aside, the return of the line, and stops at any moment."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from edged.base.errors import (
    CredentialsError,
    DeliveryError,
    FileLostError,
    NoAnswerError,
    PossiblySentError,
    RefusedError,
    RejectedError,
)
from edged.base.gate import GateState
from edged.base.pulse import Pulse
from edged.model import Lane, State
from edged.outbox.policy import Destinations
from edged.outbox.store import Outbox, open_outbox
from edged.push.loop import LaneWorker
from edged.push.manifests import manifest_for
from edged.push.settings import BackoffSettings, PushSettings
from edged.push.targets.proof import unproven
from edged.push.transfers import Transfers
from edged.wire.receipt import Proof
from tests.push.outbox import add_clip, add_incident

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.model import Delivery
    from edged.push.transfers import Transfer
    from edged.wire.receipt import Receipt
    from tests.simloop import SimClock, Simulate

_TO = Destinations(recipients=("ann@example.org", "bob@example.org"), receiver=True, folders=("usb",))


class Peer:
    """Stands for targets and relays: takes what it is told to take, and remembers the attempts."""

    def __init__(self, clock: Clock, outbox: Outbox) -> None:
        self._outbox = outbox
        self.attempts: list[tuple[float, str, int]] = []
        self.faults: dict[str, DeliveryError] = {}  # by destination
        self.takes = 0.0  # seconds
        self.moves = 0  # bytes that are held after each attempt, more each time
        self._clock = clock

    async def deliver(self, delivery: Delivery, transfer: Transfer) -> Receipt | None:
        """Fail as told, or succeed."""
        self.attempts.append((self._clock.mono(), delivery.destination, delivery.id))
        count = len(self.attempts)
        if self.moves:
            transfer.progress(self.moves * (count - 1))
            transfer.progress(self.moves * count)
        if self.takes:
            await asyncio.sleep(self.takes)
        fault = self.faults.get(delivery.destination)
        if fault is not None:
            raise fault
        if delivery.lane is Lane.ALERT:
            await self._outbox.complete(delivery.id, None)
            return None
        return unproven(await manifest_for(self._outbox, delivery), Proof.CLAIMED, receiver="peer", issued=0.0)

    def to(self, destination: str) -> list[float]:
        """Return when `destination` was tried."""
        return [when for when, where, _ in self.attempts if where == destination]


class Scene:
    """An outbox, a peer, and a worker between them that runs until told to stop."""

    def __init__(self, clock: SimClock, outbox: Outbox) -> None:
        self.clock, self.outbox = clock, outbox
        self.peer = Peer(clock, outbox)
        self.away: set[str] = set()
        self.transfers = Transfers()
        self.pulse = Pulse("push", 60.0, clock)
        self.worker = self.make_worker(Lane.BULK)

    def make_worker(self, lane: Lane, parallel: int = 1) -> LaneWorker:
        """Return a worker for `lane`."""

        def away() -> Collection[str]:
            return self.away

        return LaneWorker(
            lane,
            self.peer.deliver,
            outbox=self.outbox,
            transfers=self.transfers,
            settings=PushSettings(backoff=BackoffSettings(budget=12)),
            parallel=parallel,
            clock=self.clock,
            rng=Random(1),
            away=away,
        )

    async def run_for(self, seconds: float) -> None:
        """Let the worker run for so long, then cancel it."""
        job = asyncio.create_task(self.worker.run(self.pulse))
        await asyncio.sleep(seconds)
        assert not job.done(), job
        job.cancel()
        await asyncio.wait({job})

    async def states(self) -> list[tuple[str, State]]:
        """Return destination and state of each delivery, oldest first."""
        return [(delivery.destination, delivery.state) for delivery in reversed(await self.outbox.deliveries())]

    async def one(self, destination: str) -> Delivery:
        """Return the only delivery to `destination`."""
        (found,) = [row for row in await self.outbox.deliveries() if row.destination == destination]
        return found


def play(
    simulate: Simulate,
    folder: Path,
    act: Callable[[Scene], Awaitable[None]],
    destinations: Destinations = _TO,
    clips: int = 1,
) -> None:
    """Play `act` in virtual time with an outbox that holds one incident and its clips."""

    async def scene(clock: SimClock) -> None:
        outbox = await open_outbox(folder / "outbox.db", clock)
        incident = await add_incident(outbox, clock, destinations)
        for part in range(1, clips + 1):
            await add_clip(outbox, clock, incident, destinations, b"x" * 100, part=part)
        try:
            await act(Scene(clock, outbox))
        finally:
            await outbox.close()

    simulate(scene)


def test_everything_of_the_lane_is_delivered(simulate: Simulate, state_dir: Path) -> None:
    """The bulk lane delivers the clip to both stores and touches no alert; the alert lane the other way round."""

    async def act(scene: Scene) -> None:
        await scene.run_for(1)
        done, pending = State.DONE, State.PENDING
        assert sorted(await scene.states()) == [
            ("folder:usb", done),
            ("mail:ann@example.org", pending),
            ("mail:bob@example.org", pending),
            ("receiver", done),
        ]
        scene.worker = scene.make_worker(Lane.ALERT)
        await scene.run_for(1)
        assert {state for _, state in await scene.states()} == {done}
        assert scene.transfers.under_way() == ()

    play(simulate, state_dir, act)


def test_a_folder_takes_one_copy_at_a_time(simulate: Simulate, state_dir: Path) -> None:
    """Its copies follow each other though two places are free, so that none finds the folder's thread busy."""

    async def act(scene: Scene) -> None:
        scene.peer.takes, scene.away = 4.0, {"receiver"}
        scene.worker = scene.make_worker(Lane.BULK, parallel=2)
        await scene.run_for(60)
        assert all(later - sooner >= scene.peer.takes for sooner, later in pairwise(scene.peer.to("folder:usb")))
        assert {state for where, state in await scene.states() if where == "folder:usb"} == {State.DONE}

    play(simulate, state_dir, act, clips=4)


def test_new_work_is_seen_at_once(simulate: Simulate, state_dir: Path) -> None:
    """A clip sealed while the worker sleeps goes out without waiting for the next look."""

    async def act(scene: Scene) -> None:
        job = asyncio.create_task(scene.worker.run(scene.pulse))
        await asyncio.sleep(25)
        (incident,) = await scene.outbox.incidents()
        sealed = scene.clock.mono()
        await add_clip(scene.outbox, scene.clock, incident, _TO, b"y", part=2)
        await asyncio.sleep(1)
        assert max(scene.peer.to("receiver")) == sealed
        job.cancel()
        await asyncio.wait({job})

    play(simulate, state_dir, act)


def test_no_answer_costs_nothing_and_closes_the_gate_after_five(simulate: Simulate, state_dir: Path) -> None:
    """An outage of hours: five attempts, then one probe a minute or less, no attempt spent, and others go on."""

    async def act(scene: Scene) -> None:
        scene.peer.faults["receiver"] = NoAnswerError("silence")
        await scene.run_for(28_800)
        delivery = await scene.one("receiver")
        assert (delivery.state, delivery.attempts, delivery.last_error) == (State.PENDING, 0, "silence")
        assert 32 < len(scene.peer.to("receiver")) < 200
        assert len(scene.peer.to("folder:usb")) == 1
        assert scene.worker.gates["receiver"].state is not GateState.UP

    play(simulate, state_dir, act)


def test_an_outage_writes_nothing_to_the_card(simulate: Simulate, state_dir: Path) -> None:
    """The reason is kept once; after that, days of failures commit nothing."""

    async def act(scene: Scene) -> None:
        scene.peer.faults["receiver"] = NoAnswerError("silence")
        await scene.run_for(600)
        before = await scene.outbox.sequence()
        written = (state_dir / "outbox.db-wal").stat().st_size
        await scene.run_for(20_000)
        assert await scene.outbox.sequence() == before
        assert (state_dir / "outbox.db-wal").stat().st_size == written

    play(simulate, state_dir, act)


def test_when_the_line_returns_work_starts_at_once(simulate: Simulate, state_dir: Path) -> None:
    """Neither the back-off nor the closed gate keeps anything waiting once the line is back."""

    async def act(scene: Scene) -> None:
        scene.peer.faults["receiver"] = NoAnswerError("silence")
        await scene.run_for(40_000)
        job = asyncio.create_task(scene.worker.run(scene.pulse))
        while scene.worker.gates["receiver"].wait(scene.clock.mono()) < 30.0:
            await asyncio.sleep(1)
        scene.peer.faults.clear()
        back = scene.clock.mono()
        scene.worker.hasten("receiver")
        await asyncio.sleep(0.1)
        assert (await scene.one("receiver")).state is State.DONE
        assert max(scene.peer.to("receiver")) == back
        job.cancel()
        await asyncio.wait({job})

    play(simulate, state_dir, act)


def test_destinations_that_are_away_are_not_tried(simulate: Simulate, state_dir: Path) -> None:
    """While the line is down nothing is tried over it, and what goes elsewhere does not wait."""

    async def act(scene: Scene) -> None:
        scene.away = {"receiver"}
        await scene.run_for(3600)
        assert scene.peer.to("receiver") == []
        assert (await scene.one("folder:usb")).state is State.DONE
        scene.away = set()
        await scene.run_for(11)
        assert (await scene.one("receiver")).state is State.DONE

    play(simulate, state_dir, act)


def test_refusals_cost_attempts_until_the_budget_ends(simulate: Simulate, state_dir: Path) -> None:
    """Twelve refusals and the delivery is dead with the reason shown; a person can drive it again."""

    async def act(scene: Scene) -> None:
        scene.peer.faults["receiver"] = RefusedError("no room")
        await scene.run_for(14_400)
        delivery = await scene.one("receiver")
        assert (delivery.state, delivery.last_error) == (State.DEAD, "no room")
        assert len(scene.peer.to("receiver")) == 12
        scene.peer.faults.clear()
        await scene.outbox.redrive(delivery.id)
        await scene.run_for(100)
        assert (await scene.one("receiver")).state is State.DONE

    play(simulate, state_dir, act)


def test_progress_renews_the_budget(simulate: Simulate, state_dir: Path) -> None:
    """A delivery that gets further with each attempt never dies, however often it is refused."""

    async def act(scene: Scene) -> None:
        scene.peer.faults["receiver"] = RefusedError("no room")
        scene.peer.moves = 10
        await scene.run_for(1200)
        delivery = await scene.one("receiver")
        assert delivery.state is State.PENDING
        assert delivery.attempts == 1
        assert len(scene.peer.to("receiver")) > 20

    play(simulate, state_dir, act)


def test_a_refusal_for_good_is_not_repeated(simulate: Simulate, state_dir: Path) -> None:
    """What can't heal is dead at once, and the destination stays open for all else."""

    async def act(scene: Scene) -> None:
        scene.peer.faults["receiver"] = RejectedError("wrong type")
        await scene.run_for(3600)
        assert (await scene.one("receiver")).state is State.DEAD
        assert len(scene.peer.to("receiver")) == 1
        assert scene.worker.gates["receiver"].state is GateState.UP

    play(simulate, state_dir, act)


def test_a_wrong_key_pauses_the_destination(simulate: Simulate, state_dir: Path) -> None:
    """With the wrong key the receiver is asked every half hour, no attempt is spent, and mending it is enough."""

    async def act(scene: Scene) -> None:
        scene.peer.faults["receiver"] = CredentialsError("wrong key")
        await scene.run_for(3 * 3600)
        assert 6 <= len(scene.peer.to("receiver")) <= 8
        assert (await scene.one("receiver")).attempts == 0
        scene.peer.faults.clear()
        await scene.run_for(1900)
        assert (await scene.one("receiver")).state is State.DONE

    play(simulate, state_dir, act)


def test_a_busy_receiver_is_left_alone_and_costs_nothing(simulate: Simulate, state_dir: Path) -> None:
    """A receiver that is full for a day and says when to come back kills no delivery."""

    async def act(scene: Scene) -> None:
        scene.peer.faults["receiver"] = RefusedError("full", retry_after=600.0)
        await scene.run_for(86_400)
        delivery = await scene.one("receiver")
        assert (delivery.state, delivery.attempts) == (State.PENDING, 0)
        assert len(scene.peer.to("receiver")) <= 145

    play(simulate, state_dir, act)


def test_a_lost_file_is_entered_as_a_loss(simulate: Simulate, state_dir: Path) -> None:
    """A file that is missing here is dead for every destination, and one loss is in the ledger."""

    async def act(scene: Scene) -> None:
        scene.peer.faults["receiver"] = FileLostError("part-001.mp4 is gone")
        scene.away = {"folder:usb"}
        await scene.run_for(10)
        (loss,) = await scene.outbox.losses()
        assert "part-001.mp4 is gone" in loss.reason
        assert (await scene.one("folder:usb")).state is State.DEAD

    play(simulate, state_dir, act)


def test_a_mail_without_an_answer_is_counted_as_possibly_sent(simulate: Simulate, state_dir: Path) -> None:
    """Each attempt that may have arrived is counted and costs one, so that nobody gets it without end."""

    async def act(scene: Scene) -> None:
        scene.peer.faults["mail:ann@example.org"] = PossiblySentError("no reply after the last dot")
        scene.worker = scene.make_worker(Lane.ALERT, parallel=2)
        await scene.run_for(14_400)
        ann, bob = await scene.one("mail:ann@example.org"), await scene.one("mail:bob@example.org")
        assert (ann.state, bob.state) == (State.DEAD, State.DONE)
        assert len(scene.peer.to("mail:ann@example.org")) == 12

    play(simulate, state_dir, act)


def test_a_hanging_peer_holds_one_place_only(simulate: Simulate, state_dir: Path) -> None:
    """With two places, an address whose relay takes ten minutes delays the other one by nothing."""

    async def act(scene: Scene) -> None:
        scene.peer.takes = 600.0
        scene.worker = scene.make_worker(Lane.ALERT, parallel=2)
        await scene.run_for(601)
        first, second = scene.peer.to("mail:ann@example.org")[0], scene.peer.to("mail:bob@example.org")[0]
        assert first == second
        assert {state for where, state in await scene.states() if where.startswith("mail")} == {State.DONE}

    play(simulate, state_dir, act)


def test_an_address_is_written_to_once_at_a_time(simulate: Simulate, state_dir: Path) -> None:
    """While the relay of one person hangs, a second alert for the same does not take the place another needs."""
    ann, bob = Destinations(recipients=("ann@example.org",)), Destinations(recipients=("bob@example.org",))

    async def act(scene: Scene) -> None:
        await add_incident(scene.outbox, scene.clock, ann)
        await asyncio.sleep(1)
        await add_incident(scene.outbox, scene.clock, bob)
        scene.peer.takes = 600.0
        scene.worker = scene.make_worker(Lane.ALERT, parallel=2)
        await scene.run_for(500)
        assert sorted(where for _, where, _ in scene.peer.attempts) == ["mail:ann@example.org", "mail:bob@example.org"]

    play(simulate, state_dir, act, ann)


def test_a_closed_gate_lets_one_probe_through_at_a_time(simulate: Simulate, state_dir: Path) -> None:
    """With many clips waiting and four places, a receiver that is down sees single probes, not a herd."""

    async def act(scene: Scene) -> None:
        scene.peer.faults["receiver"] = NoAnswerError("silence")
        scene.peer.takes = 1.0
        scene.worker = scene.make_worker(Lane.BULK, parallel=4)
        await scene.run_for(3600)
        times = scene.peer.to("receiver")
        late = [when for when in times if when > times[0] + 30]
        assert len(late) > 10
        assert all(after - before > 50 for before, after in pairwise(late))

    play(simulate, state_dir, act, Destinations(receiver=True), clips=20)


def test_a_stop_in_mid_delivery_leaves_it_pending(simulate: Simulate, state_dir: Path) -> None:
    """A cancelled delivery is as if never tried: no attempt spent, no gate closed, next time it goes."""

    async def act(scene: Scene) -> None:
        scene.peer.takes = 100.0
        for _ in range(8):
            await scene.run_for(50)
        delivery = await scene.one("receiver")
        assert (delivery.state, delivery.attempts, delivery.last_error) == (State.PENDING, 0, "")
        assert scene.worker.gates[scene.peer.attempts[0][1]].state is GateState.UP
        assert scene.transfers.under_way() == ()
        scene.peer.takes = 0.0
        await scene.run_for(1)
        assert (await scene.one("receiver")).state is State.DONE

    play(simulate, state_dir, act)


def test_a_stop_is_heard_even_together_with_new_work(simulate: Simulate, state_dir: Path) -> None:
    """A cancellation that comes in the same moment as new work ends the lane: nothing swallows it."""

    async def act(scene: Scene) -> None:
        job = asyncio.create_task(scene.worker.run(scene.pulse))
        await asyncio.sleep(15)
        scene.worker.hasten()
        await asyncio.sleep(0)
        job.cancel()
        await asyncio.wait({job}, timeout=100)
        assert job.cancelled()

    play(simulate, state_dir, act)


def test_a_defect_in_one_delivery_stops_no_other(simulate: Simulate, state_dir: Path) -> None:
    """An exception that nobody foresaw costs its delivery an attempt; the lane goes on."""

    async def act(scene: Scene) -> None:
        plain = scene.peer.deliver

        async def deliver(delivery: Delivery, transfer: Transfer) -> Receipt | None:
            if delivery.destination == "folder:usb":
                raise ZeroDivisionError("a defect")
            return await plain(delivery, transfer)

        scene.worker = LaneWorker(
            Lane.BULK,
            deliver,
            outbox=scene.outbox,
            transfers=scene.transfers,
            settings=PushSettings(),
            parallel=1,
            clock=scene.clock,
            rng=Random(1),
        )
        await scene.run_for(2)
        assert (await scene.one("receiver")).state is State.DONE
        usb = await scene.one("folder:usb")
        assert (usb.state, usb.attempts) == (State.PENDING, 1)
        assert usb.last_error == "failed unexpectedly: ZeroDivisionError: a defect"

    play(simulate, state_dir, act)


def test_the_pulse_beats_while_nothing_happens(simulate: Simulate, state_dir: Path) -> None:
    """An idle lane is alive: the supervisor must not restart it."""

    async def act(scene: Scene) -> None:
        await scene.run_for(1)
        job = asyncio.create_task(scene.worker.run(scene.pulse))
        for _ in range(20):
            await asyncio.sleep(30)
            assert not scene.pulse.silent()
        job.cancel()
        await asyncio.wait({job})

    play(simulate, state_dir, act)
