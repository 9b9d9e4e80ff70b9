"""A camera's outages on their way into the ledger: each exactly once, also when the ledger is in trouble itself."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from edged.model import Gap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edged.base.clock import Stamp

log = structlog.get_logger(__name__)

_AGAIN = 5.0  # seconds until a ledger that failed is tried again


@dataclass(kw_only=True, slots=True)
class _Entry:
    gap: Gap
    id: int | None = None
    end: Stamp | None = None


class GapBook:
    """Outages of one camera: `begin` and `end` note them at once, `write` enters what the ledger does not have yet."""

    def __init__(
        self,
        camera: str,
        open_gap: Callable[[Gap], Awaitable[int]],
        close_gap: Callable[[int, Stamp], Awaitable[None]],
    ) -> None:
        self._camera = camera
        self._open_gap = open_gap
        self._close_gap = close_gap
        self._entries: deque[_Entry] = deque()
        self._not_before = 0.0

    @property
    def open(self) -> bool:
        """Whether an outage is under way."""
        return bool(self._entries) and self._entries[-1].end is None

    def begin(self, start: Stamp, reason: str) -> None:
        """Note that pictures are missing since `start`; one outage at a time."""
        if not self.open:
            self._entries.append(_Entry(gap=Gap(camera=self._camera, start=start, end=None, reason=reason)))

    def end(self, end: Stamp) -> None:
        """Note that pictures are back since `end`."""
        if self.open:
            self._entries[-1].end = end

    async def write(self, now: float) -> None:
        """Bring the ledger up to date; what fails is kept and tried again a little later."""
        if not self._entries or now < self._not_before:
            return
        try:
            await self._write()
        except Exception as error:  # noqa: BLE001 -- border: whatever ails the ledger must not stop a camera
            self._not_before = now + _AGAIN
            log.warning("gap not entered yet", camera=self._camera, error=f"{type(error).__name__}: {error}")

    async def _write(self) -> None:
        while self._entries:
            entry = self._entries[0]
            if entry.id is None:
                entry.id = await self._open_gap(entry.gap)
            if entry.end is None:
                return
            await self._close_gap(entry.id, entry.end)
            self._entries.popleft()
