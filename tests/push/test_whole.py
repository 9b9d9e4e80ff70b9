"""Outbox, lane worker, link, probe and heartbeat together against the real receiver on loopback."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from edged.base.clock import SystemClock, stamp
from edged.base.pulse import Pulse
from edged.base.units import Duration
from edged.model import Gap, Lane, LinkState, State
from edged.outbox.policy import Destinations
from edged.outbox.store import Outbox, open_outbox
from edged.push.heartbeat import HeartbeatSender, Vitals
from edged.push.line import Credentials, Line
from edged.push.loop import LaneWorker
from edged.push.probe import LinkProbe
from edged.push.settings import BackoffSettings, ProbeSettings, PushSettings
from edged.push.transfers import Transfers
from edged.push.uploads import Uploader
from edged.wire.heartbeat import CameraReport
from edged.wire.receipt import Proof
from tests.push.conftest import make_bench
from tests.push.outbox import add_clip, add_incident

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.receiver.app import Serving
    from tests.proxy import Proxy
    from tests.push.conftest import Bench

_TO = Destinations(receiver=True)
_QUICK = PushSettings(
    backoff=BackoffSettings(first=Duration(0.02), cap=Duration(0.1)),
    probe=ProbeSettings(waiting=Duration(0.05), waiting_cap=Duration(0.1), timeout=Duration(1)),
)


@dataclass
class Device:
    """A device's way out, at work."""

    outbox: Outbox
    bench: Bench
    transfers: Transfers
    probe: LinkProbe
    clock: SystemClock

    async def add(self, data: bytes) -> str:
        """Record an incident of one clip and return the clip's id."""
        incident = await add_incident(self.outbox, self.clock, _TO)
        clip = await add_clip(self.outbox, self.clock, incident, _TO, data)
        await self.outbox.close_incident(incident.id, stamp(self.clock))
        return clip.id

    async def all_done(self) -> None:
        """Wait until nothing is pending."""
        changed = self.outbox.subscribe()
        while await self.outbox.deliveries([State.PENDING]):
            await asyncio.wait_for(changed.wait(), 20)
            changed.clear()


@asynccontextmanager
async def device_at(port: int, key: str, folder: Path) -> AsyncIterator[Device]:
    """A device whose bulk lane, probe and link are at work against the receiver at `port`."""
    clock = SystemClock()
    folder.mkdir()
    async with AsyncExitStack() as stack:
        outbox = await open_outbox(folder / "outbox.db", clock)
        stack.push_async_callback(outbox.close)
        bench = make_bench(port, key)
        stack.push_async_callback(bench.target.close)
        line = Line(bench.settings, bench.credentials, clock=clock, link=bench.link, traffic=bench.counters.line())
        stack.push_async_callback(line.close)

        async def waiting() -> bool:
            return (await outbox.backlog("receiver")).count > 0

        probe = LinkProbe(
            bench.settings.url, line, bench.link, settings=_QUICK, waiting=waiting, work=outbox.subscribe(), clock=clock
        )
        transfers = Transfers()
        worker = LaneWorker(
            Lane.BULK,
            Uploader(outbox, {"receiver": bench.target}, clock).deliver,
            outbox=outbox,
            transfers=transfers,
            settings=_QUICK,
            parallel=2,
            clock=clock,
            rng=Random(1),
            away=lambda: () if bench.link.usable else ("receiver",),
        )
        bench.link.subscribe(lambda: worker.hasten("receiver"))
        jobs = [asyncio.create_task(part.run(Pulse("x", 60.0, clock))) for part in (worker, probe)]
        try:
            yield Device(outbox=outbox, bench=bench, transfers=transfers, probe=probe, clock=clock)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.wait(jobs)


async def test_clips_arrive_once_with_their_manifest(proxy: Proxy, receiver: Serving, key: str, tmp_path: Path) -> None:
    """Ten clips go up two at a time; each is at the receiver once, with its incident, and proven here."""
    async with device_at(proxy.port, key, tmp_path / "device") as device:
        clips = [await device.add(os.urandom(200_000)) for _ in range(10)]
        await device.all_done()
        rows = await device.outbox.deliveries()
        assert {(row.state, row.receipt.proof if row.receipt else None) for row in rows} == {(State.DONE, Proof.SIGNED)}
        for clip in clips:
            file = await receiver.world.store.file("shop", key=clip)
            assert file is not None
            assert (file.kind, file.part, file.size) == ("clip", 1, 200_000)
        assert device.bench.link.link.state is LinkState.UP
        assert 2_000_000 < device.bench.counters.sent < 2_100_000
        assert device.bench.counters.wasted == 0


async def test_everything_arrives_over_a_line_that_is_cut_again_and_again(
    proxy: Proxy, receiver: Serving, key: str, tmp_path: Path
) -> None:
    """Cut every 300 kB, five clips of 1 MB arrive whole, and what was lost on the line is a small part."""
    async with device_at(proxy.port, key, tmp_path / "device") as device:
        cutting = asyncio.create_task(_cut_every(proxy, 300_000))
        clips = [await device.add(os.urandom(1_000_000)) for _ in range(5)]
        await device.all_done()
        cutting.cancel()
        for clip in clips:
            assert await receiver.world.store.file("shop", key=clip) is not None
        assert len(await receiver.world.store.contents()) == 5
        assert proxy.upstream < 8_000_000


async def _cut_every(proxy: Proxy, size: int) -> None:
    while True:
        if proxy.reset_after is None:
            proxy.reset_after = proxy.upstream + size
        await asyncio.sleep(0)


