"""What must hold of a receiver's directory after a cut: started by the real code, asked by its devices, then looked at.

Each sentence returned is an acknowledgement that does not hold, or a disorder left behind, and begins with its kind.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edged.base.clock import SystemClock
from edged.receiver.app import serve
from edged.wire import faults, receipt
from tests.powercut.receiver_program import KEY, config_of, content
from tests.receiver.client import Device, manifest_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edged.receiver.app import Serving

_ORDERLY = {"receiver.db", "receiver.db-wal", "receiver.db-shm", "receiver.db.backup", "lock"}
_ORDERLY |= {"blobs", "partial", "records"}


@dataclass(kw_only=True, slots=True)
class Acknowledged:
    """What the receiver had answered before the cut."""

    devices: list[str] = field(default_factory=list)
    created: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # by location: device, key, size
    offsets: dict[str, int] = field(default_factory=dict)  # by location
    leaving: set[str] = field(default_factory=set)  # uploads that were given up
    receipts: list[tuple[str, str, str]] = field(default_factory=list)  # device, key, SHA-256
    sequences: dict[str, int] = field(default_factory=dict)  # by device


def acknowledged(said: Iterable[str]) -> Acknowledged:
    """Read the program's lines."""
    found = Acknowledged()
    for text in said:
        ((kind, value),) = json.loads(text).items()
        if kind == "devices":
            found.devices = value
        elif kind == "created":
            device, location, key, size = value
            found.created[location] = (device, key, size)
        elif kind == "offset":
            found.offsets[value[0]] = value[1]
        elif kind == "leaving":
            found.leaving.add(value)
        elif kind == "receipt":
            found.receipts.append(tuple(value))
        elif kind == "sequence":
            found.sequences[value[0]] = value[1]
    return found


def judge(state: Path, said: Iterable[str], *, ordered: bool) -> list[str]:
    """Start the receiver on `state` and return what is wrong, [] for nothing.

    On a file system that is not `ordered` an upload may have to be sent anew: what is wrong in it is found out.
    """
    return asyncio.run(_judge(state, acknowledged(said), ordered=ordered))


async def _judge(state: Path, told: Acknowledged, *, ordered: bool) -> list[str]:
    wrong: list[str] = []
    async with serve(config_of(state)) as serving:
        now = SystemClock().wall()
        for name in told.devices:
            if await serving.world.registry.device(name) is None:
                return [f"lost: device {name} is not known any more"]
            async with Device(f"http://127.0.0.1:{serving.port}", name, KEY, now) as device:
                wrong += await _ask(device, told, ordered=ordered)
                wrong += await _sequence(serving, name, told)
    return wrong + await asyncio.to_thread(_disorder, state)


async def _ask(device: Device, told: Acknowledged, *, ordered: bool) -> list[str]:
    """Ask for each receipt again, and send the rest of each upload."""
    wrong: list[str] = []
    for name, key, sha256 in told.receipts:
        if name == device.name:
            answer = await device.request("GET", f"/receipts/{key}")
            if answer.status != 200 or receipt.from_json(answer.body).sha256 != sha256:
                wrong.append(f"lost: the receipt for {key} is not given again: {answer.status}")
    for location, (name, key, size) in told.created.items():
        if name == device.name and location not in told.leaving:
            known = told.offsets.get(location, 0)
            wrong += await _finish(device, location, content(key, size), key, known=known, ordered=ordered)
    return wrong


async def _finish(device: Device, location: str, data: bytes, key: str, *, known: int, ordered: bool) -> list[str]:
    """Send the rest of an upload; where its bytes may be wrong, all of it a second time."""
    standing = await device.head(location)
    if standing.status != 200:
        return [f"lost: upload {location} is gone: {standing.status}"]
    if standing.offset < known:
        return [f"lost: upload {location} fell back from {known} to {standing.offset}"]
    told = manifest_of(data, key=key)
    done = standing
    if standing.offset < len(data):
        done = await device.patch(location, standing.offset, data[standing.offset :])
    if done.status == faults.CONTENT.status and not ordered:
        await device.upload(data, told)
    answer = await device.request("GET", f"/receipts/{key}")
    if answer.status != 200:
        return [f"corrupt: upload {location} was resumed at {standing.offset} and is not what was sent"]
    return [f"corrupt: {key} has a wrong receipt"] * (receipt.from_json(answer.body).sha256 != told.sha256)


async def _sequence(serving: Serving, name: str, told: Acknowledged) -> list[str]:
    known = await serving.world.registry.device(name)
    heard = known.sequence if known is not None else -1
    before = told.sequences.get(name, 0)
    return [f"lost: the heartbeat {before} of {name} is forgotten, {heard} is known"] if heard < before else []


def _disorder(state: Path) -> list[str]:
    """Return what rows and files disagree about, read without edged's code."""
    wrong = [f"left over: {path.name}" for path in state.iterdir() if path.name not in _ORDERLY]
    with sqlite3.connect(state / "receiver.db") as database:
        (verdict,) = database.execute("PRAGMA quick_check").fetchone()
        rows = {row[0] for row in database.execute("SELECT sha256 FROM file")}
        files = [row[0] for row in database.execute("SELECT id FROM file")]
        keys = database.execute("SELECT count(*) - count(DISTINCT owner || key) FROM file").fetchone()[0]
        uploads = {row[0] for row in database.execute("SELECT id FROM upload")}
    database.close()
    wrong += [f"corrupt: quick_check says {verdict}"] * (verdict != "ok") + [
        f"duplicated: {keys} keys are stored twice"
    ] * bool(keys)
    blobs = {path.name: path for path in (state / "blobs").glob("??/*")}
    wrong += [f"corrupt: blob {name} is not its content" for name, path in blobs.items() if _digest(path) != name]
    wrong += [f"lost: blob {name}" for name in rows - blobs.keys()]
    wrong += [f"left over: blob {name} is nobody's" for name in blobs.keys() - rows]
    records = {path.name for path in (state / "records").glob("??/*")}
    wrong += [f"left over: record {name} is missing or nobody's" for name in records ^ set(files)]
    partial = {path.name for path in (state / "partial").iterdir()}
    return wrong + [f"left over: partial file {name} is nobody's" for name in partial - uploads]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
