"""The pages on loopback: /health, /metrics, the live status page with pictures and clips. Nothing here can write."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from functools import partial
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from edged.base.pages import pages
from edged.base.pages.pages import Assets
from edged.supervise import words
from edged.supervise.health import Level, level_of
from edged.supervise.live import Parts, Shared, Streams
from edged.supervise.page import HERE, Look, Observer, Page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from edged.supervise.board import Board
    from edged.supervise.settings import HttpSettings, SuperviseSettings

log = structlog.get_logger(__name__)

_MEDIA = {"clip": ("mp4", "video/mp4"), "snapshot": ("jpg", "image/jpeg")}
_STILL_EVERY = 1.0  # seconds: a still costs some tenths of a second of a Pi
_STOP_WAIT = 2.0  # seconds for answers under way


class StatusServer:
    """Serves the board on `settings.listen`; `address` is the root's URL once started (port 0 takes a free port).

    `patience` is how many seconds the database may take before the pages say that it does not answer.
    """

    def __init__(
        self, board: Board, settings: HttpSettings, limits: SuperviseSettings, *, patience: float = 5.0
    ) -> None:
        self._observer = Observer(board, limits, patience)
        self._settings = settings
        self._runner: web.AppRunner | None = None
        self.address = ""

    def adopt(self, limits: SuperviseSettings) -> None:
        """Judge by other limits from now on."""
        self._observer.adopt(limits)

    async def start(self) -> None:
        """Listen; OSError when the address is taken."""
        host, _, port = self._settings.listen.rpartition(":")
        host = host.strip("[]")
        assets = await asyncio.to_thread(Assets, HERE / "static")
        app = web.Application(middlewares=[_only_hosts(host, self._settings.hosts), pages.well_dated])
        pages.harden(app)
        assets.add_to(app)
        routes = _Routes(self._observer, Page(assets, self._settings), self._settings, assets.version)
        routes.add_to(app)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=_STOP_WAIT,
            logger=_http_log(),
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, int(port)).start()
        bound = self._runner.addresses[0]
        self.address = f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}"
        log.info("status page is up", address=self.address)
        if not is_loopback(host):
            log.warning("status page can be seen by others", address=self.address, why="it has no log-in")

    async def stop(self) -> None:
        """Close all connections and stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def _http_log() -> logging.Logger:
    # aiohttp tells every malformed request as an error with its stack: that is the client's, and could fill the log
    logger = logging.getLogger(f"{__name__}.requests")
    logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


