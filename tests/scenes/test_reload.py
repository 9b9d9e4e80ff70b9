"""A running device whose configuration file is changed: what is taken acts at once, and what is open goes on."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from edged.app.board import WorldBoard
from edged.app.enqueue import enqueue
from edged.app.reload import Reloader
from edged.base.errors import ConfigError
from edged.base.systemd import Notifier
from edged.model import LinkState, State
from edged.settings import load_device
from edged.supervise.http import StatusServer
from edged.wire.keys import new_device_key
from tests.app.home import tables, toml
from tests.app.test_changes import SECTIONS
from tests.mailbox import serve_mail
from tests.scenes.stage import DEVICE, PERSON, check_proven, film, happen, running, settled, stage, until
from tests.scenes.test_seen_thrice import FILMED, camera
from tests.scenes.test_ten_uploads import SCRIPTED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edged.app.world import World
    from tests.scenes.stage import Stage
    from tests.simloop import SimClock, Simulate

LATER = "later@example.org"
SIZE = 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Changing:
    """A running device and the file that it was started from."""

    ends: Stage
    world: World
    file: Path
    reloader: Reloader

    async def change(self, **sections: Any) -> dict[str, Any]:
        """Write the file anew with these sections, reload, and return the answer."""
        self.file.write_text(toml(self.ends.tables(**sections)))
        return await self.reloader.reload()


@asynccontextmanager
async def changing(ends: Stage, clock: SimClock, without: tuple[str, ...], **sections: Any) -> AsyncIterator[Changing]:
    """Run the device from a file with these sections."""
    file = ends.folder / "edged.toml"
    file.write_text(toml(ends.tables(**sections)))
    config = load_device(file)
    async with running(config, clock, without=without) as world:
        http = StatusServer(WorldBoard(world), config.http, config.supervise)
        yield Changing(ends=ends, world=world, file=file, reloader=Reloader(world, http, file, Notifier(None)))


def test_a_changed_rate_acts_on_the_upload_under_way(simulate: Simulate, tmp_path: Path) -> None:
    """Within a second, up and down, and the same upload goes on: no byte is sent again."""

    async def scene(clock: SimClock) -> None:
        source = tmp_path / "survey.bin"
        source.write_bytes(bytes(SIZE))
        async with (
            stage(tmp_path, clock) as ends,
            changing(ends, clock, SCRIPTED, push={"rate": "10kB/s"}) as device,
        ):
            world = device.world
            await enqueue(world.outbox, world.spool, clock, world.destinations, {"files": [str(source)]})
            await until(lambda: world.outward.counters.sent > 20_000)
            (transfer,) = world.outward.transfers.under_way()

            async def sent_in(seconds: float) -> int:
                before = transfer.sent
                await asyncio.sleep(seconds)
                return transfer.sent - before

            assert await sent_in(10.0) == pytest.approx(100_000, rel=0.05)
            answer = await device.change(push={"rate": "100kB/s"})
            assert answer == {"taken": ("push.rate",), "restart": (), "notes": []}
            await asyncio.sleep(1.0)
            assert await sent_in(10.0) == pytest.approx(1_000_000, rel=0.05)
            night = {"rate": "100kB/s", "timetable": [{"when": "mo-su 00:00-24:00", "rate": "0kB/s"}]}
            assert (await device.change(push=night))["taken"] == ("push.timetable",)
            await asyncio.sleep(1.0)
            assert await sent_in(10.0) == 0
            await device.change(push={"rate": "100kB/s"})
            await asyncio.sleep(1.0)
            assert await sent_in(10.0) == pytest.approx(1_000_000, rel=0.05)
            assert world.outward.transfers.under_way() == (transfer,)
            await settled(world, limit=300.0)
            assert world.outward.counters.wasted == 0

    simulate(scene)


def test_new_people_are_told_of_what_is_opened_from_then_on(simulate: Simulate, tmp_path: Path) -> None:
    """An open incident goes on with its people; what waits for a removed one still goes out, and the answer says so."""

    async def scene(clock: SimClock) -> None:
        async with (
            stage(tmp_path, clock) as ends,
            changing(ends, clock, SCRIPTED, alerts={"cooldown": "0s"}) as device,
        ):
            world = device.world
            ends.post.refuse = True
            first = asyncio.create_task(happen(world, "door", lasts=8.0))
            await until(lambda: world.eyes["door"].recorder.incident is not None)
            await asyncio.sleep(1.0)
            answer = await device.change(alerts={"cooldown": "0s", "recipients": [LATER]})
            assert answer["taken"] == ("alerts.recipients",)
            assert answer["notes"] == [f"on their way to {PERSON}, and not called back: 1 alert"]
            await first
            await until(lambda: world.eyes["door"].recorder.incident is None)
            await happen(world, "door")
            ends.post.refuse = False
            await settled(world, limit=120.0)
            second, opened_first = await world.outbox.incidents()
            told = {each.mail.recipients: each.incidents for each in ends.told()}
            assert told == {(PERSON,): (opened_first.id,), (LATER,): (second.id,)}
            assert all(await check_proven(ends, world.outbox))

    simulate(scene)


def test_a_schedule_a_cooldown_and_a_cap_hold_from_the_next_incident_on(simulate: Simulate, tmp_path: Path) -> None:
    """Each decides whether the next incident raises an alert; a cool-down that has begun ends as it began."""

    async def scene(clock: SimClock) -> list[str]:
        async with stage(tmp_path, clock) as ends, changing(ends, clock, SCRIPTED) as device:
            world = device.world
            for alerts in (
                {"cooldown": "0s"},
                {"cooldown": "0s", "cap_per_hour": 1},
                {"cooldown": "0s", "armed": ["mo-su 01:00-02:00"]},
                {"cooldown": "10min"},
                {"cooldown": "0s"},
            ):
                await device.change(alerts=alerts)
                await happen(world, "door")
                await until(lambda: world.eyes["door"].recorder.incident is None)
            await settled(world)
            return [incident.held for incident in reversed(await world.outbox.incidents())]

    assert simulate(scene) == ["", "cap", "disarmed", "", "cooldown"]


def test_the_upload_mode(simulate: Simulate, tmp_path: Path) -> None:
    """What is sealed from then on waits for a release, or does not; what was held stays so, and the answer says it."""

    async def scene(clock: SimClock) -> None:
        async with stage(tmp_path, clock) as ends, changing(ends, clock, SCRIPTED) as device:
            world = device.world

            async def clips() -> list[State]:
                found = [each for each in await world.outbox.deliveries(limit=99) if each.kind == "clip"]
                return [each.state for each in reversed(found)]

            assert (await device.change(push={"upload": "manual"}))["taken"] == ("push.upload",)
            await happen(world, "door")
            await until(lambda: world.eyes["door"].recorder.incident is None)
            assert await clips() == [State.HELD]
            answer = await device.change()
            assert answer["notes"] == ["held before, to be released by edged outbox retry --all: 1 clip"]
            await happen(world, "door")
            await settled(world)
            assert await clips() == [State.HELD, State.DONE]

    simulate(scene)


def test_other_relays(simulate: Simulate, tmp_path: Path) -> None:
    """A mail that no relay took goes out through the new one at once, from the new sender."""

    async def scene(clock: SimClock) -> None:
        async with stage(tmp_path, clock) as ends, serve_mail() as other, changing(ends, clock, SCRIPTED) as device:
            ends.post.refuse = True
            await happen(device.world, "door")
            await asyncio.sleep(60.0)
            relay = {"host": "127.0.0.1", "port": other.port, "security": "opportunistic"}
            answer = await device.change(mail={"sender": "new@example.org", "relays": [relay]})
            assert answer["taken"] == ("mail.relays", "mail.sender")
            await until(lambda: len(other.mails) == 1, limit=5.0)
            assert "new@example.org" in str(other.mails[0].message["From"])
            assert ends.told() == []
            await settled(device.world)

    simulate(scene)


def test_zones_and_sizes_hold_from_the_next_picture_on(simulate: Simulate, tmp_path: Path) -> None:
    """A figure crosses three times: masked, seen, too small. What was learned of the view is not forgotten."""

    async def scene(clock: SimClock) -> None:
        walks = camera(merge="1s", post_roll="1s")
        walks["synthetic"]["walks"] = [10.0, 30.0, 50.0]
        everything = {"all": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]}
        masked = {**walks, "detect": {**walks["detect"], "masks": everything}}
        zoned = {**walks, "detect": {**walks["detect"], "zones": everything}}
        large = {**walks, "detect": {**walks["detect"], "smallest": "60%"}}
        async with (
            stage(tmp_path, clock) as ends,
            changing(ends, clock, FILMED, cameras={"door": masked}) as device,
        ):
            began, world = clock.mono(), device.world
            filming = asyncio.create_task(film(world, "door", 60.0))
            await asyncio.sleep(25.0)
            assert await world.outbox.incidents() == ()
            answer = await device.change(cameras={"door": zoned})
            assert answer["taken"] == ("cameras.door.detect.masks", "cameras.door.detect.zones")
            await asyncio.sleep(20.0)
            (incident,) = await world.outbox.incidents()
            assert incident.opened.mono == pytest.approx(began + 30.0, abs=1.0)
            assert incident.zones == ("all",)
            await device.change(cameras={"door": large})
            await filming
            assert len(await world.outbox.incidents()) == 1
            await settled(world)

    simulate(scene)


def test_an_open_incident_ends_as_it_would_have_ended(simulate: Simulate, tmp_path: Path) -> None:
    """Another post-roll holds for the next incident; the one that is open gets what it began with."""

    async def scene(clock: SimClock) -> list[float]:
        walks = camera(merge="2s", post_roll="1s")
        walks["synthetic"]["walks"] = [10.0, 40.0]
        changed = {**walks, "detect": {"merge": "2s", "post_roll": "6s"}}
        async with stage(tmp_path, clock) as ends, changing(ends, clock, FILMED, cameras={"door": walks}) as device:
            world, recorder = device.world, device.world.eyes["door"].recorder
            filming = asyncio.create_task(film(world, "door", 60.0))
            await until(lambda: recorder.incident is not None)
            assert (await device.change(cameras={"door": changed}))["taken"] == ("cameras.door.detect.post_roll",)
            await filming
            await settled(world)
            rolls = []
            for incident in reversed(await world.outbox.incidents()):
                clips = await world.outbox.clips_of(incident.id)
                assert incident.closed is not None
                rolls.append(clips[-1].start.mono + clips[-1].seconds - incident.closed.mono)
            return rolls

    first, second = simulate(scene)
    assert first < 3.0  # what came while nobody knew yet that it was over, included
    assert second == pytest.approx(6.0, abs=0.5)


def test_a_quota_is_kept_at_once(simulate: Simulate, tmp_path: Path) -> None:
    """A smaller quota makes room within seconds, not at the next sweep."""

    async def scene(clock: SimClock) -> None:
        async with stage(tmp_path, clock) as ends, changing(ends, clock, SCRIPTED) as device:
            world = device.world
            for _ in range(3):
                await happen(world, "door")
            await settled(world)
            kept = await world.outbox.kept_bytes()
            answer = await device.change(outbox={"quota": f"{kept // 2}B"})
            assert answer["taken"] == ("outbox.quota",)
            await asyncio.sleep(10.0)
            assert 0 < await world.outbox.kept_bytes() <= kept // 2

    simulate(scene)


def test_a_line_that_costs(simulate: Simulate, tmp_path: Path) -> None:
    """A usable line counts as metered at once, and no longer; heartbeats come at their new distance."""

    async def scene(clock: SimClock) -> None:
        async with stage(tmp_path, clock) as ends, changing(ends, clock, SCRIPTED) as device:
            link = device.world.outward.link
            assert link is not None
            await until(lambda: link.usable)
            await asyncio.sleep(30.0)  # the first sign of life is sent, and the next is far off
            states = []
            await device.change(push={"metered": True, "heartbeat": "20s"})
            states.append(link.link.state)
            beats = []
            for _ in range(3):
                await asyncio.sleep(25.0)
                (there,) = await ends.receiver.world.registry.devices()
                assert there.heartbeat is not None
                beats.append((there.heartbeat.interval, there.heartbeat.uptime))
            assert {interval for interval, _ in beats} == {20.0}
            assert len(set(beats)) == 3
            await device.change()
            assert [*states, link.link.state] == [LinkState.METERED, LinkState.UP]

    simulate(scene)


def test_a_lost_camera_is_told_after_the_time_that_now_holds(simulate: Simulate, tmp_path: Path) -> None:
    """A shorter time tells at once of a camera that is lost for longer already, and the people who are named now."""

    async def scene(clock: SimClock) -> None:
        watched = ("capture", "detect", "last resort")
        async with (
            stage(tmp_path, clock) as ends,
            changing(ends, clock, watched, supervise={"camera_lost": "1h"}) as device,
        ):
            await asyncio.sleep(600.0)
            assert ends.told() == []
            await device.change(supervise={"camera_lost": "5min"}, alerts={"recipients": [LATER]})
            await until(lambda: len(ends.told()) == 1, limit=10.0)
            (told,) = ends.told()
            assert (told.kind, told.mail.recipients) == ("system", (LATER,))
            assert "Camera door is lost" in str(told.mail.message["Subject"])

    simulate(scene)


def test_a_corrected_key_is_used_at_once(simulate: Simulate, tmp_path: Path) -> None:
    """The receiver has given the device another key: once its file holds it, a reload sends what was refused."""

    async def scene(clock: SimClock) -> None:
        async with stage(tmp_path, clock) as ends, changing(ends, clock, SCRIPTED) as device:
            key = new_device_key()
            await ends.receiver.world.registry.add_device(DEVICE, key, clock.wall(), replace=True)
            await happen(device.world, "door")
            await asyncio.sleep(120.0)
            assert await ends.arrived() == []
            (tmp_path / "key").write_text(key)
            assert (await device.change())["taken"] == ("receiver.key",)
            await settled(device.world, limit=20.0)
            assert all(await check_proven(ends, device.world.outbox))

    simulate(scene)


BROKEN = st.sampled_from(
    [{"push": {"rate": "fast"}}, {"alerts": {"cap_per_hour": -1}}, {"nonsense": {}}, {"cameras": {}}]
)


@hypothesis.settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(row=st.lists(st.one_of(SECTIONS, SECTIONS, BROKEN), min_size=1, max_size=5))
def test_no_row_of_configurations_breaks_the_device(simulate: Simulate, row: list[dict[str, Any]]) -> None:
    """Whatever is taken or refused, every task goes on without a restart, and the next incident is recorded whole."""

    async def scene(clock: SimClock) -> None:
        with TemporaryDirectory(prefix="edged-reload-") as folder:
            file, base = Path(folder, "edged.toml"), tables(Path(folder, "state"))
            file.write_text(toml(base))
            config = load_device(file)
            async with running(config, clock, without=SCRIPTED) as world:
                http = StatusServer(WorldBoard(world), config.http, config.supervise)
                reloader = Reloader(world, http, file, Notifier(None))
                for sections in row:
                    before = world.config
                    file.write_text(toml({**base, **sections}))
                    try:
                        await reloader.reload()
                    except ConfigError:
                        assert world.config is before
                    await asyncio.sleep(30.0)
                await happen(world, "door")
                await until(lambda: world.eyes["door"].recorder.incident is None)
                (incident,) = await world.outbox.incidents()
                assert sum(clip.seconds for clip in await world.outbox.clips_of(incident.id)) > 3.0
                assert [(task.name, task.error) for task in world.supervisor.states() if task.restarts] == []

    simulate(scene)
