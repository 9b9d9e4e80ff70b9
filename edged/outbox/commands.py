"""What a person may ask of the outbox: commands as plain functions that take arguments and return JSON-able values.

The daemon serves them on its control socket; without a daemon the command line calls them under the directory's lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edged.base.errors import EdgedError
from edged.model import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edged.base.clock import Stamp
    from edged.model import Clip, Delivery, Incident, Snapshot
    from edged.outbox.nouns import Dossier
    from edged.outbox.store import Outbox

_LIMIT = 50  # rows that a listing returns unless told otherwise


class BadCommandError(EdgedError):
    """A command's arguments make no sense, or name what is not there."""


async def outbox_list(outbox: Outbox, args: dict[str, Any]) -> dict[str, Any]:
    """List deliveries, newest first: `state` (one of the states, or all), `limit`, `before` (an id)."""
    states = _states(args.get("state"))
    found = await outbox.deliveries(states, limit=_number(args, "limit", _LIMIT), before=_optional(args, "before"))
    counts, backlog = await outbox.counts(), await outbox.backlog()
    return {
        "deliveries": [delivery_row(delivery) for delivery in found],
        "counts": {name: getattr(counts, name) for name in counts.__slots__},
        "backlog": {"count": backlog.count, "bytes": backlog.bytes, "oldest": _stamp(backlog.oldest)},
    }


async def outbox_show(outbox: Outbox, args: dict[str, Any]) -> dict[str, Any]:
    """Show one delivery: `id`."""
    return delivery_row(await _find_delivery(outbox, args))


async def outbox_retry(outbox: Outbox, args: dict[str, Any]) -> dict[str, Any]:
    """Send at once what waits, is dead or held for release: `id` of one, or `all` that are dead or held."""
    if args.get("all") is True:
        return {"retried": await _retry_all(outbox)}
    delivery = await _find_delivery(outbox, args)
    if not await outbox.redrive(delivery.id):
        raise BadCommandError(f"delivery {delivery.id} is {delivery.state}, or its file is gone: it can't be sent")
    return {"retried": [delivery.id]}


async def outbox_drop(outbox: Outbox, args: dict[str, Any]) -> dict[str, Any]:
    """Give a delivery up for good, which is entered as a loss: `id`."""
    delivery = await _find_delivery(outbox, args)
    if not await outbox.drop(delivery.id):
        raise BadCommandError(f"delivery {delivery.id} is {delivery.state}: there is nothing to drop")
    return {"dropped": [delivery.id]}


async def incidents_list(outbox: Outbox, args: dict[str, Any]) -> dict[str, Any]:
    """List incidents, newest first: `limit`, `before` (an id)."""
    before = args.get("before")
    if before is not None and not isinstance(before, str):
        raise BadCommandError("before: must be an incident's id")
    found = await outbox.incidents(_number(args, "limit", _LIMIT), before)
    return {"incidents": [_incident(incident) for incident in found]}


async def incidents_show(outbox: Outbox, args: dict[str, Any]) -> dict[str, Any]:
    """Show an incident with its clips, snapshots and deliveries: `id`."""
    found = await outbox.dossier(str(args.get("id", "")))
    if found is None:
        raise BadCommandError(f"there is no incident {args.get('id', '')!r}; `edged incidents list` shows them")
    return incident_row(found)


def incident_row(dossier: Dossier) -> dict[str, Any]:
    """Return what `incidents.show` tells of an incident."""
    return _incident(dossier.incident) | {
        "clips": [_clip(clip) for clip in dossier.clips],
        "snapshots": [_snapshot(snapshot) for snapshot in dossier.snapshots],
        "deliveries": [delivery_row(delivery) for delivery in dossier.deliveries],
    }


COMMANDS: dict[str, Callable[[Outbox, dict[str, Any]], Awaitable[dict[str, Any]]]] = {
    "outbox.list": outbox_list,
    "outbox.show": outbox_show,
    "outbox.retry": outbox_retry,
    "outbox.drop": outbox_drop,
    "incidents.list": incidents_list,
    "incidents.show": incidents_show,
}


async def _retry_all(outbox: Outbox) -> list[int]:
    retried: list[int] = []
    before: int | None = None
    while page := await outbox.deliveries((State.DEAD, State.HELD), limit=_LIMIT, before=before):
        retried += [delivery.id for delivery in page if await outbox.redrive(delivery.id)]
        before = page[-1].id
    return retried


async def _find_delivery(outbox: Outbox, args: dict[str, Any]) -> Delivery:
    number = _optional(args, "id")
    found = None if number is None else await outbox.delivery(number)
    if found is None:
        raise BadCommandError(f"there is no delivery {args.get('id', '')}; `edged outbox list` shows them")
    return found


def _states(state: object) -> tuple[State, ...]:
    if state is None or state == "all":
        return ()
    try:
        return (State(str(state)),)
    except ValueError as error:
        raise BadCommandError(f"state: {state!r} is none of all, {', '.join(State)}") from error


def _number(args: dict[str, Any], name: str, default: int) -> int:
    value = _optional(args, name)
    return default if value is None else value


def _optional(args: dict[str, Any], name: str) -> int | None:
    value = args.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise BadCommandError(f"{name}: must be a whole number above zero")
    return value


def _stamp(stamp: Stamp | None) -> dict[str, Any] | None:
    return None if stamp is None else {"wall": stamp.wall, "synced": stamp.synced}


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "camera": incident.camera,
        "kind": incident.kind.value,
        "zones": list(incident.zones),
        "opened": _stamp(incident.opened),
        "closed": _stamp(incident.closed),
        "alerting": incident.alerting,
        "held": incident.held,
        "continues": incident.continues,
        "recovered": incident.recovered,
    }


def _clip(clip: Clip) -> dict[str, Any]:
    return {
        "id": clip.id,
        "part": clip.part,
        "path": str(clip.path),
        "size": clip.size,
        "sha256": clip.sha256,
        "start": _stamp(clip.start),
        "seconds": clip.seconds,
    }


def _snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "id": snapshot.id,
        "seq": snapshot.seq,
        "path": str(snapshot.path),
        "size": snapshot.size,
        "sha256": snapshot.sha256,
        "taken": _stamp(snapshot.taken),
    }


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """Return what `outbox.show` tells of a delivery."""
    receipt = delivery.receipt
    return {
        "id": delivery.id,
        "key": delivery.key,
        "kind": delivery.kind.value,
        "priority": delivery.priority,
        "destination": delivery.destination,
        "incident": delivery.incident,
        "subject": delivery.subject,
        "size": delivery.size,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "possibly_sent": delivery.possibly_sent,
        "last_error": delivery.last_error,
        "proof": None if receipt is None else receipt.proof.value,
        "created": _stamp(delivery.created),
    }
