"""The pages behind the login: devices, incidents, one incident that plays as one, and every file's bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edged.receiver.handlers.media import serve
from edged.receiver.views import IncidentView, device_view, file_view, gap_view, incident_view, zone_of
from edged.receiver.world import world_of
from edged.wire import faults
from edged.wire.faults import FaultError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from edged.receiver.registry import Device
    from edged.receiver.store import StoredFile
    from edged.receiver.world import World

_SHOTS = 24
_GAPS = 50
_DOCUMENTS = 100


def add_routes(app: web.Application) -> None:
    """Add the pages' addresses."""
    app.router.add_get("/", _index)
    app.router.add_get("/devices/{name}", _device)
    app.router.add_get("/incidents/{owner}/{incident}", _incident)
    app.router.add_get("/media/{id}", _media)


async def _index(request: web.Request) -> web.Response:
    world = world_of(request)
    person = await world.desk.person(request)
    devices = {device.name: device for device in await world.registry.devices()}
    now = world.clock.wall()
    incidents, older = await _shots(world, request, devices, None)
    views = [device_view(device, now, world.config.timezone) for device in devices.values()]
    return world.desk.page(request, "index.html", person=person, devices=views, incidents=incidents, older=older)


async def _device(request: web.Request) -> web.Response:
    world = world_of(request)
    person = await world.desk.person(request)
    device = await world.registry.device(request.match_info["name"])
    if device is None:
        raise FaultError(faults.NOT_FOUND)
    zone = zone_of(device, world.config.timezone)
    incidents, older = await _shots(world, request, {device.name: device}, device.name)
    documents = await world.store.documents(device.name, _DOCUMENTS)
    return world.desk.page(
        request,
        "device.html",
        person=person,
        device=device_view(device, world.clock.wall(), world.config.timezone),
        incidents=incidents,
        older=older,
        gaps=[gap_view(gap, zone) for gap in await world.registry.gaps(device.name, _GAPS)],
        documents=[file_view(file, zone, media_address) for file in documents],
    )


async def _incident(request: web.Request) -> web.Response:
    world = world_of(request)
    person = await world.desk.person(request)
    owner, identity = request.match_info["owner"], request.match_info["incident"]
    incident = await world.store.incident(owner, identity)
    if incident is None:
        raise FaultError(faults.NOT_FOUND)
    zone = zone_of(await world.registry.device(owner), world.config.timezone)
    ((_, files),) = await world.store.with_files([incident])
    view = incident_view(incident, files, zone, media_address)
    return world.desk.page(request, "incident.html", person=person, incident=view)


async def _media(request: web.Request) -> web.StreamResponse:
    world = world_of(request)
    await world.desk.person(request)
    file = await world.store.file_by_id(request.match_info["id"])
    if file is None:
        raise FaultError(faults.NOT_FOUND)
    return serve(world, file)


def media_address(file: StoredFile) -> str:
    """Return where people who are logged in find a file's bytes."""
    return f"/media/{file.id}"


async def _shots(
    world: World, request: web.Request, devices: Mapping[str, Device], owner: str | None
) -> tuple[list[IncidentView], str]:
    before = _before(request)
    incidents = await world.store.incidents(owner=owner, before=before, limit=_SHOTS + 1)
    views = [
        incident_view(incident, files, zone_of(devices.get(incident.owner), world.config.timezone), media_address)
        for incident, files in await world.store.with_files(incidents[:_SHOTS])
    ]
    older = f"?before={incidents[_SHOTS - 1].opened!r}" if len(incidents) > _SHOTS else ""
    return views, older


def _before(request: web.Request) -> float:
    try:
        before = float(request.query.get("before", "inf"))
    except ValueError as error:
        raise FaultError(faults.NOT_FOUND) from error
    if math.isnan(before):
        raise FaultError(faults.NOT_FOUND)
    return before
