"""Clocks that are wrong: a boot in 1970, steps by a day and by a second, summer time, and the receiver's own clock.

What holds by the monotonic clock alone has its tests where it lives: cool-downs and the cap (tests/outbox/
test_windows.py), retention (tests/outbox/test_retention.py), a correction that keeps the originals (tests/outbox/
test_incidents.py), mails that wait for it (tests/push/test_alert.py), TLS in 1970 (tests/faults/test_tls.py).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from edged.app.arming import Arming
from edged.base.clock import Stamp, Steps
from edged.base.pulse import Pulse
from edged.base.units import Duration, Rate
from edged.channels import times
from edged.channels.settings import MailSettings, Relay, Security
from edged.model import Gap
from edged.push.settings import Hours, PushSettings
from edged.push.throttle import scheduled_rate
from edged.receiver.alarms import Alarms
from edged.receiver.app import serve
from edged.receiver.retention import RetentionLoop
from edged.receiver.settings import AlarmSettings, ReceiverConfig, RetentionSettings
from edged.receiver.silence import SilenceLoop
from edged.wire import heartbeat
from tests.outbox.world import HandClock
from tests.receiver.client import Device, manifest_of
from tests.scenes.stage import check_proven, happen, sending, settled, stage, until
from tests.simloop import NOON, SimClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.app.world import World
    from edged.model import Incident
    from edged.receiver.app import Serving
    from tests.scenes.stage import Stage
    from tests.simloop import Simulate

DAY = 86_400.0
BERLIN = ZoneInfo("Europe/Berlin")

# ------------------------------------------------------------------------------------------------- boot in 1970


@asynccontextmanager
async def recording(world: World, clock: SimClock) -> AsyncIterator[None]:
    """Have the recorder at work while the context lasts, and until it has nothing left to do."""
    recorder = world.eyes["door"].recorder
    job = asyncio.create_task(recorder.run(Pulse("record", 60.0, clock)))
    yield
    await until(lambda: recorder.incident is None and not recorder.waiting)
    job.cancel()
    await asyncio.wait([job])


async def rows(world: World, query: str) -> list[tuple[Any, ...]]:
    """Return what the outbox's database holds."""
    return [tuple(row) for row in await world.outbox.database.read(lambda db: db.execute(query).fetchall())]


async def told_gaps(ends: Stage) -> list[tuple[float, float | None]]:
    """Return the gaps that the receiver was told of, by start and end."""
    return [(gap.start, gap.end) for gap in await ends.receiver.world.registry.gaps("harbour", 10)]


def gap_at(clock: SimClock, *, lasts: float | None = None) -> Gap:
    """Return a gap that begins now as the clock reads, and ends after `lasts` seconds."""
    start = Stamp(wall=clock.wall(), mono=clock.mono(), boot=clock.boot(), synced=clock.synced())
    end = None if lasts is None else replace(start, wall=start.wall + lasts, mono=start.mono + lasts)
    return Gap(camera="door", start=start, end=end, reason="unplugged")


