"""Who asks: a device that signs with its key, or a foreign tus client with a bearer token."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edged.wire import faults, signing
from edged.wire.faults import FaultError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from edged.base.clock import Clock
    from edged.receiver.registry import Registry

_NO_KEY = "no device has this key"  # verified against when the device is unknown, so that both take as long


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """A client that has proven itself: what it uploads belongs to `name`; `key` signs its receipts."""

    name: str
    foreign: bool  # by bearer token: it knows no manifest
    key: str

    def __repr__(self) -> str:
        return f"Caller({self.name!r}, foreign={self.foreign})"


class Authority:
    """Knows the devices' keys and the `tokens` (name to token) of foreign clients."""

    def __init__(self, registry: Registry, tokens: Mapping[str, str], clock: Clock) -> None:
        self._registry = registry
        self._tokens = dict(tokens)
        self._clock = clock

    async def device(self, request: web.Request, body: bytes | None = b"") -> Caller:
        """Return the device that signed `request` with `body` (None: streamed); FaultError else."""
        claim = signing.parse_authorization(request.headers.get("Authorization", ""))
        key = await self._registry.key_of(claim.device)
        signing.verify_request(
            claim,
            key=key or _NO_KEY,
            method=request.method,
            target=request.raw_path,
            headers=request.headers,
            body=body,
            now=self._clock.wall(),
        )
        if key is None:
            raise FaultError(faults.UNKNOWN_KEY)
        return Caller(name=claim.device, foreign=False, key=key)

    async def client(self, request: web.Request, body: bytes | None = b"") -> Caller:
        """Return the device or the foreign client behind `request`; FaultError else."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return await self.device(request, body)
        for name, known in self._tokens.items():
            if hmac.compare_digest(known.encode(), token.encode("utf-8", "surrogateescape")):
                return Caller(name=name, foreign=True, key=known)
        raise FaultError(faults.UNKNOWN_KEY)
