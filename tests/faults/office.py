"""A device's mail in simulated time: an outbox whose alerts are sent through relays, as `edged.app` wires them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from edged.base.pulse import Pulse
from edged.channels.settings import MailSettings, Relay, Security
from edged.channels.smtp import Mailer, resolve
from edged.model import Lane
from edged.outbox.policy import Destinations
from edged.outbox.store import Outbox, open_outbox
from edged.push.alert import AlertSender, Letters, no_link
from edged.push.loop import LaneWorker
from edged.push.settings import PushSettings
from edged.push.transfers import Transfers
from tests.push.outbox import add_incident

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from edged.model import Delivery, Incident
    from tests.mailbox import Mailbox
    from tests.simloop import SimClock

ME, YOU, _ = PEOPLE = ("me@example.org", "you@example.org", "third@example.org")


def open_relay(mailbox: Mailbox) -> Relay:
    """Return a relay that wants nothing."""
    return Relay(host="127.0.0.1", port=mailbox.port, security=Security.OPPORTUNISTIC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Office:
    """An outbox whose alerts are being sent."""

    outbox: Outbox
    clock: SimClock
    to: Destinations

    async def incidents(self, count: int, *, every: float = 1.0) -> list[Incident]:
        """Enter incidents with their alerts, `every` so many seconds."""
        entered = []
        for _ in range(count):
            entered.append(await add_incident(self.outbox, self.clock, self.to))
            await asyncio.sleep(every)
        return entered

    async def alert_to(self, person: str) -> Delivery:
        """Return the newest delivery to `person`."""
        return next(each for each in await self.outbox.deliveries() if each.destination == f"mail:{person}")

    async def settled(self, limit: float = 50.0) -> None:
        """Wait until nothing waits; TimeoutError after `limit` seconds."""
        async with asyncio.timeout(limit):
            while (await self.outbox.counts()).waiting:
                await asyncio.sleep(1.0)


@asynccontextmanager
async def office(
    folder: Path, clock: SimClock, *relays: Relay, to: Sequence[str] = PEOPLE, digest_from: int = 3
) -> AsyncIterator[Office]:
    """Send what alerts are entered through `relays`; opened again it goes on with the same outbox."""
    mail = MailSettings(sender="alerts@example.org", relays=relays)
    letters = Letters(
        device="shop-1", site="", timezone="UTC", sender=mail.sender, digest_from=digest_from, digest_after=120.0
    )
    outbox = await open_outbox(folder / "outbox.db", clock)
    mailer = Mailer(mail, await asyncio.to_thread(resolve, mail), clock)
    sender = AlertSender(outbox, mailer, clock, letters=letters, link=no_link)
    worker = LaneWorker(
        Lane.ALERT,
        sender.send,
        outbox=outbox,
        transfers=Transfers(),
        settings=PushSettings(),
        parallel=4,
        clock=clock,
        rng=Random(3),
    )
    sending = asyncio.create_task(worker.run(Pulse("alerts", 900.0, clock)))
    try:
        yield Office(outbox=outbox, clock=clock, to=Destinations(recipients=tuple(to)))
    finally:
        sending.cancel()
        await asyncio.wait((sending,))
        await outbox.close()


def told(mailbox: Mailbox, person: str) -> list[str]:
    """Return the incidents that a person's mails tell, each as often as it is told."""
    mails = {mail.message["Message-ID"]: mail for mail in mailbox.mails if person in mail.recipients}
    return [
        incident
        for mail in mails.values()
        for incident in str(mail.message["X-Edged-Incident"] or "").replace(",", " ").split()
    ]
