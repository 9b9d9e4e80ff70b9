"""What the demo achieved, found out by its own means: both databases, the files and the mails themselves."""

from __future__ import annotations

import email
import email.policy
import hashlib
import shutil
import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The counts of the JSON line; `missing` says in words what keeps the demo from having succeeded."""

    incidents: int
    alerts_received: int
    alerts_held_back: int
    clips_received: int
    clips_verified: int
    duplicates: int
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Mail:
    message_id: str
    recipient: str
    kind: str
    incidents: tuple[str, ...]


def examine(out: Path) -> Findings:
    """Compare what the device says happened with what the receiver and the mailbox hold."""
    device = _rows(out / "device" / "outbox.db", "SELECT id, held FROM incidents")
    parts = _rows(out / "device" / "outbox.db", "SELECT incident, sha256, size FROM files WHERE what = 'clip'")
    arrived = _rows(out / "receiver" / "receiver.db", "SELECT incident, sha256, size FROM file WHERE kind = 'clip'")
    known = [row[0] for row in _rows(out / "receiver" / "receiver.db", "SELECT id FROM incident")]
    mails = _mails(out / "mails")
    stored = {path.name: path for path in (out / "receiver" / "blobs").glob("*/*")}
    sound = {row for row in arrived if row[1] in stored and _digest(stored[row[1]]) == row[1]}
    sent = {incident for incident, _, _ in parts}
    verified = {i for i in sent if all(row in sound for row in parts if row[0] == i)}
    told = {incident for mail in mails for incident in mail.incidents}
    alerts = {(mail.message_id, mail.recipient) for mail in mails if mail.kind in {"alert", "digest"}}
    by_id = {(mail.message_id, mail.recipient): mail for mail in mails}
    twice = len(mails) - len(by_id)  # the same mail again
    twice += _repeats((incident, mail.recipient) for mail in by_id.values() for incident in mail.incidents)
    twice += _repeats(known) + _repeats(arrived)
    return Findings(
        incidents=len(device),
        alerts_received=len(alerts),
        alerts_held_back=sum(held == "cooldown" for _, held in device),
        clips_received=len({incident for incident, _, _ in arrived}),
        clips_verified=len(verified),
        duplicates=twice,
        missing=tuple(_missing(device, verified, told)),
    )


def _repeats(items: Iterable[object]) -> int:
    return sum(count - 1 for count in Counter(items).values())


def _missing(device: list[tuple[str, ...]], verified: set[str], told: set[str]) -> list[str]:
    lacks = [f"incident {incident[:8]} has no verified clip" for incident, _ in device if incident not in verified]
    lacks += [f"incident {incident[:8]} has no alert" for incident, held in device if not held and incident not in told]
    return lacks if device else ["there was no incident"]


def collect_clips(out: Path) -> int:
    """Put what arrived at the receiver into DIR/clips under readable names; return how many files that are."""
    rows = _rows(
        out / "receiver" / "receiver.db",
        "SELECT strftime('%Y%m%d-%H%M%S', opened, 'unixepoch'), camera, substr(incident.id, 1, 8), name, sha256"
        " FROM file JOIN incident ON incident.id = file.incident WHERE kind IN ('clip', 'snapshot')",
    )
    (out / "clips").mkdir(exist_ok=True)
    for opened, camera, incident, name, digest in rows:
        source = out / "receiver" / "blobs" / digest[:2] / digest
        shutil.copy(source, out / "clips" / f"{opened}-{camera}-{incident}-{name}")
    return len(rows)


def _mails(folder: Path) -> list[_Mail]:
    found = []
    for path in sorted(folder.glob("*.eml")):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        found.append(
            _Mail(
                message_id=str(message["Message-ID"]),
                recipient=str(message["X-RcptTo"] or message["To"]),
                kind=str(message["X-Edged-Kind"]),
                incidents=tuple(str(message["X-Edged-Incident"] or "").replace(",", " ").split()),
            )
        )
    return found


def _rows(path: Path, query: str) -> list[tuple[str, ...]]:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return [tuple(row) for row in database.execute(query)]
    finally:
        database.close()


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1024 * 1024):
            digest.update(piece)
    return digest.hexdigest()
