"""A device for tests: signs its requests and speaks tus, one plain request at a time."""

from __future__ import annotations

import hashlib
import io
import secrets
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from edged.wire import manifest, receipt, signing, tus
from edged.wire.manifest import Manifest

if TYPE_CHECKING:
    from types import TracebackType

    from edged.wire.receipt import Receipt


def manifest_of(data: bytes, **changes: Any) -> Manifest:
    """Return the manifest of a clip with the bytes `data`."""
    fields = {
        "key": secrets.token_hex(16),
        "kind": "clip",
        "name": "front.mp4",
        "content_type": "video/mp4",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return Manifest(**{**fields, **changes})


class Device:
    """One device against the receiver at `url`."""

    def __init__(self, url: str, name: str, key: str, now: float) -> None:
        self.url, self.name, self.key, self.now = url, name, key, now
        self._session = aiohttp.ClientSession(auto_decompress=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def signed(self, method: str, target: str, headers: dict[str, str], body: bytes | None = b"") -> dict[str, str]:
        """Return `headers` with the signature of the request."""
        authorization = signing.sign_request(
            key=self.key, device=self.name, method=method, target=target, time=self.now, headers=headers, body=body
        )
        return {**headers, "Authorization": authorization}

    async def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        data: bytes = b"",
        *,
        stream: bool = False,
    ) -> Answer:
        """Send one signed request and read its answer whole."""
        signed = self.signed(method, target, headers or {}, None if stream else data)
        async with self._session.request(
            method, self.url + target, headers=signed, data=io.BytesIO(data) if data else None
        ) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def create(self, told: Manifest, **headers: str) -> Answer:
        """Create an upload."""
        fields = {
            tus.RESUMABLE: tus.VERSION,
            tus.LENGTH: str(told.size),
            tus.METADATA: manifest.to_metadata(told),
            **headers,
        }
        return await self.request("POST", "/files", fields)

    async def patch(self, location: str, offset: int, data: bytes) -> Answer:
        """Append `data`."""
        fields = {tus.RESUMABLE: tus.VERSION, tus.OFFSET: str(offset), "Content-Type": tus.CONTENT_TYPE}
        return await self.request("PATCH", location, fields, data, stream=True)

    async def head(self, location: str) -> Answer:
        """Ask where an upload stands."""
        return await self.request("HEAD", location, {tus.RESUMABLE: tus.VERSION})

    async def upload(self, data: bytes, told: Manifest | None = None) -> Receipt:
        """Create, send in one piece and return the receipt."""
        created = await self.create(told or manifest_of(data))
        assert created.status == 201, created.body
        done = await self.patch(created.headers["Location"], 0, data)
        assert done.status == 204, done.body
        return receipt.from_header(done.headers[receipt.HEADER])


class Answer:
    """An answer, read whole."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def offset(self) -> int:
        """Upload-Offset."""
        return int(self.headers[tus.OFFSET])
