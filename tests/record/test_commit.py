"""Rows wait in their order while the database refuses, and each is committed once."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from edged.record.commit import Commits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.simloop import SimClock, Simulate


def test_rows_wait_in_order_while_the_database_refuses(simulate: Simulate) -> None:
    """A full disk delays the rows, the packets' writer is not held up, and nothing is tried too often."""

    async def scene(clock: SimClock) -> None:
        commits, done, tries = Commits("door"), list[int](), list[float]()
        full = True

        def row(number: int) -> Callable[[], Awaitable[None]]:
            async def commit() -> None:
                tries.append(clock.mono())
                if full:
                    raise sqlite3.OperationalError("database or disk is full")
                done.append(number)

            return commit

        for number in range(3):
            commits.add(row(number))
        began = clock.mono()
        for _ in range(60):
            await commits.work()
            await asyncio.sleep(0.2)
        assert (done, len(commits), len(tries)) == ([], 3, 3)
        assert tries[1] - began == pytest.approx(5.0, abs=0.3)
        full = False
        await commits.work(urgent=True)
        assert (done, len(commits)) == ([0, 1, 2], 0)

    simulate(scene)


async def test_a_cancelled_caller_neither_loses_a_row_nor_doubles_it() -> None:
    """The commit under way goes on, and whoever comes next waits for it."""
    commits, done, gate = Commits("door"), list[int](), asyncio.Event()
    begun: list[int] = []

    async def slow() -> None:
        begun.append(1)
        await gate.wait()
        done.append(1)

    async def quick() -> None:
        done.append(2)

    commits.add(slow)
    commits.add(quick)
    first = asyncio.ensure_future(commits.work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.ensure_future(commits.work())
    await asyncio.sleep(0)
    gate.set()
    await second
    assert (begun, done, len(commits)) == ([1], [1, 2], 0)


async def test_a_mistake_of_ours_is_raised_and_the_row_kept() -> None:
    """Only refusals of the database are waited out."""
    commits = Commits("door")

    async def wrong() -> None:
        raise ValueError("a bug")

    commits.add(wrong)
    with pytest.raises(ValueError, match="a bug"):
        await commits.work()
    assert len(commits) == 1
