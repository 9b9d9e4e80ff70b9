"""Why edged left by itself, or had the machine rebooted: kept over the end, and told once by the next run."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec
import structlog

from edged.act.asking import REBOOT
from edged.act.ledger import LEDGER, read_ledger
from edged.base.clock import Stamp, stamp
from edged.base.disk import replace_synced
from edged.channels.times import full
from edged.outbox.nouns import Notice, NoticeKind
from edged.push.heartbeat import age

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.outbox.store import Outbox

log = structlog.get_logger(__name__)

_NAME = "left.json"
_SHOWN = 86_400.0  # seconds for which /health tells of it

_REBOOTED = (
    "This device was rebooted\n\nThe reason: {reason}. It watches again; a camera that is still missing needs a look at"
    " its power and its cable."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """What edged did `at` an instant, and why, as a clause; `id` is that of the notice to people."""

    id: str
    what: Literal["start", "reboot"]  # a new start of edged, or of the machine
    reason: str
    at: Stamp


class Farewell:
    """Keeps the reason in the state directory `state`; `ledger` tells which reboots were the helper's."""

    def __init__(self, outbox: Outbox, clock: Clock, *, state: Path, timezone: str, ledger: Path = LEDGER) -> None:
        self._outbox = outbox
        self._clock = clock
        self._path = state / _NAME
        self._timezone = timezone
        self._ledger = ledger
        self._last: Left | None = None

    async def note(self, what: Literal["start", "reboot"], reason: str) -> None:
        """Keep why edged is about to leave; a disk that refuses costs the telling, not the leaving."""
        left = Left(id=secrets.token_hex(16), what=what, reason=reason, at=stamp(self._clock))
        try:
            await asyncio.to_thread(replace_synced, self._path, msgspec.json.encode(left))
        except OSError as error:
            log.warning("reason not kept", path=str(self._path), reason=reason, error=error.strerror)

    async def forget(self) -> None:
        """Drop what was kept: it is told, or it did not come to it."""
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._path.unlink)

    async def tell(self, people: Sequence[str]) -> None:
        """Tell at the start what the last run left behind: in the log, to those who look, of a reboot to `people`."""
        left = await asyncio.to_thread(self._read)
        if left is None or (left.what == "reboot" and left.at.boot == self._clock.boot()):
            return  # nothing, or a reboot that is still to come
        if left.what == "start":
            log.warning("edged started anew by itself", reason=left.reason)
            self._last = left
        elif await asyncio.to_thread(self._is_helpers, left):
            log.warning("machine was rebooted", reason=left.reason, at=full(left.at, self._timezone))
            text = _REBOOTED.format(reason=left.reason)
            await self._outbox.add_notice(Notice(id=left.id, kind=NoticeKind.SYSTEM, since=left.at, text=text), people)
            self._last = left
        else:
            log.info("machine started anew, not for edged", asked_for=left.reason)
        await self.forget()

    def sentences(self) -> list[str]:
        """Return what the last run left behind, for people, for a day."""
        left = self._last
        if left is None or age(left.at, stamp(self._clock)) >= _SHOWN:
            return []
        what = "This device was rebooted" if left.what == "reboot" else "edged started anew by itself"
        return [f"{what} on {full(left.at, self._timezone)}: {left.reason}."]

    def _read(self) -> Left | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Left)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("reason of the last end unreadable", path=str(self._path), reason=str(error))
            with contextlib.suppress(OSError):
                self._path.unlink()
            return None

    def _is_helpers(self, left: Left) -> bool:
        """Return whether the helper did reboot in that boot; where nobody can know, it is believed."""
        try:
            entries = read_ledger(self._ledger)
        except (OSError, ValueError):
            return True
        return any(entry.what == REBOOT and entry.at.boot == left.at.boot for entry in entries)
