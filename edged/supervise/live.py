"""The live pages: server-sent events that carry the parts of a page which have changed.

Each connection compares with what it has sent itself, so a browser that comes back (also after a restart of the
daemon) is told everything once and then only news. Looking and rendering is shared by all connections, and nothing
is done while nobody looks.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_EVERY = 1.0  # seconds between looks
_ALIVE = 15.0  # seconds of silence after which a comment goes out, so that a dead connection is found
_RETRY = 2000  # milliseconds that a browser waits before it connects again
_MOST = 24  # connections at a time: more is no family looking at its shop

Parts = dict[str, str]


class Shared:
    """Lets many ask for what is made at most once a second; the first who asks makes it, the others wait."""

    def __init__(self, make: Callable[[], Awaitable[Parts]]) -> None:
        self._make = make
        self._made: Parts = {}
        self._at = -math.inf
        self._lock = asyncio.Lock()

    async def get(self) -> Parts:
        """Return the parts as they are, no older than a second."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._at >= _EVERY * 0.9:
                self._made = await self._make()
                self._at = now
            return self._made


class Streams:
    """The connections that are open now."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, request: web.Request, get: Callable[[], Awaitable[Parts]]) -> web.StreamResponse:
        """Send what `get` returns, and then its changes, until the browser goes or `close` is called."""
        task = asyncio.current_task()
        if len(self._tasks) >= _MOST or task is None:
            raise web.HTTPServiceUnavailable(text=f"{_MOST} live pages are open already; close one")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        self._tasks.add(task)
        try:
            await response.prepare(request)
            await response.write(message("hello", {"version": self._version}, retry=_RETRY))
            await self._follow(response, get)
        except ConnectionError:
            pass  # the browser has gone: there is nobody left to tell
        finally:
            self._tasks.discard(task)
        return response

    async def _follow(self, response: web.StreamResponse, get: Callable[[], Awaitable[Parts]]) -> None:
        loop = asyncio.get_running_loop()
        told: Parts = {}
        spoke = loop.time()
        while True:
            parts = await get()
            news = {name: html for name, html in parts.items() if told.get(name) != html}
            if news:
                await response.write(message("parts", news))
            elif loop.time() - spoke >= _ALIVE:
                await response.write(b": alive\n\n")
            if news or loop.time() - spoke >= _ALIVE:
                spoke = loop.time()
            told = parts
            await asyncio.sleep(_EVERY)

    async def close(self) -> None:
        """End every connection; the browsers come back by themselves."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def message(event: str, data: Parts, *, retry: int | None = None) -> bytes:
    """Return one server-sent event (HTML standard, section 9.2) with `data` as JSON, which has no line breaks."""
    head = f"retry: {retry}\n" if retry is not None else ""
    return f"{head}event: {event}\ndata: {json.dumps(data)}\n\n".encode()
