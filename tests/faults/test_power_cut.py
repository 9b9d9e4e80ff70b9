"""Power cuts after each single operation on a disk, and of real disks under real processes: what was promised holds."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from edged.base.log import configure
from edged.receiver.app import serve
from tests.powercut import receiver_verdict
from tests.powercut.card import cuts
from tests.powercut.device_verdict import Verdict
from tests.powercut.receiver_program import config_of
from tests.powercut.recorder import needs_strace, record

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICE, RECEIVER = "tests.powercut.device_program", "tests.powercut.receiver_program"


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Some hundred recoveries need not be told."""
    configure(style="text", level="critical")


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
        for cut in cuts(recording, memory, rng, share=0.1)
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
def test_a_receiver_cut_off_after_any_operation_keeps_what_it_acknowledged(memory: Path, state_dir: Path) -> None:
    """Each offset and each receipt that was answered holds, and what was broken off can be sent to its end."""
    recording = record(["-m", RECEIVER, str(state_dir), "4", "1"], state_dir)
    rng = Random(3)
    wrong = [
        (cut.after, sentence)
        for cut in cuts(recording, memory, rng, share=0.12)
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
