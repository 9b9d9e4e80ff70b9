"""Names and secrets that travel: what a key, a device's name and a device's secret look like."""

from __future__ import annotations

import re
import secrets
from typing import Annotated

from msgspec import Meta

_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# anchored with \Z: `$` would let a trailing newline through
Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,128}\Z")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


def is_key(text: str) -> bool:
    """Return whether `text` may be an idempotency key or an incident's id: 1 to 128 of `A-Z a-z 0-9 . _ -`."""
    return _KEY.fullmatch(text) is not None


def is_device_name(text: str) -> bool:
    """Return whether `text` may name a device: 1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter or digit."""
    return _NAME.fullmatch(text) is not None


def new_device_key() -> str:
    """Return a new device key: 32 random bytes as base64url text."""
    return secrets.token_urlsafe(32)
