"""Silent devices: told once by mail, with an all-clear, across restarts."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from edged.base.clock import SystemClock
from edged.channels import smtp
from edged.channels.settings import MailSettings, Relay, Security
from edged.receiver.alarms import AlarmLoop, Alarms, Letter
from edged.receiver.app import serve
from edged.receiver.registry import Device, Registry
from edged.receiver.settings import AlarmSettings, ReceiverConfig
from edged.receiver.silence import SilenceLoop, changes
from edged.receiver.store import open_store
from edged.wire import heartbeat
from edged.wire.heartbeat import Heartbeat
from tests.mailbox import Fault, serve_mail
from tests.receiver.client import manifest_of
from tests.receiver.conftest import known_device

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.mailbox import Mailbox

BEAT = Heartbeat(version="0.1.0", time=0.0, synced=True, boot="b", sequence=1, interval=60.0, site="Harbour shop")


def device(heard: float | None, *, silent: float | None = None, interval: float = 60.0) -> Device:
    """Return a device that was last heard at `heard`."""
    beat = replace(BEAT, interval=interval)
    return Device(name="shop", added=0.0, heard=heard, heartbeat=beat, sequence=1, fell_back=None, silent=silent)


@pytest.mark.parametrize(
    ("known", "now", "started", "told"),
    [
        (device(None), 9e9, 0.0, None),
        (device(1000.0), 1900.0, 0.0, None),
        (device(1000.0), 1901.0, 0.0, True),
        (device(1000.0, silent=1901.0), 5000.0, 0.0, None),
        (device(4999.0, silent=1901.0), 5000.0, 0.0, False),
        (device(1000.0), 5000.0, 4200.0, None),
        (device(1000.0), 5101.0, 4200.0, True),
        (device(1000.0, interval=600.0), 2800.0, 0.0, None),
        (device(1000.0, interval=600.0), 2801.0, 0.0, True),
    ],
    ids=[
        "never heard",
        "in time",
        "too late",
        "told already",
        "heard again",
        "the receiver itself was away",
        "still silent after it came back",
        "slow beats wait longer",
        "but not for ever",
    ],
)
def test_when_silence_is_told(known: Device, now: float, started: float, told: bool | None) -> None:
    """Silence after 900 s or three intervals, whichever is longer, since the later of beat and own start."""
    found = changes([known], now=now, started=started, silent_after=900.0)
    assert [change.silent for change in found] == ([] if told is None else [told])


class Later:
    """The system's clock, moved on by `ahead` seconds."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self.ahead = 0.0

    def wall(self) -> float:
        """Return the moved wall time."""
        return self._real.wall() + self.ahead

    def mono(self) -> float:
        """Return the moved monotonic time."""
        return self._real.mono() + self.ahead

    def boot(self) -> str:
        """Return the real boot."""
        return self._real.boot()

    def synced(self) -> bool:
        """Return True: mails carry their date."""
        return True


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    """A database with the device "shop"."""
    store = await open_store(tmp_path / "receiver.db")
    registry = Registry(store.database)
    await registry.add_device("shop", "key", 0.0, replace=False)
    yield registry
    await store.database.close()


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """A mail server on loopback."""
    async with serve_mail() as mailbox:
        yield mailbox


def with_mail(config: ReceiverConfig, port: int) -> ReceiverConfig:
    """Return a configuration that tells two people."""
    relay = Relay(host="127.0.0.1", port=port, security=Security.OPPORTUNISTIC)
    recipients = ("ann@example.org", "bob@example.org")
    return replace(
        config,
        mail=MailSettings(sender="hq@example.org", relays=(relay,)),
        alarm=AlarmSettings(recipients=recipients),
    )


async def waiting(alarms: Alarms) -> int:
    """Return how many letters wait, due or not."""
    (count,) = await alarms._database.read(lambda db: db.execute("SELECT count(*) FROM mail").fetchone())
    return int(count)


async def beat(registry: Registry, clock: Later) -> None:
    """Let the device be heard now."""
    await registry.note("shop", BEAT, heartbeat.pack(BEAT, [])[0], clock.wall())


async def test_alarm_and_all_clear(config: ReceiverConfig, registry: Registry, mailbox: Mailbox) -> None:
    """One mail each when it falls silent, none while it stays so, one each when it is back; a restart adds none."""
    clock, told = Later(), with_mail(config, mailbox.port)
    alarms = Alarms(registry._database)
    sender = AlarmLoop(alarms, smtp.Mailer(told.mail, smtp.resolve(told.mail), clock), clock, Random(1))
    await beat(registry, clock)
    watch = SilenceLoop(told, registry, alarms, clock)
    await watch.step()
    assert await waiting(alarms) == 0
    clock.ahead += 1000.0
    for _ in range(2):
        await watch.step()
        await SilenceLoop(told, registry, alarms, clock).step()
    assert await waiting(alarms) == 2
    while await sender.step():
        pass
    clock.ahead += 1000.0
    await watch.step()
    await beat(registry, clock)
    await watch.step()
    await watch.step()
    while await sender.step():
        pass
    mails = await mailbox.wait_for(4)
    assert sorted(mail.recipients[0] for mail in mails) == ["ann@example.org"] * 2 + ["bob@example.org"] * 2
    subjects = [str(mail.message["Subject"]) for mail in mails]
    assert all("shop" in subject for subject in subjects)
    assert len({mail.message["Message-ID"] for mail in mails}) == 4
    assert len(set(subjects)) == 2
    assert await waiting(alarms) == 0


