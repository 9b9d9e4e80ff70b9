"""The watchdog: what keeps systemd unfed, and a real notify socket."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from edged.base.clock import SystemClock
from edged.base.pulse import Pulse
from edged.base.systemd import Notifier, watchdog_interval
from edged.supervise.supervisor import Status
from edged.supervise.watchdog import Evidence, Limits, Watchdog, complaints
from tests.supervise.samples import task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.simloop import SimClock, Simulate

WELL = Evidence(lag=0.01, tasks=(task(),), database="", camera_ages={"front": 0.2})
LIMITS = Limits(lag=2.0, camera=120.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"lag": 2.0}, ""),
        ({"lag": 2.1}, "the event loop is 2.1 s late"),
        ({"database": "disk I/O error"}, "the database does not take writes: disk I/O error"),
        ({"camera_ages": {"front": 120.0}}, ""),
        ({"camera_ages": {"front": 121.0}}, "camera front shows neither a picture nor a recovery step for 121 s"),
        ({"tasks": (task(age=30.0),)}, ""),
        ({"tasks": (task(age=31.0),)}, "task push is silent for 31 s"),
        ({"tasks": (task(age=31.0, critical=False),)}, ""),
        ({"tasks": (task(age=31.0, status=Status.RESTARTING),)}, ""),
        ({"tasks": (task(age=31.0, status=Status.ENDED),)}, ""),
        ({"tasks": (task(status=Status.DEGRADED, error="OSError: x"),)}, "task push is degraded (OSError: x)"),
        ({"tasks": (task(status=Status.DEGRADED, critical=False),)}, ""),
    ],
)
def test_what_keeps_systemd_unfed(changes: dict[str, Any], reason: str) -> None:
    """Each sign by itself, at its limit and past it."""
    assert complaints(replace(WELL, **changes), LIMITS) == ((reason,) if reason else ())


def test_all_reasons_are_told() -> None:
    """Several signs at once are all named."""
    ill = replace(WELL, lag=9.0, database="locked", camera_ages={"front": 500.0, "back": 1.0})
    assert len(complaints(ill, LIMITS)) == 3


async def test_a_complaint_is_logged_once_while_it_grows() -> None:
    """The seconds go on, the reason stays: it is news when it comes, when another joins it and when all is over."""
    looks: list[dict[str, Any]] = [
        {"database": "locked"},
        {"lag": 9.0},
        {"lag": 19.5},
        {"lag": 31.0, "database": "locked"},
        {},
        {},
    ]
    evidence = iter([replace(WELL, **look) for look in looks])

    async def gather() -> Evidence:
        return next(evidence)

    dog = Watchdog(Notifier(None), interval=1.0, limits=LIMITS, gather=gather, status=str)
    told = []
    for _ in looks:
        with capture_logs() as entries:
            await dog.step()
        told.append([entry["event"] for entry in entries])
    refused, fed = "watchdog not fed", "watchdog fed again"
    assert told == [[refused], [refused], [], [refused, refused], [fed], []]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket on which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def told(listener: socket.socket) -> list[str]:
    """Return what has arrived; a datagram has once it is sent."""
    messages = []
    while True:
        try:
            messages.append(listener.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_each_word_to_systemd_is_a_datagram(manager: socket.socket) -> None:
    """READY, STATUS (once per text, in one line), WATCHDOG and STOPPING arrive as sd_notify(3) wants them."""
    notifier = Notifier(manager.getsockname())
    notifier.ready()
    notifier.status("2 cameras\nwatched")
    notifier.status("2 cameras\nwatched")
    notifier.alive()
    notifier.stopping()
    notifier.close()
    notifier.alive()
    assert told(manager) == ["READY=1", "STATUS=2 cameras watched", "WATCHDOG=1", "STOPPING=1"]


def test_an_abstract_address_is_understood() -> None:
    """The manager may name a socket in the abstract namespace, written with @."""
    name = f"edged-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.setblocking(False)
        notifier = Notifier(f"@{name}")
        notifier.ready()
        notifier.close()
        assert told(listener) == ["READY=1"]


def test_a_systemd_that_does_not_listen_harms_nobody(tmp_path: Path) -> None:
    """No socket named, a socket that is gone, and one that nobody reads: nothing raises and nothing waits."""
    silent = Notifier(None)
    silent.ready()
    silent.close()
    gone = Notifier(str(tmp_path / "gone"))
    gone.ready()
    gone.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        notifier = Notifier(str(tmp_path / "deaf"))
        for _ in range(5000):
            notifier.alive()
        notifier.close()
        deaf.setblocking(False)
        assert deaf.recv(100) == b"WATCHDOG=1", "what found room was sent"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000"}, 0.5),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_when_systemd_wants_to_be_fed(environment: dict[str, str], seconds: float | None) -> None:
    """WATCHDOG_USEC counts unless it is meant for another process."""
    assert watchdog_interval(environment) == seconds


class Bench:
    """A watchdog on a real socket with evidence that a test changes."""

    def __init__(self, listener: socket.socket) -> None:
        self.evidence = WELL
        self.notifier = Notifier(listener.getsockname())
        self.watchdog = Watchdog(
            self.notifier, interval=10.0, limits=LIMITS, gather=self.gather, status=lambda: "1 camera watched"
        )

    async def gather(self) -> Evidence:
        """Return the present evidence."""
        return self.evidence


async def test_it_feeds_while_all_is_well_and_names_what_is_not(manager: socket.socket) -> None:
    """A healthy look feeds and shows the state; an ill one shows why and does not feed; then it feeds again."""
    bench = Bench(manager)
    await bench.watchdog.step()
    assert told(manager) == ["WATCHDOG=1", "STATUS=1 camera watched"]
    bench.evidence = replace(WELL, lag=5.0)
    await bench.watchdog.step()
    assert told(manager) == ["STATUS=the event loop is 5.0 s late"]
    assert bench.watchdog.complaints == ("the event loop is 5.0 s late",)
    bench.evidence = WELL
    await bench.watchdog.step()
    assert told(manager) == ["WATCHDOG=1", "STATUS=1 camera watched"]
    bench.notifier.close()


def test_it_looks_again_and_again(simulate: Simulate, manager: socket.socket) -> None:
    """In a minute it feeds six times, beats its own pulse, and stops feeding the moment evidence stays away."""

    async def scene(clock: SimClock) -> None:
        bench = Bench(manager)
        pulse = Pulse("watchdog", 60.0, clock)
        running = asyncio.create_task(bench.watchdog.run(pulse))
        await asyncio.sleep(59)
        assert told(manager).count("WATCHDOG=1") == 6
        assert pulse.beats == 6
        running.cancel()
        await asyncio.wait({running})
        bench.notifier.close()

    simulate(scene)


async def test_a_database_that_hangs_starves_systemd(manager: socket.socket) -> None:
    """While the evidence can't be had, nothing is fed: that is the point of the probe."""
    bench = Bench(manager)
    hang = asyncio.Event()

    async def never() -> Evidence:
        await hang.wait()
        return WELL

    watchdog = Watchdog(bench.notifier, interval=0.0, limits=LIMITS, gather=never, status=str)
    running = asyncio.create_task(watchdog.run(Pulse("watchdog", 60.0, SystemClock())))
    for _ in range(50):
        await asyncio.sleep(0)
    assert told(manager) == []
    running.cancel()
    await asyncio.wait({running})
    bench.notifier.close()
