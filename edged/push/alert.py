"""Alerts: from an alert delivery to a mail that is frozen when a relay is ready for it, and sent.

Composing waits for the relay, so an outage freezes nothing: when the line is back, several alerts that are late by
then are told in one digest, and times are right if the clock was set meanwhile. From the first attempt that reached a
relay on, the same bytes are sent each time.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import stamp
from edged.base.errors import RejectedError
from edged.channels.content import Letterhead, kind_of
from edged.channels.render import render_message
from edged.model import State
from edged.push.telling import Teller
from edged.wire.signing import sign_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edged.base.clock import Clock, Stamp
    from edged.channels.content import AlertContent
    from edged.channels.smtp import Mailer
    from edged.model import Delivery
    from edged.outbox.store import Outbox
    from edged.push.transfers import Transfer

log = structlog.get_logger(__name__)

MAIL = "mail:"  # destinations of mail begin so


@dataclass(frozen=True, kw_only=True, slots=True)
class Letters:
    """How this device writes: names, IANA time zone, sender's mailbox, and when late alerts become one digest."""

    device: str
    site: str
    timezone: str
    sender: str
    digest_from: int  # this many late alerts to one recipient, or more, go out as one mail
    digest_after: float  # seconds after which an alert that was not yet sent is late
    digest_most: int = 50  # entries in one mail: with their links some 40 KB
    digest_pictures: int = 3  # the newest ones; each costs as much as all else


class AlertSender:
    """Sends alert deliveries to "mail:ADDRESS"; `link` returns the address of an incident's page, "" for none."""

    def __init__(
        self, outbox: Outbox, mailer: Mailer, clock: Clock, *, letters: Letters, link: Callable[[str], str]
    ) -> None:
        self._outbox = outbox
        self._mailer = mailer
        self._clock = clock
        self._letters = letters
        self._teller = Teller(outbox, link)
        # One at a time per recipient: two digests must not take in the same alerts.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def adopt(self, letters: Letters) -> None:
        """Write so from the next mail on; what is frozen stays as it is."""
        self._letters = letters

    async def send(self, delivery: Delivery, transfer: Transfer) -> None:
        """Send an alert and complete it, with those that its digest tells; nothing if it was told since it was picked.

        Raises, as Mailer does, PossiblySentError, NoAnswerError, CredentialsError, RefusedError and RejectedError.
        The answer to a whole mail may take `mail.data_reply`: nothing moves for so long.
        """
        recipient = delivery.destination.removeprefix(MAIL)
        async with self._turns[recipient]:
            current = await self._outbox.delivery(delivery.id)
            if current is None or current.state is not State.PENDING or current.carrier is not None:
                return
            accepted = await self._mailer.send(
                partial(self._message, current, recipient),
                recipient=recipient,
                before_dot=partial(self._outbox.mark_sending, current.id),
            )
            await self._outbox.complete(current.id, None)
        transfer.sending(accepted.size)
        log.info(
            "alert sent",
            incident=current.incident,
            delivery=current.id,
            destination=current.destination,
            relay=accepted.relay,
            answer=accepted.answer,
            bytes=accepted.size,
            stripped=accepted.stripped,
        )

    async def _message(self, delivery: Delivery, recipient: str) -> bytes:
        """Return the frozen message of `delivery`, rendering it if this is the first attempt."""
        if delivery.message is not None:
            return delivery.message
        return await self._digest(delivery, recipient) or await self._alone(delivery, recipient)

    async def _alone(self, delivery: Delivery, recipient: str) -> bytes:
        content = await self._teller.content(delivery)
        return await self._outbox.freeze(delivery.id, await self._render(content, delivery, recipient))

    async def _digest(self, delivery: Delivery, recipient: str) -> bytes | None:
        """Return a digest frozen into `delivery` with the others folded in; None when there is no occasion for one."""
        now = stamp(self._clock)
        waiting = await self._outbox.waiting_alerts(delivery.destination, self._letters.digest_most)
        late = [each for each in waiting if _age(each, now) >= self._letters.digest_after]
        if len(late) < self._letters.digest_from or delivery.id not in {each.id for each in late}:
            return None
        content, held = await self._teller.digest(late, self._letters.digest_pictures)
        others = [each.id for each in held if each.id != delivery.id]
        if len(held) < self._letters.digest_from or len(others) == len(held):
            return None
        message = await self._render(content, delivery, recipient)
        if not await self._outbox.fold(delivery.id, others, message):
            return None
        log.info("digest folded", delivery=delivery.id, alerts=len(held), destination=delivery.destination)
        _tell_joined(delivery, held)
        return message

    async def _render(self, content: AlertContent, delivery: Delivery, recipient: str) -> bytes:
        letters = self._letters
        head = Letterhead(
            device=letters.device, site=letters.site, timezone=letters.timezone, written=stamp(self._clock)
        )
        render = partial(render_message, sender=letters.sender, recipient=recipient, key=delivery.key)
        try:
            return await asyncio.to_thread(render, content, head)
        except ValueError as error:
            raise RejectedError(f"no mail can be made for {recipient} ({kind_of(content)}): {error}") from error


def _age(delivery: Delivery, now: Stamp) -> float:
    """Return seconds since `delivery` was entered; of an earlier boot it is older than anything."""
    return now.mono - delivery.created.mono if delivery.created.boot == now.boot else float("inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """Makes the signed links of mails: `page` is where people reach the receiver, `valid` in seconds.

    `ahead` returns by how many seconds the receiver's clock is ahead of ours: a box that woke in 1970 must not send
    links that have expired.
    """

    page: str
    device: str
    key: str
    valid: float
    clock: Clock
    ahead: Callable[[], float] = float

    def __call__(self, incident: str) -> str:
        """Return the address of the incident's page, open to whoever holds it until it expires."""
        until = self.clock.wall() + self.ahead() + self.valid
        return self.page.rstrip("/") + sign_link(key=self.key, device=self.device, incident=incident, until=until)


def no_link(_incident: str) -> str:
    """Return "": without a receiver there is no page to lead to."""
    return ""


def _tell_joined(carrier: Delivery, held: Iterable[Delivery]) -> None:
    """Log in the story of each incident which delivery tells of it."""
    for each in held:
        if each.id != carrier.id and each.incident is not None:
            facts = {"incident": each.incident, "delivery": each.id, "destination": each.destination}
            log.info("alert joined a digest", **facts, carrier=carrier.id)
