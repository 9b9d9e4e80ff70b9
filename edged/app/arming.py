"""Whether incidents raise alerts: the schedule, and a person's order that stands until the next one."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Literal, get_args
from zoneinfo import ZoneInfo

import structlog

from edged.base.clock import stamp
from edged.base.disk import replace_synced
from edged.base.errors import EdgedError
from edged.base.week import parse_span
from edged.channels import times

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.base.week import Span
    from edged.model import Incident

log = structlog.get_logger(__name__)

Order = Literal["arm", "disarm", "auto"]


def armed(order: Order, spans: Sequence[Span], wall: float | None, zone: ZoneInfo) -> bool:
    """Return whether alerts are raised at `wall` (Unix seconds): an order decides, else the schedule, else always.

    Without a `wall`, before the clock is set, what the schedule says can't be known, and alerts are raised.
    """
    if order != "auto":
        return order == "arm"
    return not spans or wall is None or any(span.holds(wall, zone) for span in spans)


class Arming:
    """The orders of every camera, kept in a file of the state directory so that a restart changes nothing."""

    def __init__(
        self, path: Path, cameras: Iterable[str], *, schedule: Sequence[str], timezone: str, clock: Clock
    ) -> None:
        self._path = path
        self._clock = clock
        self._zone = ZoneInfo(timezone)
        self._spans = tuple(parse_span(text) for text in schedule)
        self._orders: dict[str, Order] = dict.fromkeys(cameras, "auto")

    def adopt(self, schedule: Sequence[str]) -> None:
        """Follow another schedule from now on; orders stand."""
        self._spans = tuple(parse_span(text) for text in schedule)

    async def load(self) -> None:
        """Take up the orders given before the last stop; a damaged file leaves the schedule in charge and says so."""
        try:
            self._orders |= _known(json.loads(await asyncio.to_thread(self._path.read_text)), self._orders)
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            log.warning("arming orders unreadable, following the schedule", file=str(self._path), reason=str(error))

    async def order(self, order: Order, camera: str | None) -> dict[str, bool]:
        """Give an order for one camera, or for all; return what holds now by camera.

        Raises EdgedError: there is no such order or camera, or it can't be kept and so is not followed either.
        """
        if order not in get_args(Order):
            raise EdgedError(f"{order!r} is no order; known: {', '.join(get_args(Order))}")
        if camera is not None and camera not in self._orders:
            raise EdgedError(f"there is no camera {camera!r}; known: {', '.join(self._orders)}")
        orders = self._orders | dict.fromkeys(self._orders if camera is None else (camera,), order)
        try:
            await asyncio.to_thread(replace_synced, self._path, json.dumps(orders).encode())
        except OSError as error:
            raise EdgedError(f"{self._path} can't be written, nothing was changed: {error.strerror}") from error
        self._orders = orders
        log.info("arming ordered", order=order, camera=camera or "all")
        return {name: self.is_armed(name) for name in self._orders}

    def is_armed(self, camera: str) -> bool:
        """Return whether the camera's incidents raise alerts now."""
        now = stamp(self._clock)
        return armed(self._orders[camera], self._spans, now.wall if times.is_set(now) else None, self._zone)

    def why_silent(self, incident: Incident) -> str:
        """Return "disarmed" when the incident raises no alert for that reason, else ""; a person's own always does."""
        return "" if incident.kind == "manual" or self.is_armed(incident.camera) else "disarmed"


def _known(kept: Any, cameras: Iterable[str]) -> dict[str, Order]:
    """Return the orders of `cameras` in the file's content; ValueError when it is none of ours."""
    if not isinstance(kept, dict):
        raise ValueError("it holds no orders")
    orders = {name: kept[name] for name in cameras if name in kept}
    for name, order in orders.items():
        if order not in get_args(Order):
            raise ValueError(f"{order!r} is no order for camera {name}")
    return orders
