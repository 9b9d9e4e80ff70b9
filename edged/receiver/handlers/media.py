"""Stored files over HTTP: with ranges, never as anything that a browser would run."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

if TYPE_CHECKING:
    from edged.receiver.store import StoredFile
    from edged.receiver.world import World

_INLINE = {"video/mp4", "video/webm", "image/jpeg", "image/png", "image/webp", "image/gif"}


def serve(world: World, file: StoredFile) -> web.FileResponse:
    """Return the answer that sends `file`: ranges and conditions are aiohttp's, the digest is its name for caches."""
    inline = file.content_type in _INLINE
    headers = {
        "Content-Type": file.content_type if inline else "application/octet-stream",
        "Content-Disposition": f"{'inline' if inline else 'attachment'}; filename*=UTF-8''{quote(file.name, safe='')}",
        "Content-Security-Policy": "default-src 'none'; media-src 'self'; img-src 'self'; sandbox",
        "Cache-Control": "private, max-age=86400, immutable",
    }
    return web.FileResponse(world.vault.blob(file.sha256), headers=headers, chunk_size=256 * 1024)
