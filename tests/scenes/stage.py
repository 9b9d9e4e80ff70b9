"""The stage of the scenes: a whole device, edged's own receiver, a mail server, and lines that can be spoiled.

Everything is the product itself as `edged.app` puts it together; only the line, the mail server and, where time is
simulated, the loop are the tests' own.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import av

from edged.app.tasks import tasks
from edged.app.world import open_world
from edged.base.config import Duration, parse
from edged.base.pulse import Pulse
from edged.base.systemd import Notifier
from edged.capture.synthetic import SyntheticCamera
from edged.model import Event, EventKind, Frame, IncidentKind, Lane, State
from edged.receiver.app import serve
from edged.receiver.settings import AlarmSettings, ReceiverConfig
from edged.settings import DeviceConfig
from edged.wire.keys import new_device_key
from edged.wire.receipt import Proof
from tests.mailbox import Mail, Mailbox, serve_mail
from tests.proxy import Proxy
from tests.record.footage import packets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from edged.app.world import World
    from edged.base.clock import Clock
    from edged.model import Clip, Snapshot
    from edged.outbox.store import Outbox
    from edged.receiver.app import Serving
    from edged.receiver.store import StoredFile

DEVICE = "harbour"
PERSON = "owner@example.org"
PATIENCE = 50.0  # seconds that a scene waits for what must come; far more than it takes
_BEFORE = 1.0  # seconds of a scripted incident's pictures before its first motion
_AFTER = 1.0  # and of its post-roll


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A mail as a person would sort it: what kind, of which incidents, under which Message-ID."""

    kind: str
    incidents: tuple[str, ...]
    message_id: str
    mail: Mail


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """The far ends and the lines to them: `line` to the receiver, `post` to the mail server."""

    folder: Path
    clock: Clock
    receiver: Serving
    mailbox: Mailbox
    line: Proxy
    post: Proxy

    def config(self, **sections: Any) -> DeviceConfig:
        """Return the device's configuration, as from a file; `sections` replace keys of its tables, or add tables."""
        return parse(self.tables(**sections), DeviceConfig)

    def tables(self, **sections: Any) -> dict[str, Any]:
        """Return the device's configuration as TOML has it."""
        tables: dict[str, Any] = {
            "device": {"name": DEVICE, "state": str(self.folder / "device"), "timezone": "Europe/Berlin"},
            "cameras": {"door": {"source": "synthetic", "size": "320x180"}},
            "alerts": {"recipients": [PERSON]},
            "mail": {
                "sender": "edged <harbour@example.org>",
                "relays": [{"host": "127.0.0.1", "port": self.post.port, "security": "opportunistic"}],
            },
            "receiver": {
                "url": f"http://127.0.0.1:{self.line.port}",
                "device": DEVICE,
                "key": {"file": str(self.folder / "key")},
            },
            # the disk that the tests run on may be full: what its floors do has tests of its own
            "outbox": {"warn_share": "0%", "critical_share": "0%"},
            "http": {"listen": "127.0.0.1:0"},
        }
        for name, section in sections.items():
            tables[name] = {**tables.get(name, {}), **section}
        return tables

    def told(self) -> list[Told]:
        """Return every mail that came, in order."""
        return [_told(mail) for mail in self.mailbox.mails]

    async def arrived(self) -> list[StoredFile]:
        """Return every file that the receiver holds of the device, in the order in which they came."""
        return sorted(await self.receiver.world.store.oldest(float("inf"), 10_000), key=lambda file: file.stored)

    def content(self, file: StoredFile) -> Path:
        """Return where the receiver keeps the bytes of `file`."""
        return self.receiver.world.vault.blob(file.sha256)


@asynccontextmanager
async def stage(folder: Path, clock: Clock) -> AsyncIterator[Stage]:
    """Set the stage in `folder`: the receiver knows the device and its key is in a private file."""
    state = folder / "receiver"
    state.mkdir(mode=0o700)
    # nobody asks for alarms of silent devices here, so the receiver need not look every half minute of simulated days
    alarm = AlarmSettings(look=Duration.parse("1d"))
    config = ReceiverConfig(
        state=state, public_url="http://127.0.0.1:1", listen="127.0.0.1:0", name="office", alarm=alarm
    )
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text(new_device_key())
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(serve(config, clock))
        await receiver.world.registry.add_device(DEVICE, key.read_text(), clock.wall(), replace=False)
        mailbox = await stack.enter_async_context(serve_mail())
        line = await stack.enter_async_context(Proxy(receiver.port))
        post = await stack.enter_async_context(Proxy(mailbox.port))
        yield Stage(folder=folder, clock=clock, receiver=receiver, mailbox=mailbox, line=line, post=post)


@asynccontextmanager
async def running(config: DeviceConfig, clock: Clock, *, without: tuple[str, ...] = ()) -> AsyncIterator[World]:
    """Run the device as the daemon does and stop it in order; `without` leaves out tasks whose names begin so."""
    async with open_world(config, clock, Notifier(None)) as world:
        world.supervisor.take([task for task in tasks(world) if not task.name.startswith(without or "\0")])
        job = asyncio.create_task(world.supervisor.run())
        try:
            yield world
        finally:
            await world.supervisor.stop()
            await job


