"""Knocks: who opens is known at once, who comes back within a second, and a connection that sleeps on is left."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from edged.push.knock import Knocker
from edged.push.line import Line, Request, RevivedError
from edged.push.traffic import Traffic
from tests.faults.network import open_field
from tests.middle import At, How, Spoil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.simloop import SimClock, Simulate


@contextmanager
def wall() -> Iterator[socket.socket]:
    """An address at which connections are neither taken nor refused: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as first:
        first.connect(listener.getsockname())
        yield listener


def test_nobody_opens(simulate: Simulate) -> None:
    """Where no knock is answered, and while no address is known, knocking takes its time and says so."""

    async def scene(clock: SimClock) -> None:
        knocker, began = Knocker(), clock.mono()
        assert not await knocker.answered(5.0)
        with wall() as listener:
            knocker.door = listener.getsockname()
            assert not await knocker.answered(10.0)
        assert clock.mono() - began == pytest.approx(15.0)

    simulate(scene)


def test_a_return_is_known_within_a_second(simulate: Simulate) -> None:
    """However long nobody opened, the next knock is a second away at most."""

    async def scene(clock: SimClock) -> None:
        with wall() as listener:
            knocker = Knocker()
            knocker.door = listener.getsockname()
            knocking = asyncio.create_task(knocker.answered(1000.0))
            await asyncio.sleep(100.5)
            assert not knocking.done()
            taken, _ = listener.accept()
            began = clock.mono()
            assert await knocking
            assert clock.mono() - began <= 1.0
            taken.close()

    simulate(scene)


async def test_a_refusal_is_an_answer(free_port: int) -> None:
    """Where nothing listens the way is there all the same."""
    knocker = Knocker()
    knocker.door = ("127.0.0.1", free_port)
    assert await knocker.answered(30.0)


class Repeating(Traffic):
    """The account of a connection whose kernel sends again and again."""

    def repeating(self) -> bool:
        """Say so."""
        return True


def test_a_connection_that_sleeps_on_is_left(simulate: Simulate, tmp_path: Path) -> None:
    """When nothing moves and a knock is answered, the request ends after seconds, not after the silence's limit."""

    async def scene(clock: SimClock) -> None:
        async with open_field(tmp_path, clock) as place:
            place.spoils = {"GET": [Spoil(at=At.BEFORE_REPLY, how=How.HOLE)]}
            target = place.target
            line = Line(target.settings, place.credentials, clock=clock, link=place.link, traffic=Repeating())
            began, probe = clock.mono(), Request(method="GET", url=URL(target.settings.url) / "probe")
            with pytest.raises(RevivedError, match="the line is back"):
                await line.ask(probe, doing="ask")
            assert 5.0 <= clock.mono() - began <= 8.0
            assert (await line.ask(probe, doing="ask")).good
            await line.close()

    simulate(scene)


def test_a_peer_that_takes_its_time_is_not_left(simulate: Simulate, tmp_path: Path) -> None:
    """When everything was acknowledged, it is the receiver that works; it has its minute."""

    async def scene(clock: SimClock) -> None:
        async with open_field(tmp_path, clock) as place:
            place.spoils = {"GET": [Spoil(at=At.BEFORE_REPLY, how=How.HOLE)]}
            target = place.target
            line = Line(target.settings, place.credentials, clock=clock, link=place.link, traffic=Traffic())
            with pytest.raises(Exception, match="nothing moved for 60 s"):
                await line.ask(Request(method="GET", url=URL(target.settings.url) / "probe"), doing="ask")
            await line.close()

    simulate(scene)
