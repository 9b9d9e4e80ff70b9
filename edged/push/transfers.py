"""The board of what is under way: bytes sent and rate of each transfer, for the status page."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from edged.model import Delivery

log = structlog.get_logger(__name__)

_WINDOW = 5.0  # seconds over which a rate is taken


class Transfer:
    """One delivery under way: `sent` bytes have left, `held` of them the destination is known to hold.

    `best` is what earlier attempts brought it to hold.
    """

    def __init__(self, delivery: Delivery, name: str, beat: Callable[[], None], best: int = 0) -> None:
        self.delivery = delivery
        self.name = name
        self.size = delivery.size
        self.sent = 0
        self.held = 0
        self.rate = 0.0  # bytes a second
        self._beat = beat
        self._best = best
        self._begun = False
        self._mark = (asyncio.get_running_loop().time(), 0)

    @property
    def moved(self) -> bool:
        """Whether the destination holds more than ever before."""
        return self.held > self._best

    def progress(self, held: int) -> None:
        """Note that the destination holds `held` bytes."""
        if not self._begun:
            self._begun = True
            if held and self.delivery.upload_url is not None:
                _tell_resumed(self.delivery, held)
            self._mark = (asyncio.get_running_loop().time(), held)
        self.held = held
        self.sending(held)

    def sending(self, sent: int) -> None:
        """Note that bytes up to `sent` are on their way."""
        now = asyncio.get_running_loop().time()
        since, before = self._mark
        self.sent = sent
        if now > since:
            self.rate = max(0.0, (sent - before) / (now - since))
        if now - since > _WINDOW:
            self._mark = (now, sent)
        self._beat()


def _tell_resumed(delivery: Delivery, held: int) -> None:
    log.info(
        "upload resumed",
        kind=str(delivery.kind),
        delivery=delivery.id,
        incident=delivery.incident,
        destination=delivery.destination,
        at=held,
        bytes=delivery.size,
    )


class Transfers:
    """All transfers under way, of both lanes."""

    def __init__(self) -> None:
        self._under_way: dict[int, Transfer] = {}

    def begin(self, delivery: Delivery, name: str, beat: Callable[[], None], best: int) -> Transfer:
        """Enter a transfer of which `best` bytes arrived earlier; each of its signs of progress calls `beat`."""
        transfer = self._under_way[delivery.id] = Transfer(delivery, name, beat, best)
        return transfer

    def end(self, transfer: Transfer) -> None:
        """Take a transfer off the board."""
        self._under_way.pop(transfer.delivery.id, None)

    @property
    def held(self) -> int:
        """Bytes of what is under way that its destinations hold already."""
        return sum(transfer.held for transfer in self._under_way.values())

    def under_way(self) -> tuple[Transfer, ...]:
        """Return what is under way, in the order it began."""
        return tuple(self._under_way.values())
