"""Two cameras, of which one dies and comes back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp

from edged.app.board import WorldBoard
from edged.base.clock import SystemClock
from edged.supervise.http import StatusServer
from tests.capture.clips import make_clip
from tests.capture.test_rtsp import serving
from tests.scenes.stage import running, stage, until

if TYPE_CHECKING:
    from pathlib import Path

    from edged.app.world import World

# a figure crosses the yard every eight seconds
YARD = {
    "source": "synthetic",
    "size": "320x180",
    "rate": 10.0,
    "synthetic": {"period": "8s", "walks": [4.0], "walk": "2s", "lamps": []},
    "detect": {"merge": "1s", "post_roll": "1s"},
}


def gate_camera(port: int) -> dict[str, Any]:
    """Return a network camera whose loss is noticed quickly; its pictures are not watched for motion."""
    health = {"silence": "2s", "stuck": "3s"}
    return {"url": f"rtsp://127.0.0.1:{port}/cam", "health": health, "detect": {"enabled": False}}


async def health_of(world: World) -> tuple[int, dict[str, Any]]:
    """Return the answer of the device's /health."""
    server = StatusServer(WorldBoard(world), world.config.http, world.config.supervise)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{server.address}/health") as answer:
            return answer.status, await answer.json()
    finally:
        await server.stop()


async def test_of_two_cameras_one_dies_and_comes_back(tmp_path: Path, free_port: int) -> None:
    """The other goes on alerting and delivering; the outage is one gap, told when it lasts and when it is over."""
    clip = make_clip(
        tmp_path / "gate.mp4", frames=600, options={"preset": "ultrafast", "tune": "zerolatency", "g": "20"}
    )
    clock = SystemClock()
    async with stage(tmp_path, clock) as ends:
        config = ends.config(
            cameras={"gate": gate_camera(free_port), "yard": YARD},
            alerts={"cooldown": "0s"},
            supervise={"camera_lost": "5s"},
        )

        def subjects() -> list[str]:
            return [str(told.mail.message["Subject"]) for told in ends.told() if not told.incidents]

        # it listens before the camera is opened, however long it starts
        async with contextlib.AsyncExitStack() as first:
            await first.enter_async_context(serving(free_port, "h264", clip))
            async with running(config, clock) as world:
                gate, yard = world.eyes["gate"].capture, world.eyes["yard"].capture

                async def delivered_since_the_loss() -> bool:
                    later = {each.id for each in await world.outbox.incidents() if each.opened.mono > lost_at}
                    clips = {file.incident for file in await ends.arrived() if file.kind == "clip"}
                    told = {incident for mail in ends.told() for incident in mail.incidents}
                    return bool(later & clips & told)

                await until(lambda: gate.health.delivering and yard.health.delivering)
                await first.aclose()
                lost_at = clock.mono()
                await until(lambda: len(subjects()) == 1)
                status, health = await health_of(world)
                assert (status, health["status"]) == (200, "degraded")
                assert health["subsystems"]["cameras"]["status"] == "degraded"
                assert "Camera gate" in health["subsystems"]["cameras"]["reasons"][0]
                await until(delivered_since_the_loss)
                async with serving(free_port, "h264", clip):
                    await until(lambda: len(subjects()) == 2)
                    (entry,) = await world.outbox.gaps()
        lost, back = subjects()
        assert "gate is lost" in lost
        assert "gate is back" in back
        assert entry.gap.camera == "gate"
        assert entry.gap.reason
        assert entry.gap.end is not None
        assert entry.gap.start.mono < lost_at + 1.0
        assert entry.gap.end.mono > lost_at
        assert {told.mail.message["X-Edged-Kind"] for told in ends.told()} >= {"alert"}
