"""A lane of the outbox worked off: pick the most urgent delivery that is due, deliver it, enter what became of it.

The bulk lane and the alert lane are two of these, so no alert waits for a clip. Each destination has a gate; those
that are closed are left out of the choice. What got no answer is set aside in memory and tried again after a back-off,
or at once when the line returns.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from edged.base.errors import CredentialsError, DeliveryError, RefusedError
from edged.base.gate import Gate
from edged.model import Lane
from edged.push.verdict import Fate, Mark, Verdict, gate_figures, judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from random import Random

    from edged.base.clock import Clock
    from edged.base.pulse import Pulse
    from edged.model import Delivery
    from edged.outbox.store import Outbox
    from edged.push.settings import PushSettings
    from edged.push.transfers import Transfer, Transfers
    from edged.wire.receipt import Receipt

    Deliver = Callable[[Delivery, Transfer], Awaitable[Receipt | None]]

log = structlog.get_logger(__name__)

_FOLDER = "folder:"
_LOOK = 10.0  # seconds between looks when nothing happens: the pulse goes on, changed rates and times are seen


class LaneWorker:
    """Works one lane off with `parallel` deliveries at a time.

    `deliver` carries one out: it returns the receipt, or None when it has completed the delivery itself, or raises
    DeliveryError. `away` names the destinations that can't be reached now. Alerts go out one at a time per address, and
    copies one at a time per folder: where one hangs the next would too, and keep the places that others need.
    """

    def __init__(
        self,
        lane: Lane,
        deliver: Deliver,
        *,
        outbox: Outbox,
        transfers: Transfers,
        settings: PushSettings,
        parallel: int,
        clock: Clock,
        rng: Random,
        away: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self.gates: dict[str, Gate] = {}
        self._lane = lane
        self._deliver = deliver
        self._outbox = outbox
        self._transfers = transfers
        self._settings = settings
        self._parallel = parallel
        self._clock = clock
        self._rng = rng
        self._away = away
        self._work = [outbox.subscribe() for _ in range(parallel)]
        self._picking = asyncio.Lock()
        self._busy: dict[int, str] = {}  # delivery under way -> its destination
        self._aside: dict[int, float] = {}  # delivery -> mono of its next attempt
        self._silences: dict[int, int] = {}  # delivery -> attempts without an answer since it last moved
        self._best: dict[int, int] = {}  # delivery -> bytes that its destination was known to hold at most

    def adopt(self, settings: PushSettings) -> None:
        """Go by other settings from the next verdict on, all but the number of deliveries at a time."""
        self._settings = settings
        for gate in self.gates.values():
            gate.adopt(gate_figures(settings))

    async def run(self, pulse: Pulse) -> None:
        """Work until cancelled; what is under way stops at its next piece."""
        async with asyncio.TaskGroup() as workers:
            for work in self._work:
                workers.create_task(self._repeat(work, pulse))

    async def _repeat(self, work: asyncio.Event, pulse: Pulse) -> None:
        while True:
            await self.step(work, pulse)

    async def step(self, work: asyncio.Event, pulse: Pulse) -> None:
        """Carry out one delivery, or wait until there may be one."""
        work.clear()
        delivery = await self._pick()
        if delivery is None:
            await self._wait(work)
        else:
            await self._attempt(delivery, pulse)
        pulse.beat()

    def hasten(self, destination: str | None = None, *, overrule: bool = False) -> None:
        """Try again at once what was set aside, for `destination` or all: the line has come back.

        With `overrule` also where the peer asked to be left alone or refused the key: a person wants it so.
        """
        for name, gate in self.gates.items():
            if destination in {None, name}:
                gate.hasten(overrule=overrule)
        self._aside.clear()
        for work in self._work:
            work.set()

    # ------------------------------------------------------------------------------------------------ picking

    async def _pick(self) -> Delivery | None:
        """Return the next delivery, held as busy and let through by its gate."""
        async with self._picking:
            declined: set[str] = set()
            while True:
                closed = self._closed() | declined
                delivery = await self._outbox.next_delivery(
                    self._lane, self._clock.mono(), busy=self._held(), closed=closed
                )
                if delivery is None:
                    return None
                if self._gate(delivery.destination).admit(self._clock.mono()):
                    self._busy[delivery.id] = delivery.destination
                    return delivery
                declined.add(delivery.destination)

    def _closed(self) -> set[str]:
        now = self._clock.mono()
        closed = {name for name, gate in self.gates.items() if gate.wait(now) > 0.0} | set(self._away())
        return closed | {name for name in self._busy.values() if self._lane is Lane.ALERT or name.startswith(_FOLDER)}

    def _held(self) -> set[int]:
        now = self._clock.mono()
        self._aside = {delivery: until for delivery, until in self._aside.items() if until > now}
        return self._busy.keys() | self._aside.keys()

    def _gate(self, destination: str) -> Gate:
        return self.gates.setdefault(destination, Gate(gate_figures(self._settings)))

    async def _wait(self, work: asyncio.Event) -> None:
        now = self._clock.mono()
        due = await self._outbox.next_due(self._lane, busy=self._held(), closed=self._closed())
        times = [due, *self._aside.values(), *(now + gate.wait(now) for gate in self.gates.values())]
        wait = min((time - now for time in times if time is not None and time > now), default=_LOOK)
        # not wait_for: until Python 3.12 it swallows a cancellation that comes together with the event
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(wait, _LOOK)):
                await work.wait()

    # -------------------------------------------------------------------------------------------- an attempt

    async def _attempt(self, delivery: Delivery, pulse: Pulse) -> None:
        gate = self._gate(delivery.destination)
        name = delivery.path.name if delivery.path is not None else delivery.subject
        transfer = self._transfers.begin(delivery, name, pulse.beat, self._best.get(delivery.id, 0))
        try:
            receipt = await self._carry(delivery, transfer)
        except asyncio.CancelledError:
            gate.cancel()
            raise
        except DeliveryError as error:
            await self._settle(delivery, transfer, error)
        else:
            gate.succeed()
            self._forget(delivery)
            if receipt is not None and await self._outbox.complete(delivery.id, receipt):
                _tell_done(delivery, receipt)
        finally:
            self._transfers.end(transfer)
            del self._busy[delivery.id]

    async def _carry(self, delivery: Delivery, transfer: Transfer) -> Receipt | None:
        try:
            return await self._deliver(delivery, transfer)
        except DeliveryError:
            raise
        except Exception as error:  # a border: a defect that one delivery brings out must not stop all others
            log.error("delivery failed unexpectedly", **_facts(delivery), exc_info=error)
            raise RefusedError(f"failed unexpectedly: {type(error).__name__}: {error}") from error

    async def _settle(self, delivery: Delivery, transfer: Transfer, error: DeliveryError) -> None:
        now = self._clock.mono()
        if transfer.moved:
            self._silences.pop(delivery.id, None)
            self._best[delivery.id] = transfer.held
            if delivery.attempts:
                await self._outbox.renew(delivery.id)
                delivery = replace(delivery, attempts=0)
        silences = self._silences.get(delivery.id, 0)
        verdict = judge(error, delivery, silences, self._settings, self._rng)
        if transfer.moved and verdict.mark is Mark.FAILED:
            verdict = replace(verdict, mark=Mark.SERVED)  # a line that breaks often still carries: no gate against it
        self._tell_gate(delivery, verdict, error)
        _tell_failed(delivery, verdict, error)
        match verdict.fate:
            case Fate.LOST:
                self._forget(delivery)
                await self._outbox.lose(delivery.id, str(error))
            case Fate.DEAD:
                self._forget(delivery)
                await self._outbox.bury(delivery.id, str(error))
            case Fate.LATER:
                await self._outbox.retry(
                    delivery.id, now + verdict.wait, str(error), costs=True, possibly=verdict.possibly
                )
            case Fate.ASIDE:
                self._aside[delivery.id] = now + verdict.wait
                self._silences[delivery.id] = silences + 1
                await self._note(delivery, str(error))

    def _forget(self, delivery: Delivery) -> None:
        self._silences.pop(delivery.id, None)
        self._best.pop(delivery.id, None)

    async def _note(self, delivery: Delivery, text: str) -> None:
        # the reason is kept for a person who asks, once: an outage of weeks must not wear the card out
        if text != delivery.last_error:
            await self._outbox.retry(delivery.id, delivery.due, text, costs=False)

    def _tell_gate(self, delivery: Delivery, verdict: Verdict, error: DeliveryError) -> None:
        gate, now = self._gate(delivery.destination), self._clock.mono()
        match verdict.mark:
            case Mark.NOTHING:
                gate.cancel()
            case Mark.SERVED:
                gate.succeed()
            case Mark.FAILED:
                gate.fail(now, str(error))
            case Mark.CLOSED:
                gate.pause(now, verdict.pause, str(error))


def _tell_done(delivery: Delivery, receipt: Receipt) -> None:
    log.info(
        "delivered",
        **_facts(delivery),
        file=None if delivery.path is None else delivery.path.name,
        proof=str(receipt.proof),
        bytes=receipt.size,
    )


def _tell_failed(delivery: Delivery, verdict: Verdict, error: DeliveryError) -> None:
    facts = _facts(delivery)
    if isinstance(error, CredentialsError):
        log.error("destination paused", **facts, error=str(error), again_in_s=round(verdict.pause))
    elif verdict.fate in {Fate.DEAD, Fate.LOST}:
        log.error("delivery lost" if verdict.fate is Fate.LOST else "delivery dead", **facts, error=str(error))
    else:
        tell = log.debug if str(error) == delivery.last_error else log.warning  # an outage of weeks is told once
        tell("delivery put off", **facts, error=str(error), wait_s=round(verdict.wait or verdict.pause, 1))


def _facts(delivery: Delivery) -> dict[str, object]:
    """Return what each line about a delivery tells: the journal is asked by these."""
    return {
        "kind": str(delivery.kind),
        "delivery": delivery.id,
        "incident": delivery.incident,
        "destination": delivery.destination,
    }
