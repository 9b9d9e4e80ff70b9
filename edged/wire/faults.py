"""What the receiver can refuse: a code for programs, a sentence for people, an HTTP status, and whether to try again.

The table is the whole catalogue. A sentence tells the client what to do and nothing about the receiver's inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from edged.base.errors import EdgedError

_BODY_LIMIT = 4096  # bytes of an error body that a client reads

# What reading a peer's JSON may raise: RecursionError where it nests thousands of brackets.
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One kind of refusal; `retry` means that the same request may succeed later."""

    code: str
    status: int
    text: str
    retry: bool = False


class FaultError(EdgedError):
    """A request is refused with `fault`; `detail` adds the particulars, `retry_after` seconds when they are known."""

    def __init__(self, fault: Fault, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(f"{fault.text} ({detail})" if detail else fault.text)
        self.fault = fault
        self.detail = detail
        self.retry_after = retry_after


BAD_REQUEST = Fault(code="bad-request", status=400, text="The request can't be understood; see the protocol.")
BAD_HEADER = Fault(code="bad-header", status=400, text="A header is missing or malformed; correct it and send again.")
BAD_MANIFEST = Fault(
    code="bad-manifest", status=400, text="Upload-Metadata can't be used; correct it and create again."
)
UNSIGNED = Fault(code="unsigned", status=401, text="Sign the request with the device's key (Authorization: Edged ...).")
UNKNOWN_KEY = Fault(
    code="unknown-key",
    status=401,
    text="The device or its key is not known here; add it at the receiver with: edged receive device add NAME",
)
CLOCK = Fault(
    code="clock", status=401, text="The request's time is too far off; sign with the time in Edged-Time.", retry=True
)
FORBIDDEN = Fault(code="forbidden", status=403, text="This is not allowed from here; open the page again and repeat.")
NOT_FOUND = Fault(code="not-found", status=404, text="There is nothing under this address.")
METHOD = Fault(code="method", status=405, text="This address does not take that method.")
IDLE = Fault(code="idle", status=408, text="No byte came for too long; ask with HEAD and go on there.", retry=True)
OFFSET = Fault(
    code="offset", status=409, text="The offset is not where the upload stands; ask with HEAD, go on there.", retry=True
)
KEY_TAKEN = Fault(code="key-taken", status=409, text="This key already names other content; use a new key.")
GONE = Fault(code="gone", status=410, text="This upload is not kept any more; create it anew.")
CONTENT = Fault(
    code="content", status=410, text="What arrived is not what was announced and was thrown away; create it anew."
)
VERSION = Fault(code="version", status=412, text="Speak tus 1.0.0 (Tus-Resumable: 1.0.0).")
TOO_LARGE = Fault(
    code="too-large", status=413, text="This is larger than the receiver accepts; raise its limit or send less."
)
TYPE = Fault(code="type", status=415, text="This type of content is not accepted here.")
TOO_MANY = Fault(code="too-many", status=429, text="Too many at once; wait and try again.", retry=True)
HEADERS_TOO_LARGE = Fault(code="headers-too-large", status=431, text="The headers are too large; send smaller ones.")
INTERNAL = Fault(code="internal", status=500, text="The receiver failed on this request; try again later.", retry=True)
STOPPING = Fault(code="stopping", status=503, text="The receiver is stopping; try again in a moment.", retry=True)
FULL = Fault(
    code="full", status=507, text="The receiver's storage is full; it keeps what it has. Try again later.", retry=True
)
STORAGE = Fault(
    code="storage",
    status=503,
    text="The receiver's storage can't be used now; it keeps what it has. Try again later.",
    retry=True,
)

CATALOGUE: dict[str, Fault] = {
    fault.code: fault
    for fault in (
        *(
            BAD_REQUEST,
            BAD_HEADER,
            BAD_MANIFEST,
            UNSIGNED,
            UNKNOWN_KEY,
            CLOCK,
            FORBIDDEN,
            NOT_FOUND,
            METHOD,
            IDLE,
            OFFSET,
        ),
        *(
            IDLE,
            KEY_TAKEN,
            GONE,
            CONTENT,
            VERSION,
            TOO_LARGE,
            TYPE,
            TOO_MANY,
            HEADERS_TOO_LARGE,
            INTERNAL,
            STOPPING,
            FULL,
            STORAGE,
        ),
    )
}


def for_status(status: int) -> Fault:
    """Return the fault that a bare HTTP `status` (a proxy's, or the web framework's own) comes nearest to."""
    known = {fault.status: fault for fault in reversed(CATALOGUE.values())}
    if status in known:
        return known[status]
    return BAD_REQUEST if status < 500 else INTERNAL  # noqa: PLR2004 -- the border of HTTP's classes


def to_json(error: FaultError) -> bytes:
    """Return the body that tells `error`: {"error": code, "text": sentence, "detail": particulars, "retry": bool}."""
    fault = error.fault
    return msgspec.json.encode({"error": fault.code, "text": fault.text, "detail": error.detail, "retry": fault.retry})


def from_json(status: int, body: bytes) -> FaultError:
    """Return the fault that a peer told; a foreign or broken body gives the nearest one for its `status`.

    The peer's particulars are kept, cut to 200 characters without control characters.
    """
    try:
        told = msgspec.json.decode(body[:_BODY_LIMIT], type=_Told)
    except UNREADABLE:
        told = _Told()
    fault = CATALOGUE.get(told.error)
    if fault is None or fault.status != status:
        fault = for_status(status)
    return FaultError(fault, "".join(c for c in told.detail[:200] if c.isprintable()))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    error: str = ""
    detail: str = ""