def test_a_box_in_1970_delivers_and_its_times_are_corrected_after_two_hours(simulate: Simulate, tmp_path: Path) -> None:
    """It signs by the receiver's time; once its clock is set, incidents and gaps read right here and there."""

    async def scene(right: SimClock) -> None:
        box = SimClock(right.loop, 60.0, synced=False)
        async with stage(tmp_path, right) as ends, sending(ends.config(), box) as world:
            await world.outbox.open_gap(gap_at(box))
            async with recording(world, box):
                await happen(world, "door")
            began = right.wall()
            await settled(world)
            (early,) = await world.outbox.incidents()
            assert early.opened.wall < 1000
            assert "time unknown" in str(ends.told()[0].mail.message["Subject"])
            await until(lambda: _told(ends), limit=600)
            assert [start for start, _ in await told_gaps(ends)] == [60.0]

            right.loop.restart_time(right.mono() + 7200)  # the same looks at nothing, over and over, are passed over
            box.jump_wall(right.wall() - box.wall(), synced=True)
            await until(lambda: _corrected(world), limit=60)
            (corrected,) = await world.outbox.incidents()
            assert corrected.opened.wall == pytest.approx(began, abs=60)
            assert (await rows(world, "SELECT opened_wall, opened_synced FROM incidents")) == [(early.opened.wall, 0)]
            await asyncio.sleep(700)
            ((start, end),) = await told_gaps(ends)
            assert start == pytest.approx(NOON, abs=60)
            assert end is None

            async with recording(world, box):
                await happen(world, "door")
            await settled(world)
            newest, oldest = await world.outbox.incidents()
            assert (newest.held, oldest.id) == ("", early.id)
            assert newest.opened.wall - oldest.opened.wall == pytest.approx(7200 + 700, abs=700)
            await check_proven(ends, world.outbox)
        assert [told.incidents for told in ends.told()] == [(early.id,), (newest.id,)]

    simulate(scene)


async def _told(ends: Stage) -> bool:
    return bool(await told_gaps(ends))


async def _corrected(world: World) -> bool:
    return all(incident.opened.synced for incident in await world.outbox.incidents())


def test_what_waited_while_the_clock_was_not_set_arrives_with_its_true_time(simulate: Simulate, tmp_path: Path) -> None:
    """With the line dead for the two hours, mail and receiver are told the corrected times from the first."""

    async def scene(right: SimClock) -> None:
        box = SimClock(right.loop, 60.0, synced=False)
        async with stage(tmp_path, right) as ends, sending(ends.config(), box) as world:
            ends.line.refuse = ends.post.refuse = True
            began = right.wall()
            async with recording(world, box):
                await happen(world, "door")
            right.loop.restart_time(right.mono() + 7200)
            box.jump_wall(right.wall() - box.wall(), synced=True)
            await until(lambda: _corrected(world), limit=60)
            ends.line.refuse = ends.post.refuse = False
            await settled(world, limit=3600)
            await check_proven(ends, world.outbox)
            (incident,) = await world.outbox.incidents()
            (there,) = await ends.receiver.world.store.incidents(owner=None, before=float("inf"), limit=5)
            assert (there.id, there.synced) == (incident.id, True)
            assert there.opened == pytest.approx(began, abs=10)
        (told,) = ends.told()
        assert f"{datetime.fromtimestamp(began, BERLIN):%H:%M}" in str(told.mail.message["Subject"])

    simulate(scene)


def test_an_incident_told_too_early_is_put_right_at_the_receiver(simulate: Simulate, tmp_path: Path) -> None:
    """The first part was sent before the clock was set, a later one after: the page shows the time that is known."""

    async def scene(clock: SimClock) -> None:
        async with stage(tmp_path, clock) as ends:
            url, key = f"http://127.0.0.1:{ends.receiver.port}", (tmp_path / "key").read_text()
            async with Device(url, "harbour", key, clock.wall()) as device:
                early = {"incident": "i", "opened": 70.0, "synced": False}
                await device.upload(b"one", manifest_of(b"one", part=1, **early))
                late = {"incident": "i", "opened": NOON, "synced": True}
                await device.upload(b"two", manifest_of(b"two", part=2, **late))
                await device.upload(b"three", manifest_of(b"three", part=3, **early))
            found = await ends.receiver.world.store.incident("harbour", "i")
            assert found is not None
            assert (found.opened, found.synced) == (NOON, True)

    simulate(scene)


# ------------------------------------------------------------------------------------------------- steps

