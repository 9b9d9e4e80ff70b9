"""The border of every request: faults become answers, browsers get security headers, nothing leaks out."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from edged.base.pages.pages import SECURITY_HEADERS
from edged.receiver.uploads import FULL_PAUSE
from edged.receiver.world import world_of
from edged.wire import faults, signing, tus
from edged.wire.faults import FaultError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)

_UNAUTHORIZED = 401
_STORAGE_PAUSE = 60.0  # seconds after which a client may look whether the storage works again
_DEVICES = (
    "/files",
    "/receipts/",
    "/clips/",
    "/probe",
    "/heartbeat",
)  # programs' addresses: JSON, and no byte too many


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every fault in the way of the catalogue; put the security headers on what browsers get."""
    try:
        response = await handler(request)
    except ConnectionError:
        raise  # the client is gone: aiohttp ends the connection quietly
    except web.HTTPRedirection as redirection:
        response = web.Response(status=redirection.status, headers={"Location": redirection.headers["Location"]})
    except Exception as error:  # noqa: BLE001 -- the border: one request's failure is not told, nor ends the receiver
        response = _answer(request, _fault_of(request, error))
    if not request.path.startswith(_DEVICES):
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
    return response


async def lean(request: web.Request, response: web.StreamResponse) -> None:
    """Take away the header that tells of the inside, and costs a device its bytes; mark what a device is answered.

    By the mark a device knows the receiver's own answers from those of a portal or proxy in between.
    """
    response.headers.pop("Server", None)
    if request.path.startswith(_DEVICES):
        response.headers[signing.RECEIVER_HEADER] = "1"


def _fault_of(request: web.Request, error: Exception) -> FaultError:
    match error:
        case FaultError():
            return error
        case web.HTTPException():
            return FaultError(faults.for_status(error.status))
        case TimeoutError():
            return FaultError(faults.IDLE)
        case web.RequestPayloadError():
            return FaultError(faults.BAD_REQUEST, "the body is malformed")
        case OSError() | sqlite3.OperationalError():
            return _storage_fault(request, error)
    log.error("request failed", method=request.method, path=request.path, exc_info=error)
    return FaultError(faults.INTERNAL)


def _storage_fault(request: web.Request, error: OSError | sqlite3.OperationalError) -> FaultError:
    """Return the fault of a disk that is full, fails, is read-only or unmounted: not the request's doing."""
    match error:
        case (
            OSError(errno=errno.ENOSPC | errno.EDQUOT) | sqlite3.OperationalError(sqlite_errorcode=sqlite3.SQLITE_FULL)
        ):
            log.error("storage full", method=request.method, path=request.path)
            return FaultError(faults.FULL, retry_after=FULL_PAUSE)
    log.error("storage out of use", method=request.method, path=request.path, exc_info=error)
    return FaultError(faults.STORAGE, retry_after=_STORAGE_PAUSE)


def _answer(request: web.Request, error: FaultError) -> web.Response:
    if not request.path.startswith(_DEVICES) and "text/html" in request.headers.get("Accept", ""):
        response = _page(request, error)
    else:
        response = _json(request, error)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(int(error.retry_after))
    if request.can_read_body and not request.content.at_eof():
        response.force_close()  # the rest of a refused body is not worth its bytes
    return response


def _json(request: web.Request, error: FaultError) -> web.Response:
    fault = error.fault
    headers = {"Cache-Control": "no-store"}
    if request.path.startswith("/files"):
        headers[tus.RESUMABLE] = tus.VERSION
    if fault is faults.VERSION:
        headers[tus.SUPPORTED_VERSION] = tus.VERSION
    if fault.status == _UNAUTHORIZED:
        headers[signing.TIME_HEADER] = str(int(world_of(request).clock.wall()))
        headers["WWW-Authenticate"] = "Edged"
    body = faults.to_json(error)
    return web.Response(status=fault.status, body=body, content_type="application/json", headers=headers)


def _page(request: web.Request, error: FaultError) -> web.Response:
    return world_of(request).desk.page(
        request,
        "message.html",
        status=error.fault.status,
        title="Nothing here" if error.fault is faults.NOT_FOUND else "That did not work",
        text=str(error),
        waiting=False,
        link="/",
        label="To the first page",
    )
