"""Power cuts after each single operation on a disk, and of real disks under real processes: what was promised holds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
import structlog

from edged.base.log import configure
from edged.outbox.spool import Spool
from edged.outbox.store import open_outbox
from edged.receiver.app import serve
from edged.record.salvage import salvage
from scripts.soaks.rig import open_rig
from scripts.soaks.tables import DEVICE as DEVICE_NAME
from scripts.soaks.tables import cameras
from tests.disks import loop_disk, needs_disks
from tests.outbox.world import HandClock
from tests.powercut import receiver_verdict
from tests.powercut.card import cuts
from tests.powercut.device_verdict import Verdict
from tests.powercut.receiver_program import config_of
from tests.powercut.recorder import needs_strace, record
from tests.record.stage import DESTINATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.soaks.program import Program
    from tests.disks import FileSystem, LoopDisk

pytestmark = pytest.mark.timeout(150)  # some hundred starts, on a machine that may be busy with other things

DEVICE, RECEIVER = "tests.powercut.device_program", "tests.powercut.receiver_program"
BUSY = {"cameras": cameras(2, every=4.5, walk=1.5)}
SIZE = 256 << 20  # bytes of a disk, on which there is room


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Some hundred recoveries need not be told."""
    configure(style="text", level="critical")
    yield
    structlog.reset_defaults()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is one: hundreds of recoveries sync some thousand times."""
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="powercut-", dir=shm) as folder:
        yield Path(folder)


@needs_strace
def test_a_device_cut_off_after_any_operation_keeps_what_it_promised(memory: Path, state_dir: Path) -> None:
    """Incidents, alerts, synced seconds, documents, gaps and receipts are there; files and rows agree; all plays."""
    recording = record(["-m", DEVICE, str(state_dir), "3", "1"], state_dir)
    verdict, rng = Verdict(), Random(1)
    wrong = [
        (cut.after, sentence)
        for cut in cuts(recording, memory, rng, share=0.07)
        for sentence in verdict.judge(cut.root, cut.said, "boot-2")
    ]
    assert not wrong


@needs_strace
def test_a_device_cut_off_again_while_it_recovers_keeps_it_all_the_same(memory: Path, state_dir: Path) -> None:
    """Salvage itself is interrupted after any operation, and the next start finishes its work."""
    recording = record(["-m", DEVICE, str(state_dir), "2", "1"], state_dir)
    verdict, rng = Verdict(), Random(2)
    wrong = []
    for first in cuts(recording, memory, rng, share=0.002):
        again = record(["-m", DEVICE, str(first.root), "0", "2"], first.root)
        for cut in cuts(again, memory, rng, share=0.25):
            found = verdict.judge(cut.root, (*first.said, *cut.said), "boot-3")
            wrong += [(first.after, cut.after, sentence) for sentence in found]
    assert not wrong


@needs_strace
def test_a_device_cut_off_while_it_makes_a_lost_database_anew_tells_of_nothing_twice(
    memory: Path, state_dir: Path
) -> None:
    """Neither database nor sidecars are left: each incident is entered again, and counted in one mail."""
    record(["-m", DEVICE, str(state_dir), "3", "1"], state_dir)
    for path in (*state_dir.glob("outbox.db*"), *state_dir.rglob("incident.json")):
        path.unlink()
    recording = record(["-m", DEVICE, str(state_dir), "0", "2"], state_dir)
    rng, told = Random(4), set()
    for cut in cuts(recording, memory, rng, share=0.15):
        asyncio.run(recover(cut.root))
        with contextlib.closing(sqlite3.connect(cut.root / "outbox.db")) as database:
            (incidents,) = database.execute("SELECT count(*) FROM incidents").fetchone()
            counted = [row[0] for row in database.execute("SELECT count FROM notices WHERE kind = 'recovered'")]
            told.add((incidents, *counted))
    assert told == {(3, 3)}


async def recover(state: Path) -> None:
    """Start on `state` far enough to make good what a crash has left."""
    outbox = await open_outbox(state / "outbox.db", HandClock(name="boot-3"))
    await salvage(outbox, Spool(state), DESTINATIONS)
    await outbox.close()


@needs_strace
def test_a_receiver_cut_off_after_any_operation_keeps_what_it_acknowledged(memory: Path, state_dir: Path) -> None:
    """Each offset and each receipt that was answered holds, and what was broken off can be sent to its end."""
    recording = record(["-m", RECEIVER, str(state_dir), "4", "1"], state_dir)
    rng = Random(3)
    wrong = [
        (cut.after, sentence)
        for cut in cuts(recording, memory, rng, share=0.08)
        for sentence in receiver_verdict.judge(cut.root, cut.said, ordered=cut.ordered)
    ]
    assert not wrong


async def test_half_a_copy_of_the_receivers_database_goes_at_the_next_start(state_dir: Path) -> None:
    """A copy that a cut or a stop broke off is removed; the next one is made anew."""
    for name in ("receiver.db.backup.new", "receiver.db.backup.new-journal"):
        (state_dir / name).write_bytes(b"half")
    async with serve(config_of(state_dir)):
        assert not (state_dir / "receiver.db.backup.new-journal").exists()
    assert not list(state_dir.glob("*.new*"))


async def happens(program: Program, event: str) -> None:
    """Wait until a program's log says `event` once more than now."""
    await program.says(event, count=len(await program.said(event)) + 1)


