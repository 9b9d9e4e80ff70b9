"""The table of tasks: what a configuration has use for runs, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from edged.wire import tus
from tests.app.home import config, living, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.app.world import World


@pytest.fixture
async def tus_server() -> AsyncIterator[str]:
    """A server that says no more than that it speaks tus; its address."""

    async def options(_: web.Request) -> web.Response:
        return web.Response(status=204, headers={tus.RESUMABLE: tus.VERSION})

    app = web.Application()
    app.router.add_route("OPTIONS", "/files", options)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/files"
    await runner.cleanup()


def running(world: World) -> set[str]:
    """Return the names of the tasks that have to do with the line."""
    return {task.name for task in world.supervisor.states()} & {"link", "heartbeat"}


@pytest.fixture
def secret(tmp_path: Path) -> dict[str, str]:
    """Where a configuration finds a secret."""
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text("k" * 43)
    return {"file": str(path)}


async def test_the_line_to_a_foreign_server_is_probed_without_heartbeats(
    state_dir: Path, tus_server: str, secret: dict[str, str]
) -> None:
    """Uploads wait until the line is known to be usable: with no probe they would wait for ever."""
    async with living(config(state_dir, receiver={"url": tus_server, "bearer": secret})) as world:
        assert running(world) == {"link"}
        link = world.outward.link
        assert link is not None
        await until(lambda: link.usable)


async def test_edged_s_own_receiver_is_told_that_the_device_lives(state_dir: Path, secret: dict[str, str]) -> None:
    """The line is probed, and heartbeats are sent over it."""
    receiver = {"url": "http://127.0.0.1:1", "device": "shop", "key": secret}
    async with living(config(state_dir, receiver=receiver)) as world:
        assert running(world) == {"link", "heartbeat"}


async def test_without_a_receiver_there_is_no_line(state_dir: Path) -> None:
    """Nothing probes what is not configured."""
    async with living(config(state_dir)) as world:
        assert running(world) == set()