@asynccontextmanager
async def sending(config: DeviceConfig, clock: Clock) -> AsyncIterator[World]:
    """Run what sends and keeps order, without a supervisor whose looks at each second cost simulated weeks."""
    async with open_world(config, clock, Notifier(None)) as world:
        at_work = [task for task in tasks(world) if task.name in {"alerts", "uploads", "link", "heartbeat", "outbox"}]
        jobs = [asyncio.create_task(task.start(Pulse(task.name, task.deadline, clock))) for task in at_work]
        try:
            yield world
        finally:
            for job in jobs:
                job.cancel()
            ended = await asyncio.gather(*jobs, return_exceptions=True)
            await world.outward.close()
            assert [end for end in ended if isinstance(end, Exception)] == []


async def film(world: World, camera: str, seconds: float) -> None:
    """Play the drawn scene of `camera` for so long into its recorder and detector, in the clock's own time."""
    eye = world.eyes[camera]
    source = SyntheticCamera(camera, replace(eye.settings, speed="full"), clock=world.clock, epochs=itertools.count(1))
    end = world.clock.mono() + seconds
    for taken in source.read():
        if taken.mono > end:
            return
        await asyncio.sleep(max(0.0, taken.mono - world.clock.mono()))
        if isinstance(taken, Frame):
            eye.frames.put(taken)
        else:
            eye.recorder.offer(taken)


async def happen(world: World, camera: str, *, lasts: float = 3.0, level: int = 40) -> None:
    """Record an incident of `lasts` seconds with real packets, following a script as camera and detector.

    `level` is the darkest grey in its pictures. Returns when the last of its packets was given to the recorder.
    """
    recorder, began = world.eyes[camera].recorder, world.clock.mono()
    opened, closed = began + _BEFORE, began + _BEFORE + lasts
    event = Event(
        kind=EventKind.OPENED,
        incident=secrets.token_hex(16),
        camera=camera,
        cause=IncidentKind.MOTION,
        zones=("quay",),
        mono=opened,
        best=opened,
        score=1.0,
        regions=(),
    )
    due = [event, replace(event, kind=EventKind.CLOSED, mono=closed, keep_until=closed + _AFTER)]
    for packet in packets(seconds=_BEFORE + lasts + 2 * _AFTER, start=began, level=level):
        await asyncio.sleep(max(0.0, packet.mono - world.clock.mono()))
        recorder.offer(packet)
        while due and packet.mono >= due[0].mono:
            await recorder.handle(due.pop(0))


async def until(true: Callable[[], bool] | Callable[[], Awaitable[bool]], limit: float = PATIENCE) -> None:
    """Wait until something is true; TimeoutError after `limit` seconds of the loop's time."""
    async with asyncio.timeout(limit):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.05)


async def settled(world: World, limit: float = PATIENCE) -> None:
    """Wait until every incident is closed and nothing waits to be delivered."""

    async def done() -> bool:
        return not await world.outbox.unclosed_incidents() and (await world.outbox.backlog()).count == 0

    await until(done, limit)


async def check_proven(scene: Stage, outbox: Outbox) -> dict[str, list[Clip]]:
    """Return every incident's clips, all of them at the receiver once, equal, playable, and proven to the device.

    Nothing else may be there, either, and nothing may have been given up.
    """
    incidents = await outbox.incidents(10_000)
    clips = {incident.id: list(await outbox.clips_of(incident.id)) for incident in incidents}
    snapshots = [each for incident in incidents for each in await outbox.snapshots_of(incident.id)]
    parts = [clip for found in clips.values() for clip in found]
    here: dict[str, Clip | Snapshot] = {**{clip.id: clip for clip in parts}, **{each.id: each for each in snapshots}}
    there = await scene.arrived()
    assert sorted(file.key for file in there) == sorted(here)
    for file in there:
        content = await asyncio.to_thread(scene.content(file).read_bytes)
        assert (file.size, file.sha256) == (here[file.key].size, here[file.key].sha256)
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert file.incident == here[file.key].incident
    for delivery in await outbox.deliveries(limit=100_000):
        assert delivery.state is State.DONE
        if delivery.lane is Lane.BULK:
            assert delivery.receipt is not None
            assert (delivery.receipt.proof, delivery.receipt.sha256) == (Proof.SIGNED, delivery.sha256)
    assert await outbox.count_losses() == 0
    return clips


def pictures(path: Path) -> int:
    """Return how many pictures a clip shows."""
    with av.open(str(path), "r") as container:
        return sum(1 for _ in container.decode(video=0))


def _told(mail: Mail) -> Told:
    message = mail.message
    incidents = str(message["X-Edged-Incident"] or "").replace(",", " ").split()
    return Told(
        kind=str(message["X-Edged-Kind"]), incidents=tuple(incidents), message_id=str(message["Message-ID"]), mail=mail
    )
