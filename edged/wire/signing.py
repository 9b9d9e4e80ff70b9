"""Signatures with a device's key: HMAC-SHA256 (RFC 2104) over a canonical text, one purpose per prefix.

A request's text is method, target, time, digest of the body (or "-" for an upload's bytes, whose digest the
manifest announces) and the headers that an upload depends on. Each attempt signs afresh, inside a time window;
all operations are idempotent, so a replay inside the window changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from edged.wire import faults
from edged.wire.faults import FaultError
from edged.wire.keys import is_device_name, is_key

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOW = 300.0  # seconds that a request's time may be off
TIME_HEADER = "Edged-Time"  # Unix seconds as the receiver counts them
RECEIVER_HEADER = "Edged-Receiver"  # marks every answer of edged's own receiver to a device
SIGNED_HEADERS = ("upload-offset", "upload-length", "upload-metadata")

_SCHEME = "Edged"
_HEADER = re.compile(r"Edged device=([A-Za-z0-9._-]{1,64}),time=([0-9]{1,12}),signature=([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What an Authorization header claims, not yet verified: `time` in Unix seconds."""

    device: str
    time: int
    signature: str


def digest(body: bytes | None) -> str:
    """Return the hex SHA-256 of `body`; "-" for None, an upload's streamed bytes."""
    return "-" if body is None else hashlib.sha256(body).hexdigest()


def sign_request(
    *, key: str, device: str, method: str, target: str, time: float, headers: Mapping[str, str], body: bytes | None
) -> str:
    """Return the Authorization header's value for one request.

    `target` is the path with its query as it stands in the request line, `time` Unix seconds as the receiver
    counts them, `body` the bytes of a small body (b"" without one) and None for the stream of a PATCH.
    """
    seconds = int(time)
    signature = _mac(key, _request_text(device, method, target, time=seconds, headers=headers, body=digest(body)))
    return f"{_SCHEME} device={device},time={seconds},signature={signature}"


def parse_authorization(header: str) -> Claim:
    """Take an Authorization header apart; FaultError (unsigned) if it is none of ours."""
    match = _HEADER.fullmatch(header)
    if match is None or not is_device_name(match[1]):
        raise FaultError(faults.UNSIGNED)
    return Claim(device=match[1], time=int(match[2]), signature=match[3])


def verify_request(
    claim: Claim,
    *,
    key: str,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | None,
    now: float,
) -> None:
    """Hold `claim` against the request; FaultError (unknown key, clock) if it fails. `now` in Unix seconds."""
    text = _request_text(claim.device, method, target, time=claim.time, headers=headers, body=digest(body))
    if not hmac.compare_digest(_mac(key, text), claim.signature):
        raise FaultError(faults.UNKNOWN_KEY)
    if abs(now - claim.time) > WINDOW:
        raise FaultError(faults.CLOCK)


class LinkVerdict(StrEnum):
    """What a signed link is worth."""

    VALID = "valid"
    EXPIRED = "expired"
    FORGED = "forged"


def sign_link(*, key: str, device: str, incident: str, until: float) -> str:
    """Return path and query of the receiver's page of `incident`, open to whoever holds it until `until` (Unix s)."""
    if not (is_device_name(device) and is_key(incident)):
        raise ValueError(
            f"no link can be made for device {device!r}, incident {incident!r}: names of A-Z a-z 0-9 . _ - only"
        )
    query = urlencode({"until": int(until), "signature": _mac(key, _link_text(device, incident, int(until)))})
    return f"/i/{device}/{incident}?{query}"


def verify_link(*, key: str, device: str, incident: str, until: str, signature: str, now: float) -> LinkVerdict:
    """Judge a link by its parts as they came in the address; `now` in Unix seconds."""
    if not re.fullmatch(r"[0-9]{1,12}", until) or not re.fullmatch(r"[0-9a-f]{64}", signature):
        return LinkVerdict.FORGED
    if not hmac.compare_digest(_mac(key, _link_text(device, incident, int(until))), signature):
        return LinkVerdict.FORGED
    return LinkVerdict.VALID if now <= int(until) else LinkVerdict.EXPIRED


def sign_text(key: str, text: str) -> str:
    """Return the hex HMAC-SHA256 of `text`, whose first line must name its purpose."""
    return _mac(key, text)


def matches(key: str, text: str, signature: str) -> bool:
    """Return whether `signature` is the one of `text`, compared in constant time."""
    return hmac.compare_digest(_mac(key, text).encode(), signature.encode("utf-8", "replace"))


def _request_text(device: str, method: str, target: str, *, time: int, headers: Mapping[str, str], body: str) -> str:
    lowered = {name.lower(): value for name, value in headers.items()}
    carried = [lowered.get(name, "-") for name in SIGNED_HEADERS]
    return "\n".join(["edged request 1", device, method.upper(), target, str(time), body, *carried])


def _link_text(device: str, incident: str, until: int) -> str:
    return "\n".join(["edged link 1", device, incident, str(until)])


def _mac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
