"""Exponential back-off with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS, 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """The figures of a back-off: `first` and `cap` in seconds, `budget` refusals before giving up."""

    first: float = 5.0
    cap: float = 900.0
    budget: int = 12


def delay(backoff: Backoff, attempt: int, rng: Random) -> float:
    """Return seconds to wait after refusal number `attempt` (from 1): uniform up to the doubled bound.

    Half of the first step is a floor, so that a run of low draws is no hammering.
    """
    bound = min(backoff.cap, backoff.first * 2.0 ** min(attempt - 1, 40))
    return max(backoff.first / 2, rng.uniform(0.0, bound))


def exhausted(backoff: Backoff, attempts: int) -> bool:
    """Return whether `attempts` refusals have used the budget up."""
    return attempts >= backoff.budget
