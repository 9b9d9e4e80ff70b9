"""What the handlers share: the receiver's parts, built once by the app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from edged.base.clock import Clock
    from edged.receiver.auth import Authority
    from edged.receiver.desk import Desk
    from edged.receiver.registry import Registry
    from edged.receiver.settings import ReceiverConfig
    from edged.receiver.store import Store
    from edged.receiver.uploads import Uploads
    from edged.receiver.vault import Vault


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The receiver's parts."""

    config: ReceiverConfig
    clock: Clock
    store: Store
    registry: Registry
    vault: Vault
    uploads: Uploads
    authority: Authority
    desk: Desk


WORLD = web.AppKey("world", World)


def world_of(request: web.Request) -> World:
    """Return the receiver's parts."""
    return request.app[WORLD]
