"""The daemon's life: start, run until told to stop, stop in the data's order."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

from edged import __version__
from edged.app.board import WorldBoard
from edged.app.control import control_server
from edged.app.reload import Reloader
from edged.app.tasks import tasks
from edged.app.world import open_world
from edged.base import log as logs
from edged.base.clock import SystemClock
from edged.base.systemd import Notifier
from edged.settings import load_device
from edged.supervise.http import StatusServer

if TYPE_CHECKING:
    from pathlib import Path

    from edged.settings import DeviceConfig
    from edged.supervise.control import ControlServer

log = structlog.get_logger(__name__)

FAILED = 1
_THREADS = 32  # at once; asyncio's few (the processors + 4) may all hang in name look-ups while the line is down
_TURN = 0.0005  # seconds a thread may keep the interpreter; at the default 5 ms the loop waits for every camera


def run(path: Path) -> int:
    """Run the daemon by the configuration file at `path` until SIGTERM or SIGINT; return its exit code.

    Raises ConfigError when the file can't be used.
    Threads that hang (a camera, a name look-up) can't be ended, so once all is stored the process leaves without them.
    """
    config = load_device(path)
    logs.configure(style=config.log.style, level=config.log.level)
    sys.setswitchinterval(_TURN)
    runner = asyncio.Runner()  # not closed, as asyncio.run would: it would wait for threads that hang
    try:
        code = runner.run(_live(path, config))
    except (OSError, sqlite3.OperationalError) as error:
        log.critical("edged can't start", state=str(config.device.state), reason=str(error))
        code = FAILED
    os._exit(code)


async def _live(path: Path, config: DeviceConfig) -> int:
    stopping, reloading = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="edged"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _told_to_stop, stopping)
    if not os.isatty(0):  # from a terminal the signal says that this has gone, and means an end as ever
        loop.add_signal_handler(signal.SIGHUP, reloading.set)
    notifier = Notifier.from_environment()
    async with open_world(config, SystemClock(), notifier) as world:
        world.on_leave(stopping.set)
        world.supervisor.take(tasks(world))
        http = StatusServer(WorldBoard(world), config.http, config.supervise)
        reloader = await asyncio.to_thread(Reloader, world, http, path, notifier)
        control = control_server(world, reloader.command)
        await _open_doors(http, control)
        following = asyncio.create_task(reloader.follow(reloading), name="reload")
        running = asyncio.create_task(world.supervisor.run(), name="supervisor")
        log.info("edged runs", version=__version__, cameras=list(config.cameras), page=http.address)
        notifier.ready()
        await stopping.wait()
        log.info("edged stops", reason=world.left or "told to")
        following.cancel()
        if world.left:
            await world.farewell.note("start", world.left)
        notifier.stopping()
        await control.stop()
        await http.stop()
        await world.supervisor.stop()
        await running
    notifier.close()
    log.info("edged stopped")
    return FAILED if world.left else 0


async def _open_doors(http: StatusServer, control: ControlServer) -> None:
    """Open the pages and the control socket; a port that is taken must not keep edged from recording."""
    await control.start()
    try:
        await http.start()
    except OSError as error:
        log.error("no status page", reason=error.strerror, advice="another program holds the port: see http.listen")


def _told_to_stop(stopping: asyncio.Event) -> None:
    """Stop in order at the first signal, at once at the second: what is committed survives that, too."""
    if stopping.is_set():
        log.warning("edged ends at once", reason="told to stop twice")
        os._exit(FAILED)
    stopping.set()