STEPS = [DAY, -DAY, 1.0, -1.0]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("whose", ["device", "receiver"])
def test_a_step_in_the_middle_of_an_incident_changes_nothing(
    simulate: Simulate, tmp_path: Path, whose: str, step: float
) -> None:
    """Order, length, cool-down, back-off, proof and what is kept stay as without it: a day, or a leap second."""

    async def scene(clock: SimClock) -> None:
        far = SimClock(clock.loop, clock.wall() - clock.mono() + 1000.0)
        sections = {"alerts": {"cooldown": "60s"}, "outbox": {"keep_clips": "12h", "sweep_interval": "30s"}}
        async with stage(tmp_path, far) as ends, sending(ends.config(**sections), clock) as world:
            began = clock.mono()
            async with recording(world, clock):
                playing = asyncio.create_task(happen(world, "door"))
                await asyncio.sleep(2.5)
                ends.line.refuse = True
                (clock if whose == "device" else far).jump_wall(step)
                await playing
                await happen(world, "door")
            ends.line.refuse = False
            await settled(world, limit=600)
            second, first = await world.outbox.incidents()
            assert (first.held, second.held) == ("", "cooldown")
            await check_length(world, first)
            assert all(await check_proven(ends, world.outbox))
            await asyncio.sleep(200)  # the window is over, and several sweeps
            assert [told.kind for told in ends.told()] == ["alert", "summary"]
            clips = [clip for each in (first, second) for clip in await world.outbox.clips_of(each.id)]
            assert all(clip.path.exists() for clip in clips)
            assert clock.mono() - began < 700  # the line's return was enough: nothing waited for a time of day

    simulate(scene)


async def check_length(world: World, incident: Incident) -> None:
    """See that the incident closed as long after its opening as it lasted, whatever the wall showed."""
    assert incident.closed is not None
    assert incident.closed.mono - incident.opened.mono == pytest.approx(3.0, abs=0.5)
    (clip,) = await world.outbox.clips_of(incident.id)
    assert clip.seconds == pytest.approx(5.0, abs=1.0)


@pytest.mark.parametrize("step", [DAY, -DAY, 1.0, -1.0, 0.0])
def test_a_step_of_the_wall_is_measured(step: float) -> None:
    """Once, and only what the monotonic clock knows nothing of."""
    clock = HandClock()
    steps = Steps(clock)
    clock.at += 100.0
    clock.ahead += step
    assert steps.since_last() == pytest.approx(step)
    clock.at += 100.0
    assert steps.since_last() == pytest.approx(0.0)


# ------------------------------------------------------------------------------------------------- times of day


def unix(text: str) -> float:
    """Return the Unix time of a date and time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NIGHTS = [
    ("2026-10-24T23:59:59", False),  # 01:59:59 CEST
    ("2026-10-25T00:00:00", True),  # 02:00 CEST
    ("2026-10-25T00:59:59", True),
    ("2026-10-25T01:00:00", True),  # 02:00 CET: the hour comes again
    ("2026-10-25T02:00:00", False),
    ("2026-03-29T00:59:59", False),  # 01:59:59 CET
    ("2026-03-29T01:00:00", False),  # 03:00 CEST: the hour is left out
    ("1970-01-01T01:30:00", None),  # 02:30 in Berlin, if only the clock were set
]


@pytest.mark.parametrize(("moment", "holds"), NIGHTS)
async def test_schedules_when_the_clocks_change(tmp_path: Path, moment: str, holds: bool | None) -> None:
    """Local time decides, twice or never within the hour; before the clock is set no schedule silences or slows."""
    clock = HandClock(trusted=holds is not None)
    clock.ahead = unix(moment) - clock.at
    arming = Arming(tmp_path / "arming.json", ["door"], schedule=["02:00-03:00"], timezone="Europe/Berlin", clock=clock)
    assert arming.is_armed("door") is (holds is not False)
    table = PushSettings(rate=Rate(1000), timetable=(Hours(when="02:00-03:00", rate=Rate(10)),))
    assert scheduled_rate(table, BERLIN, clock)() == (10 if holds else 1000)
    if holds is None:
        clock.ahead, clock.trusted = unix("2026-05-29T00:30:00") - clock.at, True
        assert scheduled_rate(table, BERLIN, clock)() == 10


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    """A mail names the zone's time that it means."""
    hours = [Stamp(wall=unix(f"2026-10-25T0{hour}:30:00"), mono=0, boot="b", synced=True) for hour in (0, 1)]
    told = [times.full(hour, "Europe/Berlin") for hour in hours]
    assert told == ["Sun 25 Oct 2026, 02:30:00 CEST", "Sun 25 Oct 2026, 02:30:00 CET"]


