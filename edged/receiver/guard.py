"""The border of every request: faults become answers, answers get their security headers, nothing leaks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from edged.receiver.world import world_of
from edged.wire import faults, signing, tus
from edged.wire.faults import FaultError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)

_UNAUTHORIZED = 401


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every fault in the way of the catalogue."""
    try:
        return await handler(request)
    except FaultError as error:
        return _answer(request, error)
    except web.HTTPRedirection:
        raise
    except web.HTTPException as error:
        return _answer(request, FaultError(faults.for_status(error.status)))
    except TimeoutError:
        return _answer(request, FaultError(faults.IDLE))
    except (web.RequestPayloadError, HttpProcessingError):
        return _answer(request, FaultError(faults.BAD_REQUEST, "the body is malformed"))
    except ConnectionError:
        raise  # the client is gone: aiohttp ends the connection quietly
    except Exception as error:  # the border: whatever goes wrong in one request must not be told, nor end the receiver
        log.exception("request failed", method=request.method, path=request.path, error=repr(error))
        return _answer(request, FaultError(faults.INTERNAL))


def _answer(request: web.Request, error: FaultError) -> web.Response:
    fault = error.fault
    headers = {"Cache-Control": "no-store"}
    if request.path.startswith("/files"):
        headers[tus.RESUMABLE] = tus.VERSION
    if fault is faults.VERSION:
        headers[tus.SUPPORTED_VERSION] = tus.VERSION
    if fault.status == _UNAUTHORIZED:
        headers[signing.TIME_HEADER] = str(int(world_of(request).clock.wall()))
        headers["WWW-Authenticate"] = "Edged"
    if error.retry_after is not None:
        headers["Retry-After"] = str(int(error.retry_after))
    response = web.Response(
        status=fault.status, body=faults.to_json(error), content_type="application/json", headers=headers
    )
    if request.can_read_body and not request.content.at_eof():
        response.force_close()  # the rest of a refused body is not worth its bytes
    return response
