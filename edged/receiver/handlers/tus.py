"""tus 1.0 over HTTP: /files and /files/ID, for devices (signed) and foreign clients (bearer token)."""

from __future__ import annotations

import mimetypes
import re
import secrets
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from edged.receiver import receipts
from edged.receiver.uploads import UNANNOUNCED, Append
from edged.receiver.world import world_of
from edged.wire import faults, manifest, receipt, tus
from edged.wire.faults import FaultError
from edged.wire.manifest import Manifest

if TYPE_CHECKING:
    from edged.receiver.auth import Caller
    from edged.receiver.uploads import Standing

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029/\\]")
_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*")


def add_routes(app: web.Application) -> None:
    """Add the tus addresses."""
    app.router.add_route(hdrs.METH_OPTIONS, "/files", _options)
    app.router.add_route(hdrs.METH_OPTIONS, "/files/{id}", _options)
    app.router.add_post("/files", _create)
    app.router.add_head("/files/{id}", _head)
    app.router.add_patch("/files/{id}", _patch)
    app.router.add_delete("/files/{id}", _delete)
    app.router.add_post("/files/{id}", _overridden)


async def _options(request: web.Request) -> web.Response:
    limits = world_of(request).config.limits
    headers = {
        tus.RESUMABLE: tus.VERSION,
        tus.SUPPORTED_VERSION: tus.VERSION,
        tus.EXTENSION: tus.EXTENSIONS,
        tus.MAX_SIZE: str(int(limits.largest)),
    }
    return web.Response(status=204, headers=headers)


async def _create(request: web.Request) -> web.Response:
    world = world_of(request)
    caller = await world.authority.client(request)
    tus.check_version(request.headers)
    length = tus.check_creation(request.headers, world.config.limits.largest)
    standing = await world.uploads.create(caller.name, _manifest(request, caller, length), length)
    headers = {**_headers(standing, caller, request), hdrs.LOCATION: f"/files/{standing.id}"}
    return web.Response(status=201, headers=headers)


async def _head(request: web.Request) -> web.Response:
    world = world_of(request)
    caller = await world.authority.client(request)
    tus.check_version(request.headers)
    standing = await world.uploads.stand(caller.name, request.match_info["id"])
    headers = {**_headers(standing, caller, request), tus.LENGTH: str(standing.length), hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(status=200, headers=headers)


async def _patch(request: web.Request) -> web.Response:
    world = world_of(request)
    caller = await world.authority.client(request, body=None)
    tus.check_version(request.headers)
    patch = Append(
        headers=request.headers,
        content_type=request.content_type,
        announced=request.content_length,
        body=request.content,
    )
    standing = await world.uploads.append(caller.name, request.match_info["id"], patch)
    return web.Response(status=204, headers=_headers(standing, caller, request))


async def _delete(request: web.Request) -> web.Response:
    world = world_of(request)
    caller = await world.authority.client(request)
    tus.check_version(request.headers)
    await world.uploads.remove(caller.name, request.match_info["id"])
    return web.Response(status=204, headers={tus.RESUMABLE: tus.VERSION})


async def _overridden(request: web.Request) -> web.Response:
    """Serve clients whose proxy lets only POST through: X-HTTP-Method-Override, as tus asks."""
    method = request.headers.get("X-HTTP-Method-Override", "").upper()
    if method == hdrs.METH_PATCH:
        return await _patch(request)
    if method == hdrs.METH_DELETE:
        return await _delete(request)
    raise FaultError(faults.METHOD)


def _headers(standing: Standing, caller: Caller, request: web.Request) -> dict[str, str]:
    headers = {tus.RESUMABLE: tus.VERSION, tus.OFFSET: str(standing.offset)}
    if standing.expires is not None:
        headers[tus.EXPIRES] = tus.format_expires(standing.expires)
    if standing.file is not None:
        world = world_of(request)
        issued = receipts.issue(standing.file, caller.key, world.config.title, world.clock.wall())
        headers[receipt.HEADER] = receipt.to_header(issued)
    return headers


def _manifest(request: web.Request, caller: Caller, length: int) -> Manifest:
    header = request.headers.get(tus.METADATA, "")
    if caller.foreign:
        return _foreign_manifest(header, length)
    announced = manifest.from_metadata(header)
    if announced.size != length:
        raise FaultError(faults.BAD_MANIFEST, f"it says {announced.size} bytes, {tus.LENGTH} says {length}")
    return announced


def _foreign_manifest(header: str, length: int) -> Manifest:
    pairs = tus.parse_metadata(header)
    name = (
        _UNPRINTABLE.sub("_", pairs.get("filename", pairs.get("name", b"")).decode("utf-8", "replace"))[:255] or "file"
    )
    told = pairs.get("filetype", pairs.get("type", b"")).decode("utf-8", "replace").lower()
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Manifest(
        key=secrets.token_hex(16),
        kind="document",
        name=name,
        content_type=told if _TYPE.fullmatch(told) else guessed,
        size=length,
        sha256=UNANNOUNCED,
    )
