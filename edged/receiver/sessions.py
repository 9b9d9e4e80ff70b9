"""Logins of people: sessions in signed cookies, tokens against forged forms, and a brake on guessing."""

from __future__ import annotations

import hmac
import re
import secrets
from collections import deque
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

COOKIE = "edged_session"
FORM_COOKIE = "edged_form"

_VALUE = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9]{1,12}):([0-9a-f]{64})")
_ADDRESSES = 10_000  # remembered by the brake at most


class Sessions:
    """Signs and reads cookies with `secret`; a session ends with its time, its account, or its password."""

    def __init__(self, secret: str, seconds: float) -> None:
        self._secret = secret.encode()
        self.seconds = seconds

    def start(self, name: str, password_hash: str, now: float) -> str:
        """Return the cookie of a new session."""
        until = int(now + self.seconds)
        return f"{name}:{until}:{self._mac('session', name, until, password_hash)}"

    def name_in(self, cookie: str, now: float) -> str | None:
        """Return whose session `cookie` claims to be, None if it is over or malformed; `holds` must follow."""
        match = _VALUE.fullmatch(cookie)
        return match[1] if match is not None and now <= int(match[2]) else None

    def holds(self, cookie: str, password_hash: str) -> bool:
        """Return whether `cookie` was signed here for that account with that password."""
        match = _VALUE.fullmatch(cookie)
        if match is None:
            return False
        return hmac.compare_digest(self._mac("session", match[1], int(match[2]), password_hash), match[3])

    def form_token(self, cookie: str) -> str:
        """Return the hidden field that goes with the form cookie."""
        return self._mac("form", cookie)

    def form_holds(self, cookie: str, token: str) -> bool:
        """Return whether a form was made here, for this browser."""
        return bool(cookie) and hmac.compare_digest(self.form_token(cookie).encode(), token.encode("utf-8", "replace"))

    def _mac(self, *parts: object) -> str:
        # a cookie may hold any bytes, which aiohttp hands on as surrogates
        text = "\n".join(map(str, parts)).encode("utf-8", "surrogateescape")
        return hmac.new(self._secret, text, sha256).hexdigest()


def new_form_cookie() -> str:
    """Return a new value for the form cookie."""
    return secrets.token_urlsafe(18)


class Brake:
    """At most `tries` failed logins per address within `window` seconds; `mono` tells the time."""

    def __init__(self, tries: int, window: float, mono: Callable[[], float]) -> None:
        self._tries = tries
        self._window = window
        self._mono = mono
        self._failures: dict[str, deque[float]] = {}

    def wait(self, address: str) -> float:
        """Return seconds until `address` may try again, 0.0 if it may now."""
        failures = self._recent(address)
        return 0.0 if len(failures) < self._tries else failures[0] + self._window - self._mono()

    def failed(self, address: str) -> None:
        """Note a wrong password from `address`."""
        if address not in self._failures and len(self._failures) >= _ADDRESSES:
            self._failures.pop(next(iter(self._failures)))
        self._failures.setdefault(address, deque(maxlen=self._tries)).append(self._mono())

    def passed(self, address: str) -> None:
        """Forget the failures of `address`."""
        self._failures.pop(address, None)

    def _recent(self, address: str) -> deque[float]:
        failures = self._failures.get(address, deque())
        while failures and failures[0] + self._window <= self._mono():
            failures.popleft()
        return failures
