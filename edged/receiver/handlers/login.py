"""The door: log in, log out."""

from __future__ import annotations

import structlog
from aiohttp import web

from edged.receiver.world import world_of
from edged.wire.faults import FaultError

log = structlog.get_logger(__name__)

_WRONG = "Name or password is wrong."


def add_routes(app: web.Application) -> None:
    """Add the door's addresses."""
    app.router.add_get("/login", _show)
    app.router.add_post("/login", _log_in)
    app.router.add_post("/logout", _log_out)


async def _show(request: web.Request) -> web.Response:
    return world_of(request).desk.page(request, "login.html", error="", next=local(request.query.get("next", "")))


async def _log_in(request: web.Request) -> web.Response:
    desk = world_of(request).desk
    fields = await desk.form(request)
    name, onward = fields.get("name", ""), local(fields.get("next", ""))
    try:
        cookie = await desk.log_in(request, name, fields.get("password", ""))
    except FaultError as error:
        log.warning("login refused", address=request.remote, error=str(error))
        return desk.page(request, "login.html", status=error.fault.status, error=str(error), next=onward)
    if cookie is None:
        log.warning("login failed", address=request.remote)
        return desk.page(request, "login.html", status=403, error=_WRONG, next=onward)
    response = web.Response(status=303, headers={"Location": onward})
    desk.give(response, cookie)
    return response


async def _log_out(request: web.Request) -> web.Response:
    desk = world_of(request).desk
    await desk.form(request)
    response = web.Response(status=303, headers={"Location": "/login"})
    desk.take(response)
    return response


def local(path: str) -> str:
    """Return `path` if it leads to a page of this receiver, else the first page: never to another site."""
    harmless = path.startswith("/") and not path.startswith("//") and path.isprintable() and "\\" not in path
    return path if harmless else "/"
