"""The commit of an incident with three deliveries, beside the same rows through plain sqlite3.

The baseline enters the very rows that the outbox made (incident, snapshot, three deliveries, cool-down window) into a
second database of the same schema and pragmas, with one statement per row, on the calling thread. The two take turns,
so that a busy disk strikes both.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from importlib import resources
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING

from edged.base.clock import SystemClock, stamp
from edged.model import Incident, IncidentKind, Snapshot
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import Destinations, alert_drafts, snapshot_drafts
from edged.outbox.store import Outbox, open_outbox
from scripts.benches.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROUNDS = 500
_WARM = 20  # rounds that are not counted: statements are prepared, files grown
_HERE = Destinations(recipients=("a@example.org", "b@example.org"), receiver=True)


def figures(argv: Sequence[str]) -> list[Figure]:
    """Return median and 99th percentile in milliseconds; `argv` may hold the number of rounds."""
    rounds = int(argv[0]) if argv else _ROUNDS
    # beside the working directory: /tmp may be in memory, where a sync costs nothing
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as home:
        ours, plain = asyncio.run(_measure(Path(home), rounds))
    return [
        _figure("outbox.commit_ms_median", median(ours), median(plain)),
        _figure("outbox.commit_ms_p99", _p99(ours), _p99(plain)),
    ]


def _figure(name: str, value: float, baseline: float) -> Figure:
    return Figure(
        figure=name, value=value, unit="ms", baseline=baseline, ratio=value / baseline, aim="ratio at most 1.3"
    )


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


async def _measure(home: Path, rounds: int) -> tuple[list[float], list[float]]:
    clock = SystemClock()
    (home / "edged").mkdir()
    outbox = await open_outbox(home / "edged" / "outbox.db", clock)
    connection = _plain_database(home / "plain.db")
    ours, plain = [], []
    rows: list[tuple[str, tuple[object, ...]]] = []  # of the round before
    for number in range(_WARM + rounds):
        # now one goes first, now the other: what a sync leaves the disk to do must not always fall on the same
        if number % 2:
            plain.append(_timed(connection, rows))
        incident, snapshot = _made(number, clock, home)
        drafts = [*alert_drafts(incident, _HERE), *snapshot_drafts(snapshot, _HERE)]
        started = perf_counter()
        await outbox.open_incident(incident, drafts, AlertRules(), snapshot)
        ours.append((perf_counter() - started) * 1000)
        if number and not number % 2:
            plain.append(_timed(connection, rows))
        rows = await _rows_of(outbox, incident)
    connection.close()
    await outbox.close()
    return ours[_WARM:], plain[_WARM:]


def _made(number: int, clock: SystemClock, home: Path) -> tuple[Incident, Snapshot]:
    now = stamp(clock)
    # a camera each: no cool-down holds an alert back
    incident = Incident(
        id=f"{number:032x}", camera=f"camera-{number}", kind=IncidentKind.MOTION, zones=("yard",), opened=now
    )
    snapshot = Snapshot(
        id=f"{number + 2**64:032x}",
        incident=incident.id,
        camera=incident.camera,
        seq=1,
        path=home / "edged" / "clips" / incident.id / "snapshot-1.jpg",
        size=60_000,
        sha256="5e" * 32,
        taken=now,
        width=1280,
        height=720,
    )
    return incident, snapshot


def _plain_database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA page_size = 1024")
    connection.execute("PRAGMA journal_mode = wal").fetchone()
    connection.execute("PRAGMA synchronous = full")
    connection.execute("PRAGMA foreign_keys = on")
    connection.executescript(resources.files("edged.outbox").joinpath("schema.sql").read_text(encoding="utf-8"))
    return connection


async def _rows_of(outbox: Outbox, incident: Incident) -> list[tuple[str, tuple[object, ...]]]:
    """Return the rows that the outbox made for an incident, each with the statement that enters it."""
    wanted = {
        "boots": "SELECT * FROM boots WHERE ? IS NOT NULL",
        "incidents": "SELECT * FROM incidents WHERE id = ?",
        "files": "SELECT * FROM files WHERE incident = ?",
        "deliveries": "SELECT * FROM deliveries WHERE incident = ?",
        "windows": "SELECT * FROM windows WHERE incident = ?",
    }

    def read(connection: sqlite3.Connection) -> list[tuple[str, tuple[object, ...]]]:
        found: list[tuple[str, tuple[object, ...]]] = []
        for table, query in wanted.items():
            for row in connection.execute(query, (incident.id,)).fetchall():
                marks = ", ".join("?" * len(row))
                found.append((f"INSERT OR IGNORE INTO {table} VALUES ({marks})", tuple(row)))  # noqa: S608 -- constants
        return found

    return await outbox.database.read(read)


def _timed(connection: sqlite3.Connection, rows: list[tuple[str, tuple[object, ...]]]) -> float:
    started = perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    for statement, values in rows:
        connection.execute(statement, values)
    connection.execute("COMMIT")
    return (perf_counter() - started) * 1000
