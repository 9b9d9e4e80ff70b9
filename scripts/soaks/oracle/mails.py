"""What the mailbox holds: each mail once for each address that its envelope names."""

from __future__ import annotations

import email
import email.policy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_COUNTED = re.compile(r"(\d+) more since ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    """One mail as a person got it; `incidents` are those that it tells by id, `count` those by their number alone."""

    message_id: str
    recipient: str
    kind: str
    incidents: tuple[str, ...]
    count: int = 0


def read(taken: Iterable[tuple[Iterable[str], bytes]]) -> tuple[Mail, ...]:
    """Return the mails of (envelope recipients, raw message) pairs."""
    return tuple(_mail(recipient, raw) for recipients, raw in taken for recipient in recipients)


def _mail(recipient: str, raw: bytes) -> Mail:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    return Mail(
        message_id=str(message["Message-ID"] or "").strip(),
        recipient=recipient,
        kind=str(message["X-Edged-Kind"] or ""),
        incidents=tuple(str(message["X-Edged-Incident"] or "").replace(",", " ").split()),
        count=_count(str(message["Subject"] or "")),
    )


def _count(subject: str) -> int:
    found = _COUNTED.match(subject)
    return int(found[1]) if found else 0
