"""Work that goes on to its end though its caller is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")

_under_way: set[asyncio.Future[object]] = set()  # the loop itself keeps only weak references


async def finish(work: Awaitable[T]) -> T:
    """Await `work`; a cancellation ends the waiting, not the work. What fails then has no one left to tell."""
    future = asyncio.ensure_future(work)
    _under_way.add(future)  # type: ignore[arg-type] # only held
    future.add_done_callback(_done)
    return await asyncio.shield(future)


def _done(future: asyncio.Future[T]) -> None:
    _under_way.discard(future)
    if not future.cancelled():
        future.exception()  # asyncio would call it never retrieved, since a cancelled shield lets go of its future