# ------------------------------------------------------------------------------------------------- the receiver's clock


def config_in(state: Path, **changes: Any) -> ReceiverConfig:
    """Return a receiver's configuration with one person to be alarmed after ten minutes of silence."""
    alarm = AlarmSettings(recipients=("ann@example.org",), silent_after=Duration(600))
    mail = MailSettings(sender="hq@example.org", relays=(Relay(host="127.0.0.1", port=1, security=Security.TLS),))
    return ReceiverConfig(
        state=state, public_url="http://127.0.0.1:1", listen="127.0.0.1:0", alarm=alarm, mail=mail, **changes
    )


class Watch:
    """A receiver's watch over the silence of its devices, and the mails that it wrote."""

    def __init__(self, serving: Serving, config: ReceiverConfig, clock: HandClock) -> None:
        self.registry = serving.world.registry
        self.database = serving.world.store.database
        self.loop = SilenceLoop(config, self.registry, Alarms(self.database), clock)

    async def beat(self, clock: HandClock) -> None:
        """Have the device heard now."""
        raw = b'{"version":"1","time":1,"synced":true,"boot":"b","sequence":1,"interval":60}'
        await self.registry.note("shop", heartbeat.parse(raw), raw, clock.wall())

    async def mails(self) -> list[str]:
        """Look for silence, and return the kinds of all mails written so far, "silent" before "back"."""
        await self.loop.step()
        found = await self.database.read(lambda db: db.execute("SELECT key FROM mail ORDER BY key DESC").fetchall())
        return [row["key"].partition(".")[0] for row in found]


@pytest.mark.parametrize("step", [DAY, -DAY])
async def test_the_receivers_clock_neither_raises_nor_hides_an_alarm(state_dir: Path, step: float) -> None:
    """Set by a day it alarms nobody; silence from then on is told after the usual time, and so is its end."""
    clock = HandClock()
    config = config_in(state_dir)
    async with serve(config, clock) as serving:
        watch = Watch(serving, config, clock)
        await watch.registry.add_device("shop", "key", clock.wall(), replace=True)
        await watch.beat(clock)
        assert await watch.mails() == []
        clock.ahead += step
        assert await watch.mails() == []
        clock.at += 590
        assert await watch.mails() == []
        clock.at += 20
        assert await watch.mails() == ["silent"]
        clock.ahead -= step
        await watch.beat(clock)
        assert await watch.mails() == ["silent", "back"]


async def test_a_clock_set_forward_deletes_nothing_for_its_age_within_a_day(state_dir: Path) -> None:
    """A receiver that suddenly finds itself years later waits for somebody to see it; the quota holds meanwhile."""
    clock = HandClock()
    config = config_in(state_dir, retention=RetentionSettings(age=Duration(30 * DAY)))
    async with serve(config, clock) as serving:
        await serving.world.registry.add_device("shop", "key", clock.wall(), replace=True)
        sweep = RetentionLoop(serving.world.store, serving.world.uploads, config.retention, clock)
        async with Device(f"http://127.0.0.1:{serving.port}", "shop", "key", clock.wall()) as shop:
            await shop.upload(b"kept")
            await shop.create(manifest_of(b"begun"))
        clock.ahead += 3650 * DAY
        assert not await sweep.step()
        clock.at += DAY - 10
        assert not await sweep.step()
        assert len(await serving.world.store.uploads()) == 1
        clock.at += 20
        assert await sweep.step()
        assert await serving.world.store.uploads() == []
