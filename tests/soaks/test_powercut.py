"""A product that does not sync what it must is caught: by cuts of recorded runs, and by the oracle on real disks."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
import structlog

from edged.base.log import configure
from scripts.soaks.rig import EDGED, open_rig
from scripts.soaks.tables import cameras
from tests.disks import loop_disk, needs_disks
from tests.powercut import receiver_verdict
from tests.powercut.card import Card, cuts
from tests.powercut.device_verdict import Verdict
from tests.powercut.recorder import ROOT, Names, Recording, Resize, Said, Sync, Write, needs_strace, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.powercut.recorder import Operation

pytestmark = pytest.mark.timeout(150)  # some hundred starts, on a machine that may be busy with other things

# files and directories of a recording made by hand
FILE, FOLDER = 1, 2


def left(operations: tuple[Operation, ...], tmp_path: Path) -> set[bytes | None]:
    """Return what a cut after all of the operations may leave of the file FOLDER/a, None when it is not there."""
    card = Card(Recording(operations=operations, directories=frozenset({ROOT, FOLDER}), found=0))
    for _ in card.play():
        pass
    found = set()
    for seed in range(200):
        root = tmp_path / str(seed)
        card.cut(root, Random(seed), ordered=bool(seed % 2))
        path = root / "folder" / "a"
        found.add(path.read_bytes() if path.exists() else None)
    return found


MADE = (Names(directory=ROOT, entries={"folder": FOLDER}), Sync(node=ROOT, upto=1))
NAMED = (Names(directory=FOLDER, entries={"a": FILE}), Sync(node=FOLDER, upto=3))
OLD, NEW = b"o" * 600, b"n" * 600
TORN = {b"", OLD, OLD[:512], bytes(512) + OLD[512:]}
MIXED = {OLD, NEW, NEW[:512] + OLD[512:], OLD[:512] + NEW[512:]}
KEPT = (Write(node=FILE, at=0, data=OLD), Sync(node=FILE, upto=5))


@pytest.mark.parametrize(
    ("operations", "may"),
    [
        ((*MADE, *NAMED, *KEPT), {OLD}),
        ((*MADE, *NAMED, KEPT[0]), TORN),
        (
            (*MADE, *NAMED, *KEPT, Write(node=FILE, at=0, data=NEW)),
            {OLD, NEW, NEW[:512] + OLD[512:], OLD[:512] + NEW[512:]},
        ),
        ((*MADE, *NAMED, *KEPT, Resize(node=FILE, size=3)), {OLD, OLD[:3]}),
        ((*MADE, NAMED[0], Said(text="{}"), *KEPT), {None, OLD}),
        ((MADE[0], Said(text="{}"), *NAMED, *KEPT), {None, OLD}),
        ((*MADE, *NAMED, *KEPT, Names(directory=FOLDER, entries={"a": None})), {None, OLD}),
        ((*MADE, *NAMED, KEPT[0], Sync(node=FILE, upto=4)), TORN),
    ],
    ids=[
        "all synced",
        "bytes not synced",
        "overwritten, not synced",
        "cut short, not synced",
        "name not synced",
        "directory's own name not synced",
        "removed, not synced",
        "written while it was synced",
    ],
)
def test_a_card_keeps_what_was_synced_and_any_part_of_the_rest(
    operations: tuple[Operation, ...], may: set[bytes | None], tmp_path: Path
) -> None:
    """Each outcome that may be is met, and no other."""
    assert left(operations, tmp_path) == may


def without_syncs(recording: Recording, of: Callable[[int], bool]) -> Recording:
    """Return what was recorded, of a program that never syncs the chosen nodes."""
    idle = (
        replace(operation, upto=0) if isinstance(operation, Sync) and of(operation.node) else operation
        for operation in recording.operations
    )
    return replace(recording, operations=tuple(idle))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What is broken on purpose need not be told."""
    configure(style="text", level="critical")
    yield
    structlog.reset_defaults()


@needs_strace
@pytest.mark.parametrize("directories", [True, False], ids=["no directory is synced", "no file is synced"])
def test_a_device_that_does_not_sync_is_caught(tmp_path: Path, state_dir: Path, directories: bool) -> None:
    """What it promised is lost after some cut, and the verdict says so."""
    made = record(["-m", "tests.powercut.device_program", str(state_dir), "1", "1"], state_dir)
    careless = without_syncs(made, lambda node: (node in made.directories) is directories)
    verdict = Verdict()
    found = [
        sentence
        for cut in cuts(careless, tmp_path, Random(1), share=0.03)
        for sentence in verdict.judge(cut.root, cut.said, "boot-2")
    ]
    assert any(sentence.startswith("lost: incident") for sentence in found)


@needs_strace
def test_a_receiver_that_does_not_sync_is_caught(tmp_path: Path, state_dir: Path) -> None:
    """An offset that it acknowledged does not hold, and the verdict says so."""
    made = record(["-m", "tests.powercut.receiver_program", str(state_dir), "2", "1"], state_dir)
    written = (operation for operation in made.operations if isinstance(operation, Write))
    database = {write.node for write in written if write.data.startswith((b"SQLite format 3", b"7\x7f\x06"))}
    careless = without_syncs(made, lambda node: node not in made.directories | database)
    found = [
        sentence
        for cut in cuts(careless, tmp_path, Random(1), share=0.1)
        for sentence in receiver_verdict.judge(cut.root, cut.said, ordered=cut.ordered)
    ]
    assert any("fell back" in sentence for sentence in found), found[:5]


@needs_strace
@needs_disks
async def test_the_oracle_catches_a_device_whose_syncs_do_nothing(tmp_path: Path) -> None:
    """Under a kernel that answers each sync at once, without doing it, a real cut takes what the log promised."""
    calls = "fsync,fdatasync"
    lying = ("strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:retval=0")
    busy = {"cameras": cameras(1, every=4.5, walk=1.5)}
    with loop_disk(tmp_path, size=256 << 20) as disk:
        state = disk.mount / "state"
        async with open_rig(
            tmp_path / "rig", device_table=busy, device_state=state, device_command=(*lying, *EDGED)
        ) as rig:
            await rig.start()
            await rig.device.says("clip sealed")
            await asyncio.to_thread(disk.cut)
            await rig.device.stop(signal.SIGKILL)
            await asyncio.to_thread(disk.remount)
            await rig.settle()
            verdict = await rig.judge()
            assert "lost" in {finding.kind for finding in verdict.findings}
