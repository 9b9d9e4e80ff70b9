"""The pages of a device that lives: what they show is what its parts say."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import aiohttp
import av
import pytest

from edged.app.board import WorldBoard
from edged.supervise.http import StatusServer
from tests.app.home import config, living, until, watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.app.world import World


class Pages:
    """A device's pages and who looks at them."""

    def __init__(self, world: World, root: str, session: aiohttp.ClientSession) -> None:
        self.world = world
        self._root = root
        self._session = session

    async def get(self, path: str, status: int = 200) -> bytes:
        """Return the body of an answer that has this status."""
        async with self._session.get(self._root + path) as answer:
            assert answer.status == status
            return await answer.read()

    async def health(self, *statuses: int) -> dict[str, Any]:
        """Return what /health says, with one of these statuses."""
        async with self._session.get(f"{self._root}/health") as answer:
            assert answer.status in statuses
            found: dict[str, Any] = await answer.json()
            return found


@pytest.fixture
async def pages(state_dir: Path, tmp_path: Path) -> AsyncIterator[Pages]:
    """The pages of a device with a drawn camera and a folder."""
    (tmp_path / "usb").mkdir()
    settings = config(state_dir, folders={"usb": {"path": str(tmp_path / "usb"), "require_mount": False}})
    async with living(settings) as world, aiohttp.ClientSession() as session:
        server = StatusServer(WorldBoard(world), settings.http, settings.supervise)
        await server.start()
        await watching(world)
        yield Pages(world, server.address, session)
        await server.stop()


async def recorded(world: World) -> str:
    """Record for a second and return the incident once its clip is copied."""
    identity = await world.eyes["door"].detector.start_manual(1.0)

    async def done() -> bool:
        sealed = await world.outbox.clips_of(identity)
        return bool(sealed) and not (await world.outbox.backlog()).count

    await until(done)
    return identity


async def test_a_well_device(pages: Pages) -> None:
    """Its health is fine, its page shows the camera and what a person should know, its metrics name the camera."""
    allowed = set() if pages.world.clock.synced() else {"clock"}  # the machine's own clock may be anything

    async def well() -> bool:
        found = await pages.health(200, 503)
        return {name for name, part in found["subsystems"].items() if part["status"] != "ok"} == allowed

    await until(well)
    body = await pages.health(200)
    assert (body["device"], body["cameras"]) == ("shop", {"door": "Watching"})
    assert body["link"] is None
    assert body["outbox"]["waiting"] == 0
    assert body["rss_bytes"] > 10_000_000
    page = (await pages.get("/")).decode()
    for text in ("Corner shop", "door", "320x180", "names no recipients"):
        assert text in page
    metrics = (await pages.get("/metrics")).decode()
    assert 'edged_camera_delivering{camera="door"} 1.0' in metrics


async def test_an_incident_with_its_clip_and_picture(pages: Pages) -> None:
    """The incident's page plays the clip that is on the disk, and shows the snapshot."""
    identity = await recorded(pages.world)
    (clip, *_) = await pages.world.outbox.clips_of(identity)
    (snapshot, *_) = await pages.world.outbox.snapshots_of(identity)
    page = (await pages.get(f"/incidents/{identity}")).decode()
    assert f"/media/clip/{clip.id}.mp4" in page
    assert await pages.get(f"/media/clip/{clip.id}.mp4") == clip.path.read_bytes()
    assert await pages.get(f"/media/snapshot/{snapshot.id}.jpg") == snapshot.path.read_bytes()
    clip.path.unlink()
    await pages.get(f"/media/clip/{clip.id}.mp4", status=404)
    assert f"/media/clip/{clip.id}.mp4" not in (await pages.get(f"/incidents/{identity}")).decode()
    await pages.get(f"/media/snapshot/{clip.id}.jpg", status=404)
    await pages.get(f"/incidents/{'0' * 32}", status=404)


async def test_the_live_picture(pages: Pages) -> None:
    """Each camera has a picture of now; a camera that is not there has none."""
    await until(lambda: pages.world.eyes["door"].capture.picture is not None)
    data = await pages.get("/pictures/door.jpg")
    with av.open(io.BytesIO(data), "r") as container:
        (picture,) = container.decode(video=0)
    assert picture.width * 180 == picture.height * 320
    await pages.get("/pictures/gate.jpg", status=404)


async def test_a_still_on_demand(pages: Pages) -> None:
    """It is in the size of the recording; a camera that is not there has none."""
    await until(lambda: pages.world.eyes["door"].capture.picture is not None)
    with av.open(io.BytesIO(await pages.get("/stills/door.jpg")), "r") as container:
        (still,) = container.decode(video=0)
    recorded = pages.world.config.cameras["door"].size
    assert f"{still.width}x{still.height}" == recorded
    await pages.get("/stills/gate.jpg", status=404)


async def test_what_a_person_did_is_shown(pages: Pages) -> None:
    """Disarmed and drained, the page says so and the open incident is gone."""
    world = pages.world
    await world.arming.order("disarm", "door")
    identity = await world.eyes["door"].detector.start_manual(60.0)
    await until(lambda: world.eyes["door"].recorder.incident is not None)
    board = WorldBoard(world)
    (shown,) = board.view().cameras
    assert (shown.armed, shown.incident) == (False, identity)
    await world.supervisor.stop_stage(0)
    world.draining = True
    assert "edged drain" in " ".join(board.view().notices)
    assert "edged drain" in (await pages.get("/")).decode()


async def test_what_waits_is_listed_before_what_died(state_dir: Path, free_port: int, tmp_path: Path) -> None:
    """The queue shows the most urgent first, the dead last, and how long the oldest waits."""
    settings = config(state_dir, folders={"usb": {"path": str(tmp_path / "missing")}})
    async with living(settings) as world:
        await watching(world)
        identity = await world.eyes["door"].detector.start_manual(1.0)

        async def sealed() -> bool:
            return bool(await world.outbox.clips_of(identity))

        await until(sealed)
        board = WorldBoard(world)
        rows = await board.deliveries(10)
        assert [row["kind"] for row in rows] == sorted((row["kind"] for row in rows), reverse=True)  # snapshot, clip
        await world.outbox.bury(rows[0]["id"], "refused")
        again = await board.deliveries(10)
        assert again[-1]["id"] == rows[0]["id"]
        queue = await board.queue()
        assert (queue.dead, queue.sent, queue.proven) == (1, 0, 0)
        assert queue.waiting == len(rows) - 1
        assert queue.oldest_age is not None
        assert queue.drain_seconds is None


async def test_a_lost_camera_fails_health(state_dir: Path) -> None:
    """No pictures, no promise: /health is what monitors alarm at, and says why."""
    settings = config(state_dir, cameras={"door": {"url": str(state_dir / "missing.mp4")}})
    async with living(settings) as world, aiohttp.ClientSession() as session:
        server = StatusServer(WorldBoard(world), settings.http, settings.supervise)
        await server.start()
        await until(lambda: world.eyes["door"].capture.health.rung > 0)
        body = await Pages(world, server.address, session).health(503)
        assert body["status"] == "failing"
        assert "missing.mp4" in " ".join(body["subsystems"]["cameras"]["reasons"])
        gaps = await WorldBoard(world).gaps(5)
        assert [gap.camera for gap in gaps] == ["door"]
        await server.stop()
