"""tus 1.0 (https://tus.io/protocols/resumable-upload): header names, their values, and what a server decides by them.

Core, creation, expiration and termination. No I/O: the receiver and the device's upload target share this page.
"""

from __future__ import annotations

import base64
import binascii
import re
from email.utils import formatdate
from typing import TYPE_CHECKING

from edged.wire import faults
from edged.wire.faults import FaultError

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination"
CONTENT_TYPE = "application/offset+octet-stream"

RESUMABLE = "Tus-Resumable"
SUPPORTED_VERSION = "Tus-Version"
EXTENSION = "Tus-Extension"
MAX_SIZE = "Tus-Max-Size"
OFFSET = "Upload-Offset"
LENGTH = "Upload-Length"
DEFER_LENGTH = "Upload-Defer-Length"
METADATA = "Upload-Metadata"
EXPIRES = "Upload-Expires"

METADATA_LIMIT = 8192  # characters of the whole header
_PAIRS_LIMIT = 32
_NUMBER = re.compile(r"[0-9]{1,18}")
_NAME = re.compile(r"[!-+\--~]{1,64}")  # printable ASCII without space and comma


def parse_number(headers: Mapping[str, str], name: str) -> int:
    """Return the header `name` as a count of bytes; FaultError if it is missing or no such number."""
    value = headers.get(name, "")
    if not _NUMBER.fullmatch(value):
        raise FaultError(faults.BAD_HEADER, f"{name} must be a count of bytes")
    return int(value)


def format_metadata(pairs: Mapping[str, bytes]) -> str:
    """Return the Upload-Metadata header: `name base64` joined by commas."""
    return ",".join(f"{name} {base64.b64encode(value).decode()}" if value else name for name, value in pairs.items())


def parse_metadata(header: str) -> dict[str, bytes]:
    """Take the Upload-Metadata header apart; FaultError (bad manifest) if it breaks the format or the limits."""
    if len(header) > METADATA_LIMIT:
        raise FaultError(faults.BAD_MANIFEST, f"longer than {METADATA_LIMIT} characters")
    pairs: dict[str, bytes] = {}
    parts = header.split(",") if header.strip() else []
    if len(parts) > _PAIRS_LIMIT:
        raise FaultError(faults.BAD_MANIFEST, f"more than {_PAIRS_LIMIT} entries")
    for part in parts:
        name, _, value = part.strip(" ").partition(" ")
        if not _NAME.fullmatch(name) or name in pairs:
            raise FaultError(faults.BAD_MANIFEST, "an entry's name is malformed or given twice")
        pairs[name] = _decode(value)
    return pairs


def _decode(value: str) -> bytes:
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise FaultError(faults.BAD_MANIFEST, "an entry's value is not base64") from error


def format_expires(unix: float) -> str:
    """Return the Upload-Expires header (RFC 9110 date) for `unix` seconds."""
    return formatdate(unix, usegmt=True)


def check_version(headers: Mapping[str, str]) -> None:
    """FaultError (version) unless the client speaks this version; OPTIONS need not say."""
    if headers.get(RESUMABLE) != VERSION:
        raise FaultError(faults.VERSION)


def check_creation(headers: Mapping[str, str], limit: int) -> int:
    """Return the announced length of a creation; FaultError if it is deferred, malformed or above `limit` bytes."""
    if DEFER_LENGTH in headers:
        raise FaultError(faults.BAD_HEADER, f"{DEFER_LENGTH} is not supported; give {LENGTH}")
    length = parse_number(headers, LENGTH)
    if length > limit:
        raise FaultError(faults.TOO_LARGE, f"at most {limit} bytes")
    return length


def check_patch(headers: Mapping[str, str], *, content_type: str, stored: int, length: int, body: int | None) -> None:
    """FaultError unless a PATCH fits: type, offset against `stored`, `body` bytes (None: chunked) within `length`."""
    if content_type != CONTENT_TYPE:
        raise FaultError(faults.TYPE, f"a PATCH must be {CONTENT_TYPE}")
    if parse_number(headers, OFFSET) != stored:
        raise FaultError(faults.OFFSET, f"it stands at {stored}")
    if body is not None and stored + body > length:
        raise FaultError(faults.TOO_LARGE, f"the upload was announced with {length} bytes")
