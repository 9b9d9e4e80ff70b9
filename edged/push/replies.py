"""What a receiver's answer means for a delivery: pure, one table for uploads, receipts, probes and heartbeats."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from edged.base.errors import (
    CredentialsError,
    DeliveryError,
    NoAnswerError,
    RefusedError,
    RejectedError,
    UploadGoneError,
)
from edged.wire import faults, tus
from edged.wire.signing import RECEIVER_HEADER, TIME_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edged.wire.faults import Fault

_MARKS = (RECEIVER_HEADER, TIME_HEADER, tus.RESUMABLE)
_BUSY_PAUSE = 60.0  # seconds, when a busy peer names no time
_MOMENT = 5.0  # seconds: another request on the upload is being ended, or the receiver restarts
_LONGEST_PAUSE = 3600.0  # seconds; a peer may ask for more, we look earlier
_SHORTEST_PAUSE = 1.0  # seconds; a peer may ask for none, and would be asked all the time

_IDLE = 408
_LOCKED = 423
_BUSY = frozenset({_LOCKED, 425, 429, 503, 507})
TOO_LARGE = 413
_SERVER = 500
_FINAL: dict[int, type[DeliveryError]] = {
    401: CredentialsError,
    403: CredentialsError,
    404: UploadGoneError,
    410: UploadGoneError,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An HTTP answer: `body` as far as it was kept, `seconds` from the request to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def good(self) -> bool:
        """Whether the request was served."""
        return 200 <= self.status < 300  # noqa: PLR2004 -- HTTP's class of success

    @property
    def genuine(self) -> bool:
        """Whether the peer itself answered, and no portal or proxy in between: edged and tus servers mark answers."""
        return any(mark in self.headers for mark in _MARKS)


def refusal(answer: Answer, doing: str) -> DeliveryError:
    """Return the error that an answer other than success means while `doing` something ("create the upload")."""
    if not answer.genuine:
        return NoAnswerError(f"can't {doing}: something between here and the receiver answered HTTP {answer.status}")
    if answer.status == _IDLE:
        return NoAnswerError(f"can't {doing}: the receiver waited too long for bytes")
    told = faults.from_json(answer.status, answer.body)
    text = f"can't {doing}: {told}"
    pause = _pause(answer, told.fault)
    if pause is not None:
        return RefusedError(text, retry_after=pause)
    if answer.status >= _SERVER or told.fault.retry:
        return RefusedError(text)
    return _FINAL.get(answer.status, RejectedError)(text)


def _pause(answer: Answer, fault: Fault) -> float | None:
    """Return for how many seconds the whole peer, not just this delivery, is to be left alone."""
    if answer.status not in _BUSY:
        return None
    asked = _retry_after(answer.headers)
    if asked is not None:
        return max(_SHORTEST_PAUSE, min(asked, _LONGEST_PAUSE))
    brief = answer.status == _LOCKED or fault is faults.STOPPING
    return _MOMENT if brief and "Retry-After" not in answer.headers else _BUSY_PAUSE


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return Retry-After (RFC 9110 10.2.3) in seconds; a date by the peer's own clock, since ours may be off."""
    value = headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return (parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (ValueError, TypeError):  # no date, or one without a zone
        return None
