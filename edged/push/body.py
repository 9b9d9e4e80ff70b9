"""A part of a file as the body of a request: read off the loop, given out piece by piece at the pacer's pace."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from edged.base.errors import DeliveryError, FileLostError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edged.push.errand import Errand
    from edged.push.flow import Flow
    from edged.push.throttle import Pacer

_PATIENCE = 60.0  # seconds for a turn; a connection that idles for longer is soon closed by the receiver
_READ = 1024 * 1024  # bytes read from the disk at a time


class OutrankedError(DeliveryError):
    """More urgent things, or the time-table, leave no room to send this now; nobody is at fault."""


class FileBody:
    """`length` bytes at `offset` of the open file `descriptor`; use it for one request.

    `given` counts the bytes handed to the connection; `waiting` is True while the pacer lets nothing through, so that
    our own patience is not taken for the peer's silence; `error` is why it ended early.
    """

    def __init__(self, descriptor: int, *, offset: int, length: int, pacer: Pacer, flow: Flow, errand: Errand) -> None:
        self.length = length
        self.given = 0
        self.waiting = False
        self.error: DeliveryError | None = None
        self._descriptor = descriptor
        self._offset = offset
        self._pacer = pacer
        self._flow = flow
        self._errand = errand

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the pieces, none larger than pacer and window want."""
        while self.given < self.length:
            block = memoryview(await self._read())
            while block:
                await self._flow.room()
                piece = block[: min(self._pacer.piece(), self._flow.piece())]
                await self._turn(len(piece))
                yield bytes(piece)
                self.given += len(piece)
                self._errand.sending(self._offset + self.given)
                block = block[len(piece) :]

    async def _turn(self, size: int) -> None:
        self.waiting = True
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._pacer.take(self._errand.urgency, size)
        except TimeoutError as error:
            self.error = OutrankedError("nothing of this may be sent now: the rate is used by what is more urgent")
            raise self.error from error
        finally:
            self.waiting = False

    async def _read(self) -> bytes:
        want = min(_READ, self.length - self.given)
        try:
            block = await asyncio.to_thread(os.pread, self._descriptor, want, self._offset + self.given)
        except OSError as error:
            self.error = FileLostError(f"the file can't be read any more: {error.strerror}")
            raise self.error from error
        if not block:
            self.error = FileLostError("the file has become shorter while it was sent")
            raise self.error
        return block
