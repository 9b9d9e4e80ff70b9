"""What the bulk lane does with one delivery: its manifest, its target, and the address where its bytes go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edged.base.errors import FileLostError, NoAnswerError
from edged.outbox.policy import urgency
from edged.outbox.spool import digest_of
from edged.push.body import OutrankedError
from edged.push.errand import Errand
from edged.push.manifests import manifest_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edged.base.clock import Clock
    from edged.model import Delivery
    from edged.outbox.store import Outbox
    from edged.push.errand import Target
    from edged.push.transfers import Transfer
    from edged.wire.receipt import Receipt


class Uploader:
    """Carries deliveries to `targets`, by the names of their destinations."""

    def __init__(self, outbox: Outbox, targets: Mapping[str, Target], clock: Clock) -> None:
        self._outbox = outbox
        self._targets = targets
        self._clock = clock

    async def deliver(self, delivery: Delivery, transfer: Transfer) -> Receipt:
        """Deliver one file; DeliveryError says why not."""
        target = self._targets.get(delivery.destination)
        if target is None:
            raise NoAnswerError(f"this device's configuration has no destination {delivery.destination} any more")
        if delivery.path is None:
            raise FileLostError(f"the outbox knows no file for delivery {delivery.id}")

        async def created(url: str) -> None:
            await self._outbox.set_upload_url(delivery.id, url)

        errand = Errand(
            path=delivery.path,
            manifest=await manifest_for(self._outbox, delivery),
            urgency=urgency(delivery.priority, self._clock.mono() - delivery.due),
            upload_url=delivery.upload_url,
            created=created,
            progress=transfer.progress,
            sending=transfer.sending,
        )
        try:
            return await target.deliver(errand)
        except FileLostError as error:
            if await asyncio.to_thread(self._outbox.place.gone):  # no file is lost that is only out of reach
                raise NoAnswerError(f"the disk at {self._outbox.root} is not mounted any more") from error
            if not await asyncio.to_thread(_is_lost, delivery):
                raise OutrankedError(f"{error}; it is tried again") from error
            raise


def _is_lost(delivery: Delivery) -> bool:
    """Return whether a delivery's file is missing, or not what was recorded: only what is certain is given up.

    A disk that fails to read, a process without a free descriptor: what then can't be read may be read later.
    """
    if delivery.path is None:
        return True
    try:
        return digest_of(delivery.path) != (delivery.size, delivery.sha256)
    except FileNotFoundError:
        return True
    except OSError:
        return False
