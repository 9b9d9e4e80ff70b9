"""What becomes of a delivery after an attempt, and what the attempt says of its destination: one table.

| what came back                   | the delivery                       | its attempts | the destination's gate  |
|----------------------------------|------------------------------------|--------------|-------------------------|
| nothing                          | set aside, in memory               | unchanged    | one failure             |
| nothing, over a line that is back| tried again at once                | unchanged    | nothing                 |
| nobody was asked: all ways rest  | set aside, in memory               | unchanged    | closed for as long      |
| nothing after all was sent       | put off; dead after so many copies | one more     | one failure             |
| "come back in n s"               | set aside, in memory               | unchanged    | closed for n s          |
| refused for now                  | put off; dead when the budget ends | one more     | one failure             |
| refused for good                 | dead                               |              | it served               |
| the key or password is refused   | set aside, in memory               | unchanged    | closed for a long while |
| the upload is forgotten there    | set aside, in memory               | unchanged    | it served               |
| we had no room to send it        | set aside, in memory               | unchanged    | nothing                 |
| the file is lost here            | dead, entered as a loss            |              | nothing                 |

What is set aside is tried at once when the line returns, and costs no write to the card however long that takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from edged.base.errors import (
    CredentialsError,
    DeliveryError,
    FileLostError,
    PossiblySentError,
    RefusedError,
    RejectedError,
    UploadGoneError,
)
from edged.base.gate import GateFigures
from edged.base.retry import Backoff, delay, exhausted
from edged.push.body import OutrankedError
from edged.push.line import RevivedError

if TYPE_CHECKING:
    from random import Random

    from edged.model import Delivery
    from edged.push.settings import PushSettings


_OUTRANKED = 60.0  # seconds


class Fate(StrEnum):
    """What becomes of the delivery."""

    ASIDE = "aside"
    LATER = "later"
    DEAD = "dead"
    LOST = "lost"


class Mark(StrEnum):
    """What the destination's gate is told."""

    NOTHING = "nothing"
    SERVED = "served"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The delivery's fate and the seconds until its next attempt; the gate's mark and the seconds it stays closed."""

    fate: Fate
    wait: float = 0.0
    mark: Mark
    pause: float = 0.0
    possibly: bool = False  # it may have arrived all the same


def judge(error: DeliveryError, delivery: Delivery, silences: int, settings: PushSettings, rng: Random) -> Verdict:
    """Return the verdict on an attempt that ended in `error`; `silences` counts those without an answer in a row."""
    backoff = backoff_of(settings)
    match error:
        case FileLostError():
            verdict = Verdict(fate=Fate.LOST, mark=Mark.NOTHING)
        case RejectedError():
            verdict = Verdict(fate=Fate.DEAD, mark=Mark.SERVED)
        case RevivedError():
            verdict = Verdict(fate=Fate.ASIDE, mark=Mark.NOTHING)
        case OutrankedError():
            verdict = Verdict(fate=Fate.ASIDE, wait=_OUTRANKED, mark=Mark.NOTHING)
        case DeliveryError(retry_after=float(pause)):
            verdict = Verdict(fate=Fate.ASIDE, mark=Mark.CLOSED, pause=pause)
        case CredentialsError():
            verdict = Verdict(fate=Fate.ASIDE, mark=Mark.CLOSED, pause=settings.gate.credentials_pause)
        case RefusedError() | PossiblySentError():
            possibly = isinstance(error, PossiblySentError)
            spent = exhausted(backoff, delivery.attempts + 1)
            spent = spent or (possibly and delivery.possibly_sent + 1 >= settings.backoff.copies)
            verdict = Verdict(
                fate=Fate.DEAD if spent else Fate.LATER,
                wait=0.0 if spent else delay(backoff, delivery.attempts + 1, rng),
                mark=Mark.FAILED,
                possibly=possibly,
            )
        case _:
            mark = Mark.SERVED if isinstance(error, UploadGoneError) else Mark.FAILED
            verdict = Verdict(fate=Fate.ASIDE, wait=delay(backoff, silences + 1, rng), mark=mark)
    return verdict


def backoff_of(settings: PushSettings) -> Backoff:
    """Return the back-off that the settings ask for."""
    figures = settings.backoff
    return Backoff(first=figures.first, cap=figures.cap, budget=figures.budget)


def gate_figures(settings: PushSettings) -> GateFigures:
    """Return the gates' figures that the settings ask for."""
    figures = settings.gate
    return GateFigures(failures=figures.failures, pause=figures.pause, successes=figures.successes)
