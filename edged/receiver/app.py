"""The receiver: builds its parts, listens, runs its loops, and stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from edged.base import log as logs
from edged.base.clock import SystemClock
from edged.base.errors import EdgedError
from edged.base.lock import hold
from edged.base.pages.pages import Assets, well_dated
from edged.base.secret import reveal
from edged.base.systemd import Notifier, watchdog_interval
from edged.channels import smtp
from edged.receiver.alarms import AlarmLoop, Alarms
from edged.receiver.auth import Authority
from edged.receiver.copies import CopyLoop
from edged.receiver.desk import HERE, Desk
from edged.receiver.guard import guard, lean
from edged.receiver.handlers import device, links, login, pages, tus
from edged.receiver.opening import open_sound
from edged.receiver.registry import Registry
from edged.receiver.retention import RetentionLoop
from edged.receiver.sessions import Sessions
from edged.receiver.silence import SilenceLoop
from edged.receiver.uploads import Uploads
from edged.receiver.vault import Vault
from edged.receiver.watchdog import Watchdog
from edged.receiver.world import WORLD, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from edged.base.clock import Clock
    from edged.receiver.settings import ReceiverConfig

log = structlog.get_logger(__name__)

_BODY = 64 * 1024  # bytes of a body that is read whole; uploads are streamed
_HEADER = 16 * 1024
_READ = 256 * 1024
_LINGER = 2.0  # seconds to read on after a refusal, so that the client sees it before the connection ends
_IDLE = 75.0  # seconds without a whole request's head; a device closes its own unused connections after 30
_PAUSE = 10.0  # seconds before a loop that failed starts again
_GRACE = 10.0  # seconds for requests to end at a stop


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """A receiver that listens: its `port` (the one it got, if 0 was asked for) and its parts."""

    port: int
    world: World


def run(config: ReceiverConfig) -> int:
    """Run the receiver until SIGTERM or SIGINT; return the exit code."""
    logs.configure(style=config.log.style, level=config.log.level, identifier="edged-receiver")
    return asyncio.run(_until_told(config))


async def _until_told(config: ReceiverConfig) -> int:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with serve(config) as serving:
        notifier = Notifier.from_environment()
        watchdog = Watchdog(serving.world.store.database.probe, notifier, watchdog_interval())
        watching = asyncio.create_task(watchdog.run(), name="watchdog")
        notifier.ready()
        notifier.status("takes uploads")
        log.info("receiver listens", address=config.listen, port=serving.port, url=config.public_url)
        await told.wait()
        log.info("receiver stops")
        notifier.stopping()
        await _end([watching])
        notifier.close()
    return 0


@contextlib.asynccontextmanager
async def serve(config: ReceiverConfig, clock: Clock | None = None) -> AsyncIterator[Serving]:
    """Serve while the context lasts.

    Raises EdgedError that says what to do: a secret is missing, the port is taken, the state directory can't be
    used or is in use, the database is damaged or newer than this edged.
    """
    async with contextlib.AsyncExitStack() as stack:
        assets = await asyncio.to_thread(Assets, HERE / "static")
        world = await _build(config, assets, clock or SystemClock(), stack)
        runner = web.AppRunner(
            make_app(world, assets),
            access_log=None,
            shutdown_timeout=_GRACE,
            handle_signals=False,
            max_field_size=_HEADER,
            read_bufsize=_READ,
            auto_decompress=False,  # a compressed body would not be the bytes that the offset counts
            lingering_time=_LINGER,
            keepalive_timeout=_IDLE,
            logger=_http_log(),
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.callback(world.uploads.turns.stop)
        host, port = config.address()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise EdgedError(
                f"can't listen on {config.listen}: {error.strerror}; choose another address in listen"
            ) from error
        tasks = await _loops(world)
        stack.push_async_callback(_end, tasks)
        yield Serving(port=runner.addresses[0][1], world=world)


def make_app(world: World, assets: Assets) -> web.Application:
    """Return the application with all its addresses."""
    app = web.Application(middlewares=[guard, well_dated], client_max_size=_BODY)
    app[WORLD] = world
    app.on_response_prepare.append(lean)
    for part in (tus, device, login, pages, links):
        part.add_routes(app)
    assets.add_to(app)
    return app


async def _loops(world: World) -> list[asyncio.Task[None]]:
    config, clock = world.config, world.clock
    alarms = Alarms(world.store.database)
    endpoints = await asyncio.to_thread(smtp.resolve, config.mail)
    mailer = smtp.Mailer(config.mail, endpoints, clock)
    loops = {
        "retention": RetentionLoop(world.store, world.uploads, config.retention, clock).run,
        "silence": SilenceLoop(config, world.registry, alarms, clock).run,
        "copies": CopyLoop(world.store.database, world.vault.copy, clock).run,
        "alarms": AlarmLoop(alarms, mailer, clock, Random()).run,
    }
    return [asyncio.create_task(_kept_alive(name, run), name=name) for name, run in loops.items()]


async def _kept_alive(name: str, run: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await run()
        except Exception as error:  # the border of a background loop: whatever ends one must not end the receiver
            log.error("loop failed, starts again", loop=name, exc_info=error)
            await asyncio.sleep(_PAUSE)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _http_log() -> logging.Logger:
    # aiohttp tells every malformed request as an error with its stack; ours are told by the guard
    logger = logging.getLogger(f"{__name__}.http")
    logger.setLevel(logging.CRITICAL)
    return logger


async def _build(config: ReceiverConfig, assets: Assets, clock: Clock, stack: contextlib.AsyncExitStack) -> World:
    vault = Vault(config.state, require_mount=config.require_mount)
    try:
        await asyncio.to_thread(vault.prepare)
    except OSError as error:
        raise EdgedError(f"{error.filename or config.state} can't be used: {error.strerror}; see state") from error
    stack.enter_context(hold(vault.lock))
    await asyncio.to_thread(vault.remove_halves)
    stack.push_async_callback(asyncio.to_thread, vault.remove_halves)  # a copy that the stop breaks off
    store, anew = await open_sound(vault, clock)
    stack.push_async_callback(store.database.close)
    registry = Registry(store.database)
    tokens = {name: await asyncio.to_thread(reveal, token, f"tokens.{name}") for name, token in config.tokens.items()}
    sessions = Sessions(await registry.secret("sessions"), config.login.session)
    uploads = Uploads(store, vault, config.limits, clock)
    await uploads.recover(anew=anew)
    return World(
        config=config,
        clock=clock,
        store=store,
        registry=registry,
        vault=vault,
        uploads=uploads,
        authority=Authority(registry, tokens, clock),
        desk=Desk(config, registry, sessions, assets, clock),
    )