async def cut(program: Program, disk: LoopDisk) -> None:
    """Cut a program's power, and start it anew on what its disk has kept."""
    await asyncio.to_thread(disk.cut)
    await program.stop(signal.SIGKILL)
    await asyncio.to_thread(disk.remount)
    await program.start()


@needs_disks
@pytest.mark.parametrize(
    ("near", "far", "moment"),
    [("ext4", "xfs", "incident opened"), ("xfs", "ext4", "fragment synced")],
    ids=["ext4", "xfs"],
)
async def test_disks_cut_off_at_both_ends_lose_nothing(
    tmp_path: Path, near: FileSystem, far: FileSystem, moment: str
) -> None:
    """Device and receiver at work, their disks shut down without a flush after a chosen moment: the oracle is mute."""
    with loop_disk(tmp_path, near, size=SIZE, name="near") as here, loop_disk(tmp_path, far, name="far") as there:
        home, away = here.mount / "state", there.mount / "state"
        async with open_rig(tmp_path / "rig", device_table=BUSY, device_state=home, receiver_state=away) as rig:
            await rig.start()
            await happens(rig.device, moment)
            await cut(rig.device, here)
            await happens(rig.receiver, "file stored")
            await cut(rig.receiver, there)
            await rig.settle()
            verdict = await rig.judge()
            assert verdict.obligations > 0
            assert [finding for finding in verdict.findings if finding.kind != "possible_duplicate"] == []


async def test_a_card_that_lost_commits_is_told_of_at_both_ends(tmp_path: Path) -> None:
    """An older state directory comes back, as from a card that lied about flushing: device and receiver both say so."""
    often = BUSY | {"push": {"heartbeat": "1s"}}
    async with open_rig(tmp_path, device_table=often) as rig:
        await rig.start()
        await rig.device.stop()
        older = tmp_path / "older"
        shutil.copytree(rig.device_state, older)
        await rig.device.start()
        await happens(rig.device, "incident opened")
        await rig.device.until(lambda: heard(rig.receiver_state) > committed(older))
        await rig.device.stop(signal.SIGKILL)
        shutil.rmtree(rig.device_state)
        older.rename(rig.device_state)
        await rig.device.start()
        await rig.device.says("outbox went back")
        await rig.receiver.says("device fell back", device=DEVICE_NAME)


def heard(state: Path) -> int:
    """Return the highest sequence that the receiver in `state` ever heard of."""
    with contextlib.closing(sqlite3.connect(state / "receiver.db")) as database:
        return int(database.execute("SELECT max(sequence) FROM device").fetchone()[0])


def committed(state: Path) -> int:
    """Return the sequence of the outbox in `state`."""
    with contextlib.closing(sqlite3.connect(state / "outbox.db")) as database:
        rows = database.execute("SELECT max(seq) FROM incidents UNION ALL SELECT max(id) FROM deliveries")
        return sum(number or 0 for (number,) in rows)
