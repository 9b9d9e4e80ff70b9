"""The desk for people: their pages, who is logged in, forms that were made here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from aiohttp import web

from edged import __version__
from edged.base.pages import pages
from edged.receiver import passwords
from edged.receiver.intake import read_small
from edged.receiver.sessions import COOKIE, FORM_COOKIE, Brake, Sessions, new_form_cookie
from edged.wire import faults
from edged.wire.faults import FaultError

if TYPE_CHECKING:
    from edged.base.clock import Clock
    from edged.base.pages.pages import Assets
    from edged.receiver.registry import Registry
    from edged.receiver.settings import ReceiverConfig

HERE = Path(__file__).parent
_FIELDS = 20
_AT_ONCE = 2  # passwords hashed at the same time: each takes 32 MB


class Desk:
    """Renders pages and keeps the door."""

    def __init__(
        self, config: ReceiverConfig, registry: Registry, sessions: Sessions, assets: Assets, clock: Clock
    ) -> None:
        self._config = config
        self._registry = registry
        self._sessions = sessions
        self._clock = clock
        self._templates = pages.environment(HERE / "templates", assets)
        self._brake = Brake(config.login.tries, config.login.window, clock.mono)
        self._hashing = asyncio.Semaphore(_AT_ONCE)

    async def visitor(self, request: web.Request) -> str | None:
        """Return who is logged in, None if nobody is."""
        cookie = request.cookies.get(COOKIE, "")
        name = self._sessions.name_in(cookie, self._clock.wall())
        stored = await self._registry.hash_of(name) if name is not None else None
        return name if stored is not None and self._sessions.holds(cookie, stored) else None

    async def person(self, request: web.Request) -> str:
        """Return who is logged in; sends everybody else to the login page first."""
        name = await self.visitor(request)
        if name is None:
            raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='')}")
        return name

    def page(
        self, request: web.Request, template: str, *, person: str | None = None, status: int = 200, **values: Any
    ) -> web.Response:
        """Render a page; every form in it gets its token."""
        cookie = request.cookies.get(FORM_COOKIE) or new_form_cookie()
        response = pages.html(
            self._templates,
            template,
            status=status,
            person=person,
            receiver=self._config.title,
            version=__version__,
            token=self._sessions.form_token(cookie),
            **values,
        )
        if FORM_COOKIE not in request.cookies:
            self._set(response, FORM_COOKIE, cookie, None)
        return response

    async def form(self, request: web.Request) -> dict[str, str]:
        """Return a form's fields; FaultError (forbidden) unless it was made here for this browser."""
        body = (await read_small(request, self._config.limits.idle)).decode("utf-8", "replace")
        try:
            fields = dict(parse_qsl(body, keep_blank_values=True, max_num_fields=_FIELDS))
        except ValueError as error:
            raise FaultError(faults.BAD_REQUEST, f"a form has at most {_FIELDS} fields") from error
        if not self._sessions.form_holds(request.cookies.get(FORM_COOKIE, ""), fields.get("token", "")):
            raise FaultError(faults.FORBIDDEN)
        return fields

    async def log_in(self, request: web.Request, name: str, password: str) -> str | None:
        """Return the cookie of a new session, None if name or password is wrong; FaultError after too many tries."""
        address = self._address(request)
        wait = self._brake.wait(address)
        if wait > 0:
            raise FaultError(faults.TOO_MANY, "too many wrong passwords", retry_after=wait)
        stored = await self._registry.hash_of(name)
        async with self._hashing:
            right = await asyncio.to_thread(passwords.matches, password, stored or passwords.NOBODY)
        if stored is None or not right:
            self._brake.failed(address)
            return None
        self._brake.passed(address)
        return self._sessions.start(name, stored, self._clock.wall())

    def give(self, response: web.StreamResponse, cookie: str) -> None:
        """Put a session's cookie on `response`."""
        self._set(response, COOKIE, cookie, int(self._sessions.seconds))

    def take(self, response: web.StreamResponse) -> None:
        """Take the session's cookie away."""
        response.del_cookie(COOKIE, path="/")

    def _set(self, response: web.StreamResponse, name: str, value: str, seconds: int | None) -> None:
        response.set_cookie(
            name, value, max_age=seconds, path="/", httponly=True, samesite="Lax", secure=self._config.https
        )

    def _address(self, request: web.Request) -> str:
        peer = request.remote or ""
        if peer not in self._config.login.trusted_proxies:
            return peer
        return request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or peer