class _Routes:
    """The handlers."""

    def __init__(self, observer: Observer, page: Page, settings: HttpSettings, version: str) -> None:
        self._observer = observer
        self._board = observer.board
        self._page = page
        self._streams = Streams(version)
        self._shared = Shared(self._status_parts)
        self._pictures = _Pictures(self._board, self._board.picture, settings.picture_every * 0.8)
        self._stills = _Pictures(self._board, self._board.still, _STILL_EVERY)

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/", self.status)
        app.router.add_get("/incidents/{id}", self.incident)
        app.router.add_get("/events", self.events)
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/pictures/{camera}.jpg", partial(self.picture, self._pictures))
        app.router.add_get("/stills/{camera}.jpg", partial(self.picture, self._stills))
        app.router.add_get("/media/{kind}/{name}", self.media)
        app.on_shutdown.append(self._hang_up)

    async def _hang_up(self, _: web.Application) -> None:
        await self._streams.close()

    async def status(self, _: web.Request) -> web.Response:
        seen = await self._observer.look()
        return pages.answer(await asyncio.to_thread(self._page.status, seen))

    async def incident(self, request: web.Request) -> web.Response:
        row = await self._board.incident(request.match_info["id"])
        view = self._board.view()
        if row is None:
            text = "There is no such incident on this device. It may have been removed when its time was over."
            return pages.answer(await asyncio.to_thread(self._page.missing, view, text), status=404)
        return pages.answer(await asyncio.to_thread(self._page.incident, row, view))

    async def events(self, request: web.Request) -> web.StreamResponse:
        identity = request.query.get("incident")
        if identity is None:
            return await self._streams.serve(request, self._shared.get)
        if await self._board.incident(identity) is None:
            raise web.HTTPNotFound(text="there is no such incident")
        return await self._streams.serve(request, lambda: self._incident_parts(identity))

    async def _status_parts(self) -> Parts:
        seen = await self._observer.look()
        return await asyncio.to_thread(self._page.parts, seen)

    async def _incident_parts(self, identity: str) -> Parts:
        row = await self._board.incident(identity)
        if row is None:
            return {}
        return await asyncio.to_thread(self._page.incident_parts, row, self._board.view())

    async def health(self, _: web.Request) -> web.Response:
        seen = await self._observer.examine()
        status = 503 if seen.report.level is Level.FAILING else 200
        return web.json_response(health_json(seen), status=status, headers={"Cache-Control": "no-store"})

    async def metrics(self, _: web.Request) -> web.Response:
        seen = await self._observer.examine()
        from edged.supervise import metrics  # noqa: PLC0415 -- 2 MB that only Prometheus' users need

        text = await asyncio.to_thread(metrics.exposition, seen.view, seen.queue, seen.report)
        return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE, "Cache-Control": "no-store"})

    async def picture(self, pictures: _Pictures, request: web.Request) -> web.Response:
        jpeg = await pictures.get(request.match_info["camera"])
        if jpeg is None:
            raise web.HTTPNotFound(text="there is no such camera, or it gives no picture now")
        return web.Response(body=jpeg, content_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def media(self, request: web.Request) -> web.StreamResponse:
        kind = request.match_info["kind"]
        suffix, content_type = _MEDIA.get(kind, ("", ""))
        identity, dot, ending = request.match_info["name"].rpartition(".")
        path = await self._board.media(kind, identity) if dot and suffix and ending == suffix else None
        if path is None:
            raise web.HTTPNotFound(text="this file is not, or no longer, on this device")
        return pages.media(path, content_type)


class _Pictures:
    """Remembers each camera's picture for a moment, so that ten people who look cost no more than one."""

    def __init__(self, board: Board, take: Callable[[str], Awaitable[bytes | None]], age: float) -> None:
        self._board = board
        self._take = take
        self._age = age
        self._kept: dict[str, tuple[float, bytes | None]] = {}
        self._lock = asyncio.Lock()

    async def get(self, camera: str) -> bytes | None:
        if camera not in {each.name for each in self._board.view().cameras}:
            return None
        async with self._lock:
            now = asyncio.get_running_loop().time()
            at, jpeg = self._kept.get(camera, (0.0, None))
            if jpeg is None or now - at >= self._age:
                jpeg = await self._take(camera)
                self._kept[camera] = (now, jpeg)
            return jpeg


def health_json(seen: Look) -> dict[str, object]:
    """Return the body of /health: the status, each part's status and reasons, the outbox in numbers."""
    view, queue = seen.view, seen.queue
    return {
        "status": seen.report.level.name.lower(),
        "device": view.device,
        "version": view.version,
        "uptime_s": round(view.uptime, 1),
        "loop_lag_p99_s": round(view.lag_p99, 5),
        "rss_bytes": view.rss,
        "bytes_sent": view.bytes_sent,
        "bytes_wasted": view.bytes_wasted,
        "subsystems": {
            name: {"status": level_of(found).name.lower(), "reasons": [finding.text for finding in found]}
            for name, found in seen.report.parts.items()
        },
        "cameras": {camera.name: words.of_camera(camera).text for camera in view.cameras},
        "link": None if view.link is None else view.link.state.value,
        "outbox": None
        if queue is None
        else {
            "oldest_unsent_age_s": None if queue.oldest_age is None else round(queue.oldest_age, 1),
            "backlog_bytes": queue.backlog_bytes,
            "drain_s": None if queue.drain_seconds is None else round(queue.drain_seconds, 1),
            "waiting": queue.waiting,
            "held": queue.held,
            "sent": queue.sent,
            "proven": queue.proven,
            "dead": queue.dead,
            "deleted": queue.deleted,
            "losses": queue.losses,
        },
    }


# ---------------------------------------------------------------------------------------- who may ask


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_allowed(header: str, hosts: Collection[str], *, loopback: bool) -> bool:
    """Return whether a request with this Host header may be answered.

    A page in someone's browser can have its own name point at 127.0.0.1 and then read our answers as its own (DNS
    rebinding). It needs a name for that, so addresses are fine, and names only when they are known.
    """
    host = header.strip().lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name in hosts or (not loopback and not hosts)
    return True


def _only_hosts(listen: str, hosts: Collection[str]) -> Callable[..., Awaitable[web.StreamResponse]]:
    loopback = is_loopback(listen)

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not host_allowed(request.headers.get("Host", ""), hosts, loopback=loopback):
            text = "This name is not known here. Ask by address, or add the name to `hosts` in [http]."
            raise web.HTTPMisdirectedRequest(text=text)
        return await handler(request)

    return check
