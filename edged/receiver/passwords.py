"""Passwords of people: scrypt (RFC 7914) with the figures OWASP gives for it, written beside the hash."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

_N, _R, _P = 2**15, 8, 3
_MEMORY = 64 * 1024 * 1024
_LENGTH = 8

# what an unknown account is held against, so that it takes as long as a known one
NOBODY = "scrypt:32768:8:3:AAAAAAAAAAAAAAAAAAAAAA==:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def hash_password(password: str) -> str:
    """Return the text to store; ValueError if the password is too short. Takes a fifth of a second: on a thread."""
    if len(password) < _LENGTH:
        raise ValueError(f"a password needs at least {_LENGTH} characters")
    salt = secrets.token_bytes(16)
    return f"scrypt:{_N}:{_R}:{_P}:{_text(salt)}:{_text(_scrypt(password, salt, _N, _R, _P))}"


def matches(password: str, stored: str) -> bool:
    """Return whether `password` is the one that was stored. Takes as long as hashing."""
    _, n, r, p, salt, wanted = stored.split(":")
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(wanted))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    raw = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(raw, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
