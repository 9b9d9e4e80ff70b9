"""What `edged fsck` may find, and the comparisons that find it: plain functions over rows and what the disk holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum, unique
from pathlib import Path
from typing import TYPE_CHECKING

from edged.model import DeliveryKind, State
from edged.outbox.policy import drafts_key
from edged.outbox.sidecar import Sidecar
from edged.wire.receipt import Proof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edged.base.clock import Stamp
    from edged.model import Delivery
    from edged.wire.receipt import Receipt


@unique
class Kind(StrEnum):
    """What is wrong; the value says what putting it right would do. The order is that of the repair."""

    DATABASE = "set it aside, go on from its copy and enter again what the files and sidecars tell"
    COPY = "take the copy anew"
    HALF = "remove it: a crash ended the write"
    MISTOLD = "correct the row: the file is what its sidecar says"
    MISPLACED = "correct the path in the row"
    MISKEYED = "correct the row"
    UNKNOWN = "cut it back to what is whole, enter and queue it; alerts that may not have gone out are told once"
    OPEN = "close it at its last picture"
    SIDECAR = "take from it what only it knows, and write it anew from the rows"
    RECEIPT = "forget the receipt and have the file proven anew"
    CHANGED = "keep it aside as {name}.damaged and note it as gone, a loss unless it is proven to be elsewhere"
    MISSING = "note it as gone, which is a loss unless it is proven to be elsewhere"
    UNPROVEN = "enter the loss"
    RISEN = "take it back among the files that are kept and send it"
    REMNANT = "remove it"
    ORPHAN = "give it up and enter the loss"
    UNQUEUED = "queue it"
    DOCUMENT = "enter and queue it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is wrong with `subject`: the id of a file, an incident or a delivery, or a path."""

    kind: Kind
    subject: str
    text: str

    @property
    def remedy(self) -> str:
        """What putting it right would do."""
        return self.kind.value.format(name=self.text.split(maxsplit=1)[0].rsplit("/", 1)[-1])


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRow:
    """A row of `files`. `shown` is its path for people; `deleted` is why it is gone, None while it is kept."""

    id: str
    what: str
    incident: str | None
    name: str
    path: Path
    shown: str
    size: int
    sha256: str
    deleted: str | None
    told: bool  # its loss stands in the ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What lies at a path: size in bytes and SHA-256; `trouble` when it can't be read. A missing file is None."""

    size: int = 0
    sha256: str = ""
    trouble: str = ""


def judge_kept(file: FileRow, seen: Seen | None, told: Sidecar | None) -> Iterator[Finding]:
    """Compare a file that should be here with what is; `told` is its incident's sidecar, if that can be read."""
    if seen is None:
        yield Finding(kind=Kind.MISSING, subject=file.id, text=f"{file.shown} is missing")
    elif seen.trouble:
        yield Finding(kind=Kind.CHANGED, subject=file.id, text=f"{file.shown} can't be read: {seen.trouble}")
    elif (seen.size, seen.sha256) != (file.size, file.sha256):
        what = (
            f"{seen.size} bytes instead of {file.size}" if seen.size != file.size else "other bytes than were recorded"
        )
        agreed = told is not None and (file.id, seen.size, seen.sha256) in {
            (one.id, one.size, one.sha256) for one in told.files
        }
        kind = Kind.MISTOLD if agreed else Kind.CHANGED
        yield Finding(kind=kind, subject=file.id, text=f"{file.shown} has {what}")


def judge_gone(file: FileRow, *, proven: bool, present: bool) -> Iterator[Finding]:
    """Judge a file that was deleted: it has to be proven elsewhere or to stand in the ledger, and to be gone."""
    if present and proven:
        yield Finding(kind=Kind.REMNANT, subject=file.id, text=f"{file.shown} is still here, deleted: {file.deleted}")
    elif present:
        text = f"{file.shown} is still here, given up ({file.deleted}) though nothing proves that it is elsewhere"
        yield Finding(kind=Kind.RISEN, subject=file.id, text=text)
    elif not proven and not file.told:
        text = f"{file.shown} was deleted ({file.deleted}), with neither a receipt nor a loss in the ledger"
        yield Finding(kind=Kind.UNPROVEN, subject=file.id, text=text)


