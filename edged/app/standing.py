"""What is kept and not proven to be elsewhere, and why; and the queueing of what should be under way.

Queued again is a file without a delivery, and one that was refused before. Not what a person decided: what waits for
release goes on waiting, what was given up stays so (its loss is in the ledger).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edged.model import State
from edged.outbox.policy import RECEIVER
from edged.outbox.sweep import sweep
from edged.record.salvage import salvage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edged.base.clock import Clock
    from edged.model import Delivery
    from edged.outbox.nouns import StoredFile
    from edged.outbox.policy import Destinations
    from edged.outbox.spool import Spool
    from edged.outbox.store import Outbox

_GIVEN_UP = "given up by a person"


async def requeue(outbox: Outbox, spool: Spool, destinations: Destinations, clock: Clock) -> dict[str, Any]:
    """Queue what is not under way and return the standing, with the number of files that were found `lost`."""
    findings = await sweep(outbox, spool, destinations, clock)
    for file in await outbox.kept_files():
        if file.proven is None:
            for delivery in await outbox.deliveries_for(file.id):
                if delivery.state is State.DEAD:
                    await outbox.redrive(delivery.id)
    result = await standing(outbox)
    return result | {"lost": findings.missing, "safe": result["safe"] and not findings.missing}


async def requeue_alone(outbox: Outbox, spool: Spool, destinations: Destinations, clock: Clock) -> dict[str, Any]:
    """Do the same where no daemon runs: what a crash left unsealed is entered first. Nothing is under way then."""
    await salvage(outbox, spool, destinations)
    return await requeue(outbox, spool, destinations, clock) | {"alone": True}


async def standing(outbox: Outbox) -> dict[str, Any]:
    """Return what is kept and proven (files, bytes), what is being recorded, and what is not proven, each with why.

    `hopeless` ones don't come by themselves. `safe`: all that is kept is proven, or was given up by a person.
    """
    kept = await outbox.kept_files()
    unproven = [row for file in kept if file.proven is None and (row := await _row(outbox, file)) is not None]
    recording = len(await outbox.unclosed_incidents())
    given_up = sum(row["why"] == _GIVEN_UP for row in unproven)
    left = [row for row in unproven if row["why"] != _GIVEN_UP]
    proven = [file for file in kept if file.proven is not None]
    return {
        "safe": not left and not recording,
        "files": len(kept) - given_up,
        "bytes": sum(file.size for file in kept) - sum(row["size"] for row in unproven if row["why"] == _GIVEN_UP),
        "proven_files": len(proven),
        "proven_bytes": sum(file.size for file in proven),
        "recording": recording,
        "given_up": given_up,
        "unproven": left,
    }


async def _row(outbox: Outbox, file: StoredFile) -> dict[str, Any] | None:
    why, hopeless = reason(await outbox.deliveries_for(file.id))
    path = str(file.path.relative_to(outbox.root)) if file.path.is_relative_to(outbox.root) else str(file.path)
    return {"path": path, "incident": file.incident, "size": file.size, "why": why, "hopeless": hopeless}


def reason(deliveries: Sequence[Delivery]) -> tuple[str, bool]:
    """Return why a file is not proven to be elsewhere, and whether that does not change by itself.

    What was meant for the receiver only the receiver proves; a folder's copy is an extra one.
    """
    proving = [one for one in deliveries if one.destination == RECEIVER] or deliveries
    by = {state: next((one for one in proving if one.state is state), None) for state in State}
    if (waiting := by[State.PENDING]) is not None:
        last = f"; last time: {waiting.last_error}" if waiting.last_error else ""
        return f"on its way to {waiting.destination}{last}", False
    if (held := by[State.HELD]) is not None:
        return f"waits for its release: edged outbox retry {held.id}", True
    if (dead := by[State.DEAD]) is not None:
        return f"refused by {dead.destination}: {dead.last_error}", True
    if (done := by[State.DONE]) is not None:
        return f"{done.destination} took it and proves nothing", True
    if by[State.DROPPED] is not None:
        return _GIVEN_UP, True
    return "there is nowhere to send it: the configuration names neither a [receiver] nor a folder", True