async def test_an_outage_is_seen_and_its_end_starts_the_work(proxy: Proxy, key: str, tmp_path: Path) -> None:
    """While the receiver is away the line is down and says why; when it answers again everything goes."""
    proxy.refuse = True
    async with device_at(proxy.port, key, tmp_path / "device") as device:
        changed = asyncio.Event()
        device.bench.link.subscribe(changed.set)
        await device.add(os.urandom(1000))
        while not device.bench.link.track.failed > 3:
            await asyncio.sleep(0.01)
        assert device.bench.link.link.state is LinkState.DOWN
        assert "can't reach the receiver" not in device.bench.link.link.reason
        assert device.bench.link.link.reason
        proxy.refuse = False
        await asyncio.wait_for(changed.wait(), 10)
        await device.all_done()
        (row,) = await device.outbox.deliveries()
        assert (row.state, row.attempts) == (State.DONE, 0)


async def test_a_portal_is_no_receiver(key: str, tmp_path: Path) -> None:
    """A page that answers everything with 200 makes the line captive, and nothing is sent into it."""
    received = bytearray()

    async def portal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 8\r\n\r\nwelcome!")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(portal, "127.0.0.1", 0)
    async with server, device_at(server.sockets[0].getsockname()[1], key, tmp_path / "device") as device:
        await device.add(os.urandom(100_000))
        while device.bench.link.link.state is not LinkState.CAPTIVE:
            await asyncio.sleep(0.01)
        assert b"/files" not in received
    assert received.startswith(b"GET /probe")


async def test_the_heartbeat_tells_gaps_once(proxy: Proxy, receiver: Serving, key: str, tmp_path: Path) -> None:
    """The receiver has the device's account and its gaps; a gap that was told is not told again until it ends."""
    async with device_at(proxy.port, key, tmp_path / "device") as device:
        gap = Gap(camera="front", start=stamp(device.clock), end=None, reason="no packets")
        number = await device.outbox.open_gap(gap)
        sender, line = _sender(device)
        device.bench.link.subscribe(lambda: None)
        while not device.bench.link.usable:
            await asyncio.sleep(0.01)
        await sender.step()
        assert sender.error == ""
        known = await receiver.world.registry.device("shop")
        assert known is not None
        assert [told.reason for told in await receiver.world.registry.gaps("shop", 10)] == ["no packets"]
        assert await device.outbox.unreported_gaps() == ()
        await device.outbox.close_gap(number, stamp(device.clock))
        assert len(await device.outbox.unreported_gaps()) == 1
        await line.close()


async def test_an_outbox_that_went_back_is_told(proxy: Proxy, key: str, tmp_path: Path) -> None:
    """A device whose card lost commits that the receiver has heard of says so once: it lied about flushing."""
    async with device_at(proxy.port, key, tmp_path / "before") as device:
        while not device.bench.link.usable:
            await asyncio.sleep(0.01)
        await device.add(b"x")
        await device.all_done()
        sender, line = _sender(device)
        with capture_logs() as logs:
            await sender.step()
        assert "outbox went back" not in {entry["event"] for entry in logs}
        await line.close()
    async with device_at(proxy.port, key, tmp_path / "after") as device:
        while not device.bench.link.usable:
            await asyncio.sleep(0.01)
        sender, line = _sender(device)
        with capture_logs() as logs:
            await sender.step()
            sender._due = 0.0
            await sender.step()
        assert [entry["event"] for entry in logs].count("outbox went back") == 1
        await line.close()


async def test_a_refused_heartbeat_is_shown(proxy: Proxy, receiver: Serving, key: str, tmp_path: Path) -> None:
    """With a wrong key the heartbeat's error says what to do; its gaps stay to be told."""
    async with device_at(proxy.port, key, tmp_path / "device") as device:
        await device.outbox.open_gap(Gap(camera="front", start=stamp(device.clock), end=None, reason="dark"))
        while not device.bench.link.usable:
            await asyncio.sleep(0.01)
        sender, line = _sender(device, Credentials(device="shop", key="wrong"))
        await sender.step()
        assert "edged receive device add" in sender.error
        assert len(await device.outbox.unreported_gaps()) == 1
        await line.close()


def _sender(device: Device, credentials: Credentials | None = None) -> tuple[HeartbeatSender, Line]:
    bench = device.bench
    line = Line(
        bench.settings,
        credentials or bench.credentials,
        clock=device.clock,
        link=bench.link,
        traffic=bench.counters.line(),
    )
    vitals = Vitals(
        version="0.1.0",
        site="Shop",
        timezone="Europe/Berlin",
        uptime=100.0,
        disk_free=1,
        disk_total=2,
        cameras=(CameraReport(name="front", well=False, text="no packets"),),
    )
    sender = HeartbeatSender(
        bench.settings.url,
        line,
        bench.link,
        outbox=device.outbox,
        vitals=lambda: vitals,
        interval=300.0,
        clock=device.clock,
    )
    return sender, line


async def test_the_heartbeat_waits_for_its_time(proxy: Proxy, key: str, tmp_path: Path) -> None:
    """A second step right after the first waits and sends nothing."""
    async with device_at(proxy.port, key, tmp_path / "device") as device:
        while not device.bench.link.usable:
            await asyncio.sleep(0.01)
        sender, line = _sender(device)
        await sender.step()
        sent = line.traffic.total().sent
        job = asyncio.create_task(sender.step())
        for _ in range(50):
            await asyncio.sleep(0)
        assert not job.done()
        assert line.traffic.total().sent == sent
        job.cancel()
        await line.close()
