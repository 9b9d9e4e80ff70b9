"""A device's configuration for tests, and a world that lives by it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from edged.app.control import control_server
from edged.app.tasks import tasks
from edged.app.world import open_world
from edged.base.clock import SystemClock
from edged.base.config import parse
from edged.base.errors import EdgedError
from edged.base.systemd import Notifier
from edged.settings import DeviceConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from edged.app.world import World

PATIENCE = 40.0  # seconds that a test waits for what must come; far more than it takes


def tables(state: Path, **sections: Any) -> dict[str, Any]:
    """Return a device's configuration as TOML has it: one drawn camera, and `sections` beside or instead of the rest.

    Its scene lies still for half a minute. The disk may be as full as it likes.
    """
    door = {
        "source": "synthetic",
        "size": "320x180",
        "synthetic": {"walks": [30.0]},
        "detect": {"merge": "1s", "post_roll": "500ms"},
    }
    return {
        "device": {"name": "shop", "site": "Corner shop", "state": str(state), "timezone": "Europe/Berlin"},
        "cameras": {"door": door},
        "http": {"listen": "127.0.0.1:0"},
        "outbox": {"warn_share": "0%", "critical_share": "0%"},
        **sections,
    }


def config(state: Path, **sections: Any) -> DeviceConfig:
    """Return the configuration of `tables`, as loaded from a file."""
    return parse(tables(state, **sections), DeviceConfig)


def toml(table: dict[str, Any]) -> str:
    """Return tables of tables, lists and plain values as TOML."""
    return "\n".join(f"{name} = {_inline(value)}" for name, value in table.items()) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_inline(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


async def _no_reload(_args: dict[str, Any]) -> None:
    raise EdgedError("this device was not started from a file")


@asynccontextmanager
async def living(settings: DeviceConfig) -> AsyncIterator[World]:
    """Run a device as the daemon does, with its control socket, until the block ends."""
    async with open_world(settings, SystemClock(), Notifier(None)) as world:
        world.supervisor.take(tasks(world))
        control = control_server(world, _no_reload)
        await control.start()
        job = asyncio.create_task(world.supervisor.run())
        try:
            yield world
        finally:
            await control.stop()
            await world.supervisor.stop()
            await job


async def until(true: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is true; TimeoutError when it never is."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)


async def watching(world: World) -> None:
    """Wait until every camera delivers pictures."""
    await until(lambda: all(eye.capture.health.delivering for eye in world.eyes.values()))