def judge_deliveries(
    file: FileRow,
    deliveries: Sequence[Delivery],
    proven: frozenset[int],
    verify: Callable[[Receipt], bool] | None,
    *,
    stores: bool,
) -> Iterator[Finding]:
    """Compare a file's deliveries with it; `proven` are those that count as proof, `verify` knows the signing key."""
    for delivery in deliveries:
        wrong = _receipt_wrong(file, delivery, verify)
        if not wrong and (delivery.id in proven) != (
            delivery.receipt is not None and delivery.receipt.permits_deletion
        ):
            wrong = "counts as proof and is none" if delivery.id in proven else "is a proof and does not count as one"
        if wrong:
            text = f"{file.shown} to {delivery.destination}: the receipt {wrong}"
            yield Finding(kind=Kind.RECEIPT, subject=str(delivery.id), text=text)
        key = drafts_key(file.id, delivery.destination)
        if (delivery.key, delivery.size) != (key, file.size):
            text = f"delivery {delivery.id} names {delivery.key} with {delivery.size} bytes, not {key} with {file.size}"
            yield Finding(kind=Kind.MISKEYED, subject=str(delivery.id), text=text)
    if stores and not deliveries and file.deleted is None:
        yield Finding(kind=Kind.UNQUEUED, subject=file.id, text=f"{file.shown} was never queued for any destination")


def judge_alert(delivery: Delivery, *, known: bool) -> Iterator[Finding]:
    """Judge a delivery that carries no file: of an alert, whether what it tells of is `known`."""
    if delivery.state in {State.DONE, State.DROPPED}:
        return
    if delivery.kind is not DeliveryKind.ALERT or not known:
        text = f"delivery {delivery.id} ({delivery.kind} to {delivery.destination}) is of nothing that is known"
        yield Finding(kind=Kind.ORPHAN, subject=str(delivery.id), text=text)
    elif delivery.key != drafts_key(delivery.subject, delivery.destination):
        text = f"delivery {delivery.id} has the key {delivery.key}, which is not its own"
        yield Finding(kind=Kind.MISKEYED, subject=str(delivery.id), text=text)


def judge_sidecar(
    incident: str, found: Sidecar | str | None, rows: Sidecar, unproven: frozenset[str]
) -> Iterator[Finding]:
    """Compare an incident's sidecar (as read, or why it can't be) with what its rows say now.

    It may hold more than they do, for rows of what was finished long ago are pruned; but no receipt of a delivery that
    is `unproven` (by key).
    """
    if found is None:
        wrong = "is missing"
    elif isinstance(found, str):
        wrong = f"is no use: {found}"
    elif found.incident.id != incident:
        wrong = f"tells of another incident, {found.incident.id}"
    else:
        differ = dict.fromkeys(_differences(_timeless(found), _timeless(rows)))
        if any(one.key in unproven for one in found.receipts):
            differ["receipts"] = None
        wrong = ", ".join(differ)
        wrong = wrong and f"and the rows differ in {wrong}"
    if wrong:
        yield Finding(kind=Kind.SIDECAR, subject=incident, text=f"the sidecar of incident {incident} {wrong}")


def _differences(found: Sidecar, rows: Sidecar) -> Iterator[str]:
    if found.incident != rows.incident:
        yield "the incident itself"
    for name in ("clips", "snapshots", "receipts", "alerts"):
        if not set(getattr(rows, name)) <= set(getattr(found, name)):
            yield name


def _timeless(told: Sidecar) -> Sidecar:
    """Leave out what may differ: times, which the rows correct when the clock is set, and directories."""
    incident = told.incident
    closed = None if incident.closed is None else _bare(incident.closed)
    return Sidecar(
        incident=replace(incident, opened=_bare(incident.opened), closed=closed),
        clips=tuple(replace(one, start=_bare(one.start), path=Path(one.path.name)) for one in told.clips),
        snapshots=tuple(replace(one, taken=_bare(one.taken), path=Path(one.path.name)) for one in told.snapshots),
        receipts=told.receipts,
        alerts=told.alerts,
    )


def _bare(stamp: Stamp) -> Stamp:
    return replace(stamp, wall=0.0, synced=False)


def _receipt_wrong(file: FileRow, delivery: Delivery, verify: Callable[[Receipt], bool] | None) -> str:
    receipt = delivery.receipt
    if receipt is None:
        return ""
    if receipt.key != delivery.key:
        return f"is for {receipt.key}, not for {delivery.key}"
    if (receipt.size, receipt.sha256) != (file.size, file.sha256):
        return "is for other bytes"
    # of a file that is gone the signature can't be had anew: after a change of the key the old ones stay as they are
    if verify is not None and receipt.proof is Proof.SIGNED and file.deleted is None and not verify(receipt):
        return "is not signed with this device's key"
    return ""
