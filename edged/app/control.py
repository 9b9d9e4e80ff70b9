"""The commands that a running daemon takes on its control socket."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from edged.app.enqueue import enqueue
from edged.app.standing import requeue, standing
from edged.app.tasks import CAPTURE, DETECT, RECORD
from edged.base.errors import EdgedError
from edged.outbox.commands import COMMANDS, outbox_retry
from edged.outbox.sidecar import refresh
from edged.supervise.control import ControlServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edged.app.world import World

    Handler = Callable[[dict[str, Any]], Awaitable[Any]]

_LONGEST = 24 * 3600.0  # seconds of a recording by hand
_ENTRY = 15.0  # seconds until a recording's incident must be on the disk
_LOOK = 0.1  # seconds between looks at what is waited for


def control_server(world: World, reload: Handler) -> ControlServer:
    """Return the server of every command; `reload` is the daemon's own."""
    handlers: dict[str, Handler] = {name: partial(command, world.outbox) for name, command in COMMANDS.items()}
    handlers |= {
        "outbox.retry": partial(_retry, world),
        "enqueue": partial(_enqueue, world),
        "record": partial(_record, world),
        "arm": partial(_arm, world),
        "drain": partial(_drain, world),
        "status": partial(_status, world),
        "describe": partial(_describe, world),
        "ensure": partial(_ensure, world),
        "standing": partial(_standing, world),
        "reload": reload,
    }
    return ControlServer(world.spool.control, handlers)


async def _retry(world: World, args: dict[str, Any]) -> dict[str, Any]:
    """Make deliveries due, and try paused destinations at once: whoever asks may have corrected a password."""
    result = await outbox_retry(world.outbox, args)
    world.outward.hasten(asked=True)
    return result


async def _enqueue(world: World, args: dict[str, Any]) -> Any:
    return await enqueue(world.outbox, world.spool, world.clock, world.destinations, args)


async def _record(world: World, args: dict[str, Any]) -> dict[str, str]:
    """Begin a recording by hand; the answer comes when its incident is safe on the disk."""
    eye = world.eyes.get(args["camera"])
    if eye is None:
        raise EdgedError(f"there is no camera {args['camera']!r}; known: {', '.join(world.eyes)}")
    if world.draining:
        raise EdgedError("edged watches no longer since `edged drain`; start it anew to record")
    seconds = float(args["seconds"])
    if not 1.0 <= seconds <= _LONGEST:
        raise EdgedError(f"a recording by hand takes 1 s to 24 h, not {seconds:g} s")
    if not eye.capture.health.delivering:
        raise EdgedError(f"camera {eye.name} gives no pictures now: {eye.capture.health.text}")
    incident = await eye.detector.start_manual(seconds)
    try:
        async with asyncio.timeout(_ENTRY):
            await _until(lambda: _known(world, incident))
    except TimeoutError:
        raise EdgedError(f"incident {incident} is not in the outbox after {_ENTRY:g} s: see edged's log") from None
    return {"incident": incident}


async def _arm(world: World, args: dict[str, Any]) -> dict[str, bool]:
    return await world.arming.order(args["order"], args["camera"])


async def _status(world: World, _args: dict[str, Any]) -> dict[str, Any]:
    return {name: {"well": state.delivering, "text": state.text} for name, state in world.health().items()}


async def _describe(world: World, _args: dict[str, Any]) -> dict[str, Any]:
    """Write the sidecars that are behind their rows: whoever compares the two asks for it."""
    outbox = world.outbox
    for incident in tuple(outbox.undescribed):
        outbox.undescribed.discard(incident)
        await refresh(outbox, incident)
    return {}


async def _ensure(world: World, _args: dict[str, Any]) -> dict[str, Any]:
    """Queue what is not under way, and try paused destinations at once."""
    result = await requeue(world.outbox, world.spool, world.destinations, world.clock)
    world.outward.hasten(asked=True)
    return result


async def _standing(world: World, _args: dict[str, Any]) -> dict[str, Any]:
    return await standing(world.outbox)


async def _drain(world: World, args: dict[str, Any]) -> dict[str, Any]:
    """Stop watching, close what is open, and wait until nothing waits; what no peer takes ends the wait."""
    patience = float(args["wait"])
    world.draining = True
    for stage in (CAPTURE, DETECT, RECORD):
        await world.supervisor.stop_stage(stage)
    world.outward.hasten(asked=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await _until(lambda: _emptied(world))
    waiting = (await world.outbox.backlog()).count
    return {"empty": not waiting, "waiting": waiting}


async def _known(world: World, incident: str) -> bool:
    return await world.outbox.incident(incident) is not None


async def _emptied(world: World) -> bool:
    return not await world.outbox.is_waiting()


async def _until(true: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await true():
            return
        await asyncio.sleep(_LOOK)