async def test_two_watches_tell_once(registry: Registry) -> None:
    """The mark and its letters are one commit: who comes second enters nothing."""
    alarms = Alarms(registry._database)
    first = Letter(key="a", recipient="ann@example.org", device="shop", message=b"1")
    second = Letter(key="b", recipient="ann@example.org", device="shop", message=b"2")
    assert await alarms.enter("shop", 5.0, [first])
    assert not await alarms.enter("shop", 6.0, [second])
    assert await alarms.next(0.0) == first
    assert await waiting(alarms) == 1


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (Fault(stage="RCPT", reply="450 4.2.0 later"), 1),
        (Fault(stage="RCPT", reply="550 5.1.1 nobody"), 0),
        (Fault(stage="GREETING", cut=True), 1),
        (Fault(stage="DOT", cut=True), 1),
    ],
    ids=["refused for now", "refused for good", "no answer", "no answer after the dot"],
)
async def test_a_mail_that_fails(
    config: ReceiverConfig, registry: Registry, mailbox: Mailbox, fault: Fault, kept: int
) -> None:
    """It waits and goes out later with the same Message-ID, unless it was refused for good."""
    clock, told = Later(), with_mail(config, mailbox.port)
    told = replace(told, alarm=replace(told.alarm, recipients=("ann@example.org",)))
    alarms = Alarms(registry._database)
    await beat(registry, clock)
    watch = SilenceLoop(told, registry, alarms, clock)
    clock.ahead += 1000.0
    await watch.step()
    sender = AlarmLoop(alarms, smtp.Mailer(told.mail, smtp.resolve(told.mail), clock), clock, Random(1))
    mailbox.faults = [fault]
    assert await sender.step()
    assert not await sender.step()  # it is not due again at once
    assert await waiting(alarms) == kept
    mailbox.faults = []
    clock.ahead += 4000.0
    assert await sender.step() == bool(kept)
    assert await waiting(alarms) == 0
    assert len({mail.message["Message-ID"] for mail in mailbox.mails}) == kept


@pytest.mark.parametrize(
    ("told", "parts"),
    [(BEAT, 2), (replace(BEAT, recording=1), None), (replace(BEAT, waiting=3), None)],
    ids=["all was sent", "still recording", "still sending"],
)
async def test_an_incident_without_a_last_part_is_whole_once_its_device_has_nothing_more(
    config: ReceiverConfig, told: Heartbeat, parts: int | None
) -> None:
    """A camera that died leaves no part marked last: the device's word that nothing waits ends the waiting for it."""
    async with serve(config) as serving, await known_device(serving, "shop") as shop:
        for part in (1, 2):
            data = bytes([part]) * 100
            await shop.upload(data, manifest_of(data, incident="a" * 32, part=part, opened=5.0))
        body, _ = heartbeat.pack(told, [])
        await shop.request("POST", "/heartbeat", {}, body)
        found = await serving.world.store.incident("shop", "a" * 32)
        assert found is not None
        assert found.parts == parts
        data = b"3" * 100
        await shop.upload(data, manifest_of(data, incident="a" * 32, part=3, opened=5.0, final=True))
        found = await serving.world.store.incident("shop", "a" * 32)
        assert found is not None
        assert found.parts == 3


async def test_heartbeats_over_http(config: ReceiverConfig) -> None:
    """A heartbeat is entered with its gaps, answered with time and sequence, and a fall-back is found."""
    async with serve(config) as serving, await known_device(serving, "shop") as shop:
        gap = heartbeat.GapReport(camera="door", start=5.0, end=None, reason="no frames")
        body, _ = heartbeat.pack(replace(BEAT, sequence=7), [gap])
        answer = heartbeat.answer_from_json((await shop.request("POST", "/heartbeat", {}, body)).body)
        assert answer is not None
        assert (answer.sequence, abs(answer.time - shop.now) < 60) == (7, True)
        body, _ = heartbeat.pack(replace(BEAT, sequence=3), [replace(gap, end=9.0)])
        answer = heartbeat.answer_from_json((await shop.request("POST", "/heartbeat", {}, body)).body)
        assert answer is not None
        assert answer.sequence == 7
        known = await serving.world.registry.device("shop")
        assert known is not None
        assert known.sequence == 7
        assert known.fell_back is not None
        assert await serving.world.registry.gaps("shop", 10) == [replace(gap, end=9.0)]


async def test_a_device_that_fell_back_is_told_of_once(
    config: ReceiverConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log has one error when a device's card lost commits, and none at each heartbeat until it caught up."""
    async with serve(config) as serving, await known_device(serving, "shop") as shop:
        for sequence in (9, 3, 4, 5):
            body, _ = heartbeat.pack(replace(BEAT, sequence=sequence), [])
            await shop.request("POST", "/heartbeat", {}, body)
    assert capsys.readouterr().out.count("device fell back") == 1
