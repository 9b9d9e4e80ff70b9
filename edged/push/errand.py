"""What a target is given and what it answers: one file at a time, a receipt, or an error that says what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from edged.wire.manifest import Manifest
    from edged.wire.receipt import Receipt


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """One file to deliver: the file at `path`, and what the target tells while it works."""

    path: Path
    manifest: Manifest
    urgency: int  # the delivery's priority: 1 is most urgent
    upload_url: str | None  # where an earlier attempt left off
    created: Callable[[str], Awaitable[None]]  # to be awaited with the upload's address before bytes are sent to it
    progress: Callable[[int], None]  # told how many bytes the target is known to hold
    sending: Callable[[int], None]  # told up to where bytes have left


class Target(Protocol):
    """A destination of files."""

    async def deliver(self, errand: Errand) -> Receipt:
        """Deliver the file, going on where an earlier attempt stopped; DeliveryError says why not.

        Doing it twice gives one file at the destination. Cancelling stops at the next piece.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...
