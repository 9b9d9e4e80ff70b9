"""`edged fsck`: rows, sidecars, files and receipts held against each other, and with --repair put right.

To look changes nothing, and may be done beside a running daemon: what is found then is looked at a second time, after
the daemon has written the sidecars that it owes, and told only if it is still there. To repair needs the directory's
lock, so no daemon may run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edged.app.client import owner
from edged.app.listing import size
from edged.app.world import destinations_of
from edged.base.clock import SystemClock
from edged.base.errors import EdgedError
from edged.base.lock import is_held
from edged.outbox.examination import Examination
from edged.outbox.findings import Kind
from edged.outbox.mending import Mender
from edged.outbox.spool import Spool
from edged.outbox.store import open_outbox
from edged.record.salvage import salvage
from edged.supervise.control import NoDaemonError, call
from edged.wire import receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edged.outbox.findings import Finding
    from edged.outbox.store import Outbox
    from edged.settings import DeviceConfig
    from edged.wire.receipt import Receipt

CLEAN, FOUND, UNABLE = 0, 1, 2
_AGAIN = 2.0  # seconds until what a running daemon may only have been busy with is looked at again
_DESCRIBE = 60.0  # seconds that a daemon may take to write the sidecars it owes
_ROUNDS = 4 * len(Kind)  # of mending one kind after another; what is left then can't be mended
_TRIES = 3  # what is mended may come about again, by the mending of something else
_SALVAGED = {Kind.DATABASE, Kind.UNKNOWN, Kind.OPEN}


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was found, as lines for people, and the command's exit code."""

    lines: tuple[str, ...]
    code: int


async def fsck(config: DeviceConfig, *, repair: bool) -> Report:
    """Examine a device's state directory, and put right what is wrong if asked.

    EdgedError says what keeps it from being examined or repaired: a daemon, another owner, a newer schema.
    """
    spool = Spool(config.device.state, require_mount=config.device.require_mount)
    await _require_own(spool)
    alive = await _describe(spool)
    if repair and alive:
        raise EdgedError(f"an edged runs on {spool.root}: stop it before a repair; nothing was changed")
    stores = bool(destinations_of(config).stores)
    look = Examination(spool=spool, stores=stores, verify=await asyncio.to_thread(_verifier, config), alive=alive)
    if repair:
        return await _repair(config, spool, look)
    found = await _found(look)
    if found and alive:
        await asyncio.sleep(_AGAIN)
        await _describe(spool)
        again = {(finding.kind, finding.subject) for finding in await _found(look)}
        found = tuple(finding for finding in found if (finding.kind, finding.subject) in again)
    return Report(lines=(*_lines(found), *_notes(look), _summary(look, found)), code=FOUND if found else CLEAN)


async def _require_own(spool: Spool) -> None:
    if not await asyncio.to_thread(spool.root.is_dir):
        raise EdgedError(f"{spool.root} is no directory: there is nothing to examine; see device.state")
    stranger = await asyncio.to_thread(owner, spool.root)
    if stranger:
        raise EdgedError(f"{spool.root} belongs to {stranger}: run this command as that user")


async def _describe(spool: Spool) -> bool:
    """Have a running daemon write the sidecars that it owes; return whether there is one."""
    try:
        await call(spool.control, "describe", {}, timeout=_DESCRIBE)
    except NoDaemonError:
        return await asyncio.to_thread(is_held, spool.root / "lock")  # one that only starts, or another command
    return True


def _verifier(config: DeviceConfig) -> Callable[[Receipt], bool] | None:
    """Return what holds a receipt's signature to the device's key; None where the key can't be had."""
    if config.receiver is None or config.receiver.key is None:
        return None
    try:
        key = config.receiver.key.reveal()
    except ValueError:
        return None
    return lambda proof: receipt.verify(proof, key)


async def _found(look: Examination) -> tuple[Finding, ...]:
    return await asyncio.to_thread(lambda: tuple(look.run()))


async def _repair(config: DeviceConfig, spool: Spool, look: Examination) -> Report:
    clock = SystemClock()
    with spool.lock():
        found = await _found(look)
        if not found:
            return Report(lines=(*_notes(look), _summary(look, found)), code=CLEAN)
        outbox = await open_outbox(spool.database, clock)
        try:
            mended, left = await _mend(config, look, outbox, found)
        finally:
            await outbox.close()
    lines = [f"{finding.text} -> done: {finding.remedy}" for finding in mended]
    lines += [f"{finding.text} -> this could not be put right" for finding in left]
    return Report(lines=(*lines, *_notes(look), _summary(look, left)), code=UNABLE if left else FOUND)


async def _mend(
    config: DeviceConfig, look: Examination, outbox: Outbox, found: tuple[Finding, ...]
) -> tuple[Sequence[Finding], Sequence[Finding]]:
    """Mend kind after kind, looking anew after each: what one was the cause of is gone then. Return done and left."""
    destinations = destinations_of(config)
    mender = Mender(outbox, look.spool, destinations, SystemClock(), look.verify)
    done: Counter[Finding] = Counter()
    for _ in range(_ROUNDS):
        open_kinds = {finding.kind for finding in found if done[finding] < _TRIES}
        if not open_kinds:
            break
        kind = min(open_kinds, key=list(Kind).index)
        batch = [finding for finding in found if finding.kind is kind]
        if kind in _SALVAGED:
            await salvage(outbox, look.spool, destinations)
        else:
            for finding in batch:
                await mender.mend(finding)
        done.update(batch)
        found = await _found(look)
    return [finding for finding in done if finding not in found], found


def _lines(found: Sequence[Finding]) -> list[str]:
    return [f"{finding.text} -> would {finding.remedy}" for finding in found]


def _notes(look: Examination) -> list[str]:
    return [f"note: {note}" for note in sorted(look.notes)]


def _summary(look: Examination, found: Sequence[Finding]) -> str:
    seen = f"{look.incidents} incidents and {look.files} files ({size(look.bytes)}) examined"
    return f"{seen}: {f'{len(found)} findings' if found else 'nothing is wrong'}"
