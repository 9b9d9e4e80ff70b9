"""Commands where no daemon runs: under its lock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from edged.app.enqueue import enqueue
from edged.app.standing import requeue_alone
from edged.app.world import destinations_of
from edged.base.clock import SystemClock
from edged.outbox.commands import COMMANDS
from edged.outbox.store import open_outbox

if TYPE_CHECKING:
    from edged.outbox.spool import Spool
    from edged.settings import DeviceConfig

KNOWN = ("enqueue", "ensure", *COMMANDS)


async def carry_out(config: DeviceConfig, spool: Spool, command: str, args: dict[str, Any]) -> Any:
    """Return the result of a command that is `KNOWN`; AlreadyRunningError when a daemon has the lock."""
    clock = SystemClock()
    await asyncio.to_thread(spool.prepare)
    with spool.lock():
        outbox = await open_outbox(spool.database, clock)
        try:
            if command == "enqueue":
                return await enqueue(outbox, spool, clock, destinations_of(config), args)
            if command == "ensure":
                return await requeue_alone(outbox, spool, destinations_of(config), clock)
            return await COMMANDS[command](outbox, args)
        finally:
            await outbox.close()
