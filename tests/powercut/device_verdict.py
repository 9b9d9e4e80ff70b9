"""What must hold of a device's state directory after a cut: opened, salvaged, swept by the real code, looked at.

The program said what it promised; each sentence returned is a promise that is broken, or a disorder left behind, and
begins with its kind: lost, duplicated, corrupt, left over.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import av

from edged.model import State
from edged.outbox.spool import SIDECAR, Spool
from edged.outbox.store import open_outbox
from edged.outbox.sweep import Findings, sweep
from edged.record.salvage import SalvageReport, salvage
from tests.outbox.world import HandClock
from tests.record.stage import DESTINATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edged.outbox.store import Outbox

_ORDERLY = {"outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.db.backup", "ballast", "lock", "clips", "documents"}
_TOLERANCE = 0.02  # seconds; the program rounds what it says


@dataclass(kw_only=True, slots=True)
class Promises:
    """What the program said before the cut, by ids and keys."""

    opened: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    clips: set[str] = field(default_factory=set)
    documents: set[str] = field(default_factory=set)
    delivered: set[str] = field(default_factory=set)
    sending: set[str] = field(default_factory=set)
    gaps: set[int] = field(default_factory=set)
    synced: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))  # seconds by incident, part


def promises(said: Iterable[str]) -> Promises:
    """Read the program's lines."""
    found = Promises()
    for text in said:
        line = json.loads(text)
        event = line.get("event")
        if event == "incident opened":
            found.opened.add(line["incident"])
        elif event == "incident closed":
            found.closed.add(line["incident"])
        elif event == "clip sealed":
            found.clips.add(line["clip"])
        elif event == "fragment synced":
            found.synced[line["incident"]][line["part"]] = line["seconds"]
        elif event is None:
            found.documents |= {line["document"]} if "document" in line else set()
            found.delivered |= {line["delivered"]} if "delivered" in line else set()
            found.sending |= {line["sending"]} if "sending" in line else set()
            found.gaps |= {line["gap"]} if "gap" in line else set()
    return found


class Verdict:
    """Judges states; a clip whose bytes it has seen is not decoded again."""

    def __init__(self) -> None:
        self._playable: dict[str, bool] = {}

    def judge(self, state: Path, said: Iterable[str], boot: str) -> list[str]:
        """Open `state` as the boot `boot` does and return what is wrong, [] for nothing."""
        return asyncio.run(self._judge(state, promises(said), HandClock(name=boot, ahead=1_790_000_000.0)))

    async def _judge(self, state: Path, promised: Promises, clock: HandClock) -> list[str]:
        spool = Spool(state)
        spool.prepare()
        outbox = await open_outbox(spool.database, clock)
        try:
            if outbox.rebuilt:
                return ["lost: the database was damaged and set aside"]
            await outbox.database.quick_check()
            await salvage(outbox, spool, DESTINATIONS)
            found = await sweep(outbox, spool, DESTINATIONS, clock)
            wrong = [f"lost: the sweep found {found.missing} files missing or changed"] if found.missing else []
            if await salvage(outbox, spool, DESTINATIONS) != SalvageReport():
                wrong.append("left over: a second salvage still finds something to do")
            if await sweep(outbox, spool, DESTINATIONS, clock) != Findings():
                wrong.append("left over: a second sweep still finds something to do")
            wrong += await self._broken(outbox, promised)
        finally:
            await outbox.close()
        return wrong + await asyncio.to_thread(self._disorder, state)

    async def _broken(self, outbox: Outbox, promised: Promises) -> list[str]:
        """Return the promises that the rows do not keep."""
        wrong = [f"left over: incident {one.id} is still open" for one in await outbox.unclosed_incidents()]
        for incident in promised.opened:
            dossier = await outbox.dossier(incident)
            if dossier is None:
                wrong.append(f"lost: incident {incident}")
            elif len({one.key for one in dossier.deliveries if one.kind == "alert"}) != len(DESTINATIONS.people):
                wrong.append(f"lost: alerts of incident {incident}")
        for kind, subjects in (("clip", promised.clips), ("document", promised.documents)):
            wrong += [f"lost: {kind} {subject}" for subject in subjects if await outbox.file(subject) is None]
        states = {one.key: one for one in await outbox.deliveries(limit=10_000)}
        undone = {key for key, delivery in states.items() if delivery.state != State.DONE}
        wrong += [f"duplicated: delivery {key} will be sent again" for key in promised.delivered & undone]
        unsure = promised.sending & undone
        wrong += [
            f"duplicated: mail {key} may have gone out and is not marked"
            for key in unsure
            if not states[key].possibly_sent
        ]
        known = {entry.id for entry in await outbox.gaps(limit=10_000)}
        wrong += [f"lost: gap {gap}" for gap in promised.gaps - known]
        for incident, parts in promised.synced.items():
            kept = {clip.part: clip.seconds for clip in await outbox.clips_of(incident)}
            wrong += [
                f"lost: part {part} of {incident} has {kept.get(part, 0.0):.2f} of {seconds} synced seconds"
                for part, seconds in parts.items()
                if seconds > kept.get(part, 0.0) + _TOLERANCE
            ]
        return wrong + [f"lost: a loss was entered, {loss.reason}" for loss in await outbox.losses()]

    def _disorder(self, state: Path) -> list[str]:
        """Return what rows and files disagree about, read without edged's code."""
        wrong = [f"left over: {path.name}" for path in state.iterdir() if path.name not in _ORDERLY]
        with sqlite3.connect(state / "outbox.db") as database:
            files = database.execute("SELECT path, size, sha256, deleted, what, id FROM files").fetchall()
            proven = {row[0] for row in database.execute("SELECT subject FROM deliveries WHERE proven = 1")}
        database.close()
        kept = set()
        for path, size, sha256, deleted, what, identity in files:
            file = state / path
            if deleted is not None:
                wrong += [f"lost: {path} was deleted without a receipt"] * (identity not in proven)
                continue
            kept.add(file)
            data = file.read_bytes() if file.exists() else b""
            if (len(data), hashlib.sha256(data).hexdigest()) != (size, sha256):
                wrong.append(f"corrupt: {path} is not what its row says")
            elif what == "clip" and not self._plays(file, sha256):
                wrong.append(f"corrupt: {path} does not play")
        there = {path for folder in ("clips", "documents") for path in (state / folder).rglob("*") if path.is_file()}
        wrong += [f"left over: {path} has no row" for path in there - kept if path.name != SIDECAR]
        ballast = state / "ballast"
        return wrong + ["lost: the ballast is empty"] * (not ballast.stat().st_size)

    def _plays(self, path: Path, sha256: str) -> bool:
        if sha256 not in self._playable:
            try:
                with av.open(str(path)) as clip:
                    self._playable[sha256] = any(True for _ in clip.decode(video=0))
            except av.error.FFmpegError:
                self._playable[sha256] = False
        return self._playable[sha256]
