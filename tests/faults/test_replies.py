"""What each answer to an upload costs, when it is tried again and what is said: the whole device, a real server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from edged.base.gate import GateState
from edged.model import State
from edged.outbox.policy import Destinations
from tests.middle import Middle, Spoil
from tests.push.outbox import add_clip, add_incident
from tests.scenes.stage import sending, settled, stage, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simloop import SimClock, Simulate

_OURS = "Tus-Resumable: 1.0.0\r\nEdged-Receiver: 1\r\n"
_TO = Destinations(receiver=True)
_ALONE = {"probe": {"idle": "1d"}, "heartbeat": "1d"}  # nothing else is asked meanwhile
_DATE = "Date: Fri, 29 May 2026 11:59:00 GMT\r\n"
_AFTER_DATE = "Retry-After: Fri, 29 May 2026 12:01:00 GMT\r\n"
_NEVER = float("inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """An answer to `method`, and what becomes of the delivery: attempts, seconds to the next try, what is said."""

    method: str
    status: str
    headers: str = _OURS
    attempts: int = 0
    again: tuple[float, float]  # at the earliest and latest
    says: str
    gate: GateState = GateState.UP
    state: State = State.PENDING

    @property
    def answer(self) -> bytes:
        """The bytes on the wire."""
        if not self.status:
            return b"\x16\x03 this is no HTTP\r\n\r\n"
        return f"HTTP/1.1 {self.status}\r\n{self.headers}Content-Length: 2\r\n\r\n{{}}".encode()


_SOON = (2.5, 6.5)  # the first back-off, with the probe's look at the line
_DOWN = GateState.DOWN
_DEAD = (_NEVER, _NEVER)
_ROWS = [
    Row(method="POST", status="401 No", again=(1800, 1811), says="Sign the request", gate=_DOWN),
    Row(method="POST", status="403 No", again=(1800, 1811), says="not allowed", gate=_DOWN),
    Row(method="POST", status="404 No", again=_SOON, says="check the receiver's address"),
    Row(method="PATCH", status="404 No", again=_SOON, says="nothing under this address"),
    Row(method="PATCH", status="409 No", again=(0, 0), says="", state=State.DONE),
    Row(method="POST", status="409 No", attempts=1, again=_SOON, says="The offset is not"),
    Row(method="PATCH", status="410 No", again=_SOON, says="not kept any more"),
    Row(method="POST", status="413 No", again=_DEAD, says="larger than the receiver accepts", state=State.DEAD),
    Row(method="PATCH", status="413 No", headers="Server: nginx\r\n", again=_SOON, says="between here and"),
    Row(method="POST", status="422 No", again=_DEAD, says="can't be understood", state=State.DEAD),
    Row(method="PATCH", status="422 No", again=_DEAD, says="can't be understood", state=State.DEAD),
    Row(method="POST", status="423 No", again=(5, 16), says="", gate=_DOWN),
    Row(method="POST", status="429 No", again=(60, 71), says="Too many at once", gate=_DOWN),
    Row(
        method="POST",
        status="429 No",
        headers=_OURS + "Retry-After: 700\r\n",
        again=(700, 711),
        says="Too many at once",
        gate=_DOWN,
    ),
    Row(
        method="PATCH",
        status="503 No",
        headers=_OURS + _DATE + _AFTER_DATE,
        again=(120, 131),
        says="stopping",
        gate=_DOWN,
    ),
    Row(method="POST", status="500 No", attempts=1, again=_SOON, says="failed on this request"),
    Row(method="PATCH", status="500 No", attempts=1, again=_SOON, says="failed on this request"),
    Row(method="PATCH", status="507 No", again=(60, 71), says="storage is full", gate=_DOWN),
    Row(method="POST", status="502 No", headers="", again=_SOON, says="between here and the receiver"),
    Row(method="PATCH", status="503 No", headers="Retry-After: 9\r\n", again=_SOON, says="between here and"),
    Row(method="POST", status="200 OK", headers="Content-Type: text/html\r\n", again=_SOON, says="in its place"),
    Row(method="POST", status="200 OK", headers="Content-Type: application/json\r\n", again=_SOON, says="in its place"),
    Row(
        method="POST", status="302 Found", headers="Location: http://portal/\r\n", again=_SOON, says="between here and"
    ),
    Row(method="PATCH", status="", again=_SOON, says="can't send the file"),
    Row(method="POST", status="201 Created", attempts=1, again=_SOON, says="named no address"),
    Row(method="PATCH", status="200 OK", attempts=1, again=_SOON, says="makes no sense"),
    Row(
        method="PATCH",
        status="200 OK",
        headers=_OURS + "Upload-Offset: 99999999\r\n",
        attempts=1,
        again=_SOON,
        says="answered offset 99999999",
    ),
]


@pytest.mark.parametrize("row", _ROWS, ids=[f"{n} {row.method} {row.status[:3]}" for n, row in enumerate(_ROWS)])
def test_what_an_answer_costs(simulate: Simulate, tmp_path: Path, row: Row) -> None:
    """Only the receiver's own refusals cost an attempt; whatever can heal is tried again, and then goes through."""

    async def scene(clock: SimClock) -> None:
        asked: list[float] = []

        def choose(method: str, path: str) -> Spoil | None:
            if path.startswith("/files"):
                asked.append(clock.mono())
                if method == row.method and not given:
                    given.extend((clock.mono(), len(asked)))
                    return Spoil(answer=row.answer)
            return None

        given: list[Any] = []  # when the answer was given, and how many had been asked by then
        async with stage(tmp_path, clock) as ends, Middle(ends.receiver.port, choose) as middle:
            url = f"http://127.0.0.1:{middle.port}"
            async with sending(ends.config(receiver={"url": url}, push=_ALONE), clock) as world:
                incident = await add_incident(world.outbox, clock, _TO)
                await add_clip(world.outbox, clock, incident, _TO, b"x" * 1000)
                await until(lambda: bool(given), 60)
                await asyncio.sleep(1)
                (delivery,) = await world.outbox.deliveries()
                assert row.says in delivery.last_error
                assert (delivery.state, delivery.attempts) == (row.state, row.attempts)
                assert world.outward.uploads.gates["receiver"].state is row.gate
                await world.outbox.close_incident(incident.id, delivery.created)
                await settled(world, 4000)
                (after,) = await world.outbox.deliveries()
                again = next((time - given[0] for time in asked[given[1] :]), _NEVER)
                assert row.again[0] <= again <= row.again[1]
                assert (after.state is State.DONE) is (row.again is not _DEAD)

    simulate(scene)
