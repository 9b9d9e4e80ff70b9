"""What a device asks beside uploading: receipts, the probe, its heartbeat, and its own files back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from edged import __version__
from edged.receiver import receipts
from edged.receiver.handlers.media import serve
from edged.receiver.intake import read_small
from edged.receiver.world import world_of
from edged.wire import faults, heartbeat, receipt, signing
from edged.wire.faults import FaultError
from edged.wire.heartbeat import Answer
from edged.wire.keys import is_key

if TYPE_CHECKING:
    from edged.receiver.store import StoredFile

log = structlog.get_logger(__name__)


def add_routes(app: web.Application) -> None:
    """Add the devices' addresses."""
    app.router.add_get("/probe", _probe)
    app.router.add_get("/receipts/{key}", _receipt)
    app.router.add_get("/clips/{key}", _read_back)
    app.router.add_post(heartbeat.PATH, _heartbeat)


async def _probe(request: web.Request) -> web.Response:
    """Say that this is an edged receiver, and the time; hold a signature, where there is one, to the key."""
    world = world_of(request)
    if "Authorization" in request.headers:
        await world.authority.client(request)
    headers = {
        signing.TIME_HEADER: str(int(world.clock.wall())),
        "Edged-Version": __version__,
        "Cache-Control": "no-store",
    }
    return web.Response(status=204, headers=headers)


async def _receipt(request: web.Request) -> web.Response:
    world = world_of(request)
    caller = await world.authority.client(request)
    file = await _own_file(request, caller.name)
    issued = receipts.issue(file, caller.key, world.config.title, world.clock.wall())
    return web.Response(body=receipt.to_json(issued), content_type="application/json")


async def _read_back(request: web.Request) -> web.StreamResponse:
    world = world_of(request)
    caller = await world.authority.client(request)
    return serve(world, await _own_file(request, caller.name))


async def _own_file(request: web.Request, owner: str) -> StoredFile:
    key = request.match_info["key"]
    file = await world_of(request).store.file(owner, key=key) if is_key(key) else None
    if file is None or not await world_of(request).uploads.holds(file):
        raise FaultError(faults.NOT_FOUND)
    return file


async def _heartbeat(request: web.Request) -> web.Response:
    world = world_of(request)
    if (request.content_length or 0) > heartbeat.LIMIT:
        raise FaultError(faults.TOO_LARGE, f"a heartbeat has at most {heartbeat.LIMIT} bytes")
    body = await read_small(request, world.config.limits.idle)
    caller = await world.authority.device(request, body)
    beat = heartbeat.parse(body)
    now = world.clock.wall()
    known = await world.registry.device(caller.name)
    last = known.heartbeat.sequence if known is not None and known.heartbeat is not None else 0
    before = await world.registry.note(caller.name, beat, body, now)
    if beat.sequence < last:  # told once: until the device has caught up it stays below what was once heard
        log.error("device fell back", device=caller.name, told=before, now=beat.sequence)
    answer = Answer(time=now, sequence=max(before, beat.sequence))
    return web.Response(body=heartbeat.answer_to_json(answer), content_type="application/json")
