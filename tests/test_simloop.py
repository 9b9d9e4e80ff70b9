"""The simulated loop keeps the promises that scenes in virtual time stand on."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiosqlite
import pytest

from tests.simloop import NOON, START, SimClock, SimLoop, StuckError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from edged.base.clock import Clock
    from tests.simloop import Simulate

DAY = 86_400


def test_noon_is_noon() -> None:
    """Scenes start at a wall time that people can read in a failure."""
    assert datetime.fromtimestamp(NOON, UTC).isoformat() == "2026-05-29T12:00:00+00:00"


async def _keep_diary(clock: SimClock, path: Path) -> list[float]:
    """Tick through a day, each second; every 43 s write the time to a database, now by aiosqlite, now on a thread."""
    drift = []
    connection = await aiosqlite.connect(path)
    await connection.execute("CREATE TABLE diary (mono REAL)")
    for tick in range(1, DAY + 1):
        await asyncio.sleep(1)
        if tick % 43 == 0:
            await connection.execute("INSERT INTO diary VALUES (?)", (clock.mono(),))
            await connection.commit()
        if tick % 430 == 0:
            await asyncio.to_thread(path.stat)
        drift.append(clock.mono() - START - tick)
    async with connection.execute("SELECT mono FROM diary") as rows:
        assert len(list(await rows.fetchall())) == DAY // 43
    await connection.close()
    return drift


def test_a_day_of_ticks_and_inserts_does_not_drift(simulate: Simulate, tmp_path: Path) -> None:
    """Work on other threads takes no virtual time, so after 86,400 ticks and 2,009 inserts the clock is exact."""
    drift = simulate(lambda clock: _keep_diary(clock, tmp_path / "diary.db"))
    assert drift == [0.0] * DAY


def test_a_timeout_ends_in_virtual_time(simulate: Simulate) -> None:
    """asyncio.timeout and the sleep that it ends agree on the time."""

    async def scene(clock: SimClock) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3 * DAY):
                await asyncio.sleep(7 * DAY)
        return clock.mono()

    assert simulate(scene) == START + 3 * DAY


def test_a_slow_thread_beats_a_short_timeout(simulate: Simulate) -> None:
    """A thread that takes real time takes no virtual time, so that no time-out of the code under test can fire."""
    gate = threading.Event()

    async def scene(clock: SimClock) -> float:
        threading.Timer(0.2, gate.set).start()
        async with asyncio.timeout(0.001):
            assert await asyncio.to_thread(gate.wait, 10)
        return clock.mono()

    assert simulate(scene) == START


def test_a_cancelled_database_call_still_holds_the_time(simulate: Simulate) -> None:
    """The thread goes on after its caller was cancelled, and time stands still until it is done."""
    gate = threading.Event()

    def slow(_: sqlite3.Connection) -> None:
        gate.wait(10)

    async def scene(clock: SimClock) -> list[int]:
        loop = clock.loop
        connection = await aiosqlite.connect(":memory:")
        call = asyncio.ensure_future(connection._execute(slow, connection._conn))  # type: ignore[no-untyped-call]
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        held = loop.in_flight()
        threading.Timer(0.1, gate.set).start()
        await asyncio.sleep(1)
        released = loop.in_flight()
        await connection.close()
        return [held, released]

    assert simulate(scene) == [1, 0]


@asynccontextmanager
async def _connected(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve one loopback connection by `handler`, give the client's end, and close both ends before leaving."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handler(reader, writer)
        writer.close()
        await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()
        await over.wait()
        server.close()
        await server.wait_closed()


def test_a_peer_on_the_same_loop_is_waited_for(simulate: Simulate) -> None:
    """A request over loopback takes no virtual time, though a timer is always next."""

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()

    async def scene(clock: SimClock) -> float:
        async with _connected(shout) as (reader, writer):
            for _ in range(500):
                async with asyncio.timeout(0.000_001):
                    writer.write(b"x" * 20_000 + b"\n")
                    assert await reader.readline() == b"X" * 20_000 + b"\n"
        return clock.mono()

    assert simulate(scene) == START


def test_bytes_before_a_slow_reader_do_not_stop_the_time(simulate: Simulate) -> None:
    """A reader that takes its time in virtual seconds gets it, though bytes wait in the kernel for it."""

    async def sip(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 20):
            await asyncio.sleep(1)

    async def scene(clock: SimClock) -> float:
        async with _connected(sip) as (_, writer):
            writer.write(bytes(16 << 20))
            await writer.drain()
        return clock.mono()

    assert simulate(scene) > START + 5


def test_real_io_waits_for_a_peer_outside(simulate: Simulate) -> None:
    """Time stands still in a `real_io` block, whatever timers are due."""

    async def scene(clock: SimClock) -> float:
        answered = asyncio.Event()
        loop = clock.loop
        threading.Timer(0.1, loop.call_soon_threadsafe, [answered.set]).start()
        with loop.real_io():
            async with asyncio.timeout(1):
                await answered.wait()
        return clock.mono()

    assert simulate(scene) == START


def test_a_scene_that_is_stuck_says_where(simulate: Simulate) -> None:
    """When nothing can wake any task, the error names the tasks and where they wait."""

    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    async def scene(_: SimClock) -> None:
        await asyncio.create_task(wait_for_ever(), name="forgotten")

    with pytest.raises(StuckError, match=r"(?s)nothing is scheduled.*forgotten at .*wait_for_ever:\d+"):
        simulate(scene)


def test_a_thread_that_never_returns_is_named() -> None:
    """A call that hangs on a thread ends the scene with a count of what is away."""
    lasting = threading.Event()

    class Impatient(SimLoop):
        """Takes 0.1 s for hanging."""

        patience = 2

    async def scene() -> None:
        await asyncio.to_thread(lasting.wait, 10)

    with asyncio.Runner(loop_factory=Impatient) as runner:
        with pytest.raises(StuckError, match="1 thread calls, 0 database calls and 0 real_io blocks gave no sign"):
            runner.run(scene())
        lasting.set()


def test_the_wall_can_be_stepped(simulate: Simulate) -> None:
    """Setting the wall time moves neither the monotonic time nor a timer."""

    async def scene(clock: SimClock) -> tuple[float, float, bool]:
        await asyncio.sleep(5)
        clock.jump_wall(1_000_000, synced=True)
        await asyncio.sleep(5)
        return clock.wall(), clock.mono(), clock.synced()

    assert simulate(scene, wall_start=0.0, synced=False) == (1_000_010, START + 10, True)


@pytest.mark.parametrize(("battery", "wall"), [(True, NOON + 1100 + 600), (False, NOON + 1100)])
def test_a_reboot_restarts_the_monotonic_time(simulate: Simulate, battery: bool, wall: float) -> None:
    """Another boot has another id and counts from its own start; timers of the scene itself keep their distance."""

    async def scene(clock: SimClock) -> None:
        contract: Clock = clock
        pause = asyncio.create_task(asyncio.sleep(1500))
        await asyncio.sleep(1100)
        clock.reboot(off=600, battery=battery)
        assert contract.mono() == clock.loop.time() < 60
        assert (contract.wall(), contract.boot(), contract.synced()) == (wall, "boot-2", False)
        await pause
        assert contract.wall() == wall + 400

    simulate(scene)


def test_executor_results_come_before_the_count_falls(simulate: Simulate) -> None:
    """A result is in its future before the loop may jump, for thousands of calls that end at once."""

    async def scene(clock: SimClock) -> float:
        async with asyncio.timeout(0.000_001):
            for _ in range(200):
                await asyncio.gather(*(asyncio.to_thread(int) for _ in range(10)))
        return clock.mono()

    assert simulate(scene) == START


def test_a_wait_too_short_to_show_ends(simulate: Simulate) -> None:
    """Who waits until an instant that rounding puts off by less than the time can show does not wait for ever."""

    async def scene(clock: SimClock) -> float:
        clock.loop.restart_time(600_000.1)
        seen = clock.mono()
        while (wait := 1e-11 - (clock.mono() - seen)) > 0.0:
            await asyncio.sleep(wait)
        return clock.mono()

    assert simulate(scene) == pytest.approx(600_000.1)
