"""The page behind a mail's link: signed by the device, open to whoever holds it until it expires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from edged.base.pages.pages import duration
from edged.receiver.handlers.media import serve
from edged.receiver.views import incident_view, zone_of
from edged.receiver.world import world_of
from edged.wire import faults, signing
from edged.wire.faults import FaultError
from edged.wire.signing import LinkVerdict

if TYPE_CHECKING:
    from edged.receiver.store import StoredFile


def add_routes(app: web.Application) -> None:
    """Add the signed addresses."""
    app.router.add_get("/i/{device}/{incident}", _page)
    app.router.add_get("/i/{device}/{incident}/{file}", _media)


async def _page(request: web.Request) -> web.Response:
    world = world_of(request)
    device, identity = request.match_info["device"], request.match_info["incident"]
    verdict = await _judge(request)
    if verdict is LinkVerdict.EXPIRED:
        if await world.desk.visitor(request) is not None:
            raise web.HTTPSeeOther(f"/incidents/{device}/{identity}")
        return _expired(request, f"/incidents/{device}/{identity}")
    incident = await world.store.incident(device, identity)
    if incident is None:
        return await _not_yet(request)
    if incident.removed is not None:
        text = f"The receiver kept it for {duration(world.clock.wall() - incident.opened)} and has removed it since."
        return _message(request, "No longer here", text, status=410)
    ((_, files),) = await world.store.with_files([incident])
    zone = zone_of(await world.registry.device(device), world.config.timezone)

    def address(file: StoredFile) -> str:
        return f"/i/{device}/{identity}/{file.id}?{request.query_string}"

    return world.desk.page(request, "incident.html", incident=incident_view(incident, files, zone, address))


async def _media(request: web.Request) -> web.StreamResponse:
    world = world_of(request)
    verdict = await _judge(request)
    file = await world.store.file(request.match_info["device"], identity=request.match_info["file"])
    if verdict is not LinkVerdict.VALID or file is None or file.incident != request.match_info["incident"]:
        raise FaultError(faults.NOT_FOUND)
    return serve(world, file)


async def _judge(request: web.Request) -> LinkVerdict:
    """Return what the link is worth; FaultError (not found) if it is forged."""
    world = world_of(request)
    device = request.match_info["device"]
    key = await world.registry.key_of(device)
    if key is None:
        raise FaultError(faults.NOT_FOUND)
    verdict = signing.verify_link(
        key=key,
        device=device,
        incident=request.match_info["incident"],
        until=request.query.get("until", ""),
        signature=request.query.get("signature", ""),
        now=world.clock.wall(),
    )
    if verdict is LinkVerdict.FORGED:
        raise FaultError(faults.NOT_FOUND)
    return verdict


async def _not_yet(request: web.Request) -> web.Response:
    world = world_of(request)
    device = await world.registry.device(request.match_info["device"])
    heard = device.heard if device is not None else None
    told = f" The device was heard {duration(world.clock.wall() - heard)} ago." if heard is not None else ""
    text = f"The clip is still on its way from the device. This page shows it as soon as it is here.{told}"
    return _message(request, "Not yet arrived", text, waiting=True)


def _expired(request: web.Request, onward: str) -> web.Response:
    text = "The link in the mail was valid for some days only. Log in to see the incident."
    return _message(request, "This link has expired", text, status=410, link=onward, label="Log in")


def _message(
    request: web.Request,
    title: str,
    text: str,
    *,
    status: int = 200,
    waiting: bool = False,
    link: str = "",
    label: str = "",
) -> web.Response:
    return world_of(request).desk.page(
        request, "message.html", status=status, title=title, text=text, waiting=waiting, link=link, label=label
    )
