"""Since when each camera is lost, or sees nothing: what the notices to people and the last resort go by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edged.model import Health


def lost_since(known: Mapping[str, float], health: Mapping[str, Health], now: float) -> dict[str, float]:
    """Return since when (mono) each camera that does not deliver is lost; `known` is the answer of the last look.

    A camera that delivers, or is no longer watched, is not in it: its next outage counts from its own beginning.
    """
    return {name: known.get(name, now) for name, state in health.items() if not state.delivering}


def blind_since(known: Mapping[str, float], health: Mapping[str, Health], now: float) -> dict[str, float]:
    """Return likewise since when each camera that delivers shows nothing of use: dark, covered or moved."""
    blind = (name for name, state in health.items() if state.delivering and state.signs)
    return {name: known.get(name, now) for name in blind}
