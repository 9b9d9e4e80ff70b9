"""What every page of edged shares: the template environment, safe headers, static files, media that can be sought in.

The design (edged.css), the page's frame (layout.html) and the player (player.js) lie beside this file.
"""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from aiohttp import web
from aiohttp.hdrs import CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_HERE = Path(__file__).parent
_FOREVER = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"

SECURITY_HEADERS: Mapping[str, str] = {
    # No inline script and no inline style: text that slips into a page can't run. Nothing comes from elsewhere.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # a signed link must not leak
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def harden(app: web.Application) -> None:
    """Put the security headers on every answer of `app`, errors and files included; what a handler set stays."""
    app.on_response_prepare.append(_add_headers)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


@web.middleware
async def well_dated(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse a condition on a date beyond all years; aiohttp would drop the connection while it sends a file."""
    try:
        _ = request.if_modified_since, request.if_unmodified_since, request.if_range
    except (ValueError, OverflowError) as error:
        raise web.HTTPBadRequest(text="a date in the headers is none") from error
    return await handler(request)


class Assets:
    """Static files held in memory (some ten kilobytes): edged's shared ones and those of `folders`, served by name.

    `url` carries a digest of the content, so a browser keeps a file for ever and never shows an old one.
    """

    def __init__(self, *folders: Path) -> None:
        self._content: dict[str, bytes] = {}
        for folder in (_HERE / "static", *folders):
            self._content |= {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}
        self._digests = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in self._content.items()}
        self.version = hashlib.sha256("".join(self._digests.values()).encode()).hexdigest()[:16]

    def add_to(self, app: web.Application) -> None:
        """Serve the files below /static/."""
        app.router.add_get("/static/{name}", self._serve)

    def url(self, name: str) -> str:
        """Return the address of the file `name`; KeyError if there is none."""
        return f"/static/{name}?v={self._digests[name]}"

    async def _serve(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        data = self._content.get(name)
        if data is None:
            raise web.HTTPNotFound(text=f"there is no file {name!r} here")
        digest = self._digests[name]
        headers = {
            ETAG: f'"{digest}"',
            CACHE_CONTROL: _FOREVER if request.query.get("v") == digest else _REVALIDATE,
        }
        if any(tag.value == digest for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=data, headers=headers | {CONTENT_TYPE: _content_type(name)})


def _content_type(name: str) -> str:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def environment(templates: Path, assets: Assets) -> jinja2.Environment:
    """Return the environment for the templates in `templates`, which may extend the shared layout.html.

    Everything is escaped, a misspelt name is an error, `asset("edged.css")` gives a static file's address.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([templates, _HERE / "templates"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["asset"] = assets.url
    made.filters |= {"size": size, "duration": duration}
    return made


def html(made: jinja2.Environment, template: str, *, status: int = 200, **values: Any) -> web.Response:
    """Render `template` into an answer that no cache keeps."""
    return answer(made.get_template(template).render(values), status=status)


def answer(text: str, *, status: int = 200) -> web.Response:
    """Return a rendered page as an answer that no cache keeps."""
    return web.Response(
        text=text, status=status, content_type="text/html", charset="utf-8", headers={CACHE_CONTROL: "no-store"}
    )


def media(path: Path, content_type: str, *, download: str | None = None) -> web.FileResponse:
    """Return the file with support for ranges, so that a player can seek; `download` names it for saving.

    A missing file is answered by 404 when the response is sent. Kept files never change, so a browser may hold them.
    """
    headers = {CONTENT_TYPE: content_type, CACHE_CONTROL: "private, max-age=86400"}
    if download is not None:
        safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in download)
        headers[CONTENT_DISPOSITION] = f'attachment; filename="{safe.encode("ascii", "replace").decode()}"'
    return web.FileResponse(path, chunk_size=1 << 16, headers=headers)


def size(count: float) -> str:
    """Return bytes as people read them: "512 B", "3.4 MB" (decimal)."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:  # noqa: PLR2004 -- or it would read "1000 kB"
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"  # noqa: PLR2004
        value /= 1000
    return f"{value:.1f} TB"


def duration(seconds: float) -> str:
    """Return a length of time as people read it, coarser the longer it is: "8 s", "3 min", "2 h 10 min", "5 days"."""
    whole = max(0, round(seconds))
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:  # noqa: PLR2004
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days"
