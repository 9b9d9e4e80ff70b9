"""Copies into a folder: whole or not there, read back, on a disk of their own, and never in the daemon's way."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from edged.base.clock import SystemClock
from edged.base.errors import FileLostError, NoAnswerError, RefusedError
from edged.base.units import Duration
from edged.push.settings import FolderSettings
from edged.push.targets.folder import FolderTarget, _Copy, relative_path
from edged.wire.receipt import Proof
from tests.push.conftest import make_job, make_manifest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_ZONE = ZoneInfo("Europe/Berlin")
_GOAL = Path("front/2026-05-29")  # noon in UTC, 14:00 in Berlin


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """A folder on another file system than the tests' own."""
    path = Path("/dev/shm") / f"edged-test-{os.getpid()}"
    path.mkdir()
    yield path
    for file in sorted(path.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    path.rmdir()


@pytest.fixture
async def target(other_disk: Path) -> AsyncIterator[FolderTarget]:
    """A target on that disk."""
    made = _target(other_disk)
    yield made
    await made.close()


def _target(path: Path, *, require_mount: bool = True, timeout: float = 5.0) -> FolderTarget:
    settings = FolderSettings(path=path, require_mount=require_mount, timeout=Duration(timeout))
    return FolderTarget("usb", settings, zone=_ZONE, clock=SystemClock())


async def test_a_copy_is_whole_and_proven(target: FolderTarget, other_disk: Path, tmp_path: Path) -> None:
    """The copy has the file's bytes under a name that people can read; the proof is a reading back."""
    data = os.urandom(2_500_000)
    job = make_job(tmp_path, data)
    receipt = await target.deliver(job.errand())
    (copy,) = (other_disk / _GOAL).iterdir()
    assert copy.name == f"14-00-00_{job.manifest.key[:12]}_part-001.mp4"
    assert copy.read_bytes() == data
    assert (receipt.proof, receipt.sha256, receipt.size) == (Proof.READBACK, job.manifest.sha256, len(data))
    assert receipt.permits_deletion
    assert job.held[-1] == len(data)


async def test_doing_it_twice_gives_one_file(target: FolderTarget, other_disk: Path, tmp_path: Path) -> None:
    """A copy that is there and sound is left alone; a damaged one is replaced."""
    data = os.urandom(10_000)
    job = make_job(tmp_path, data)
    await target.deliver(job.errand())
    (copy,) = (other_disk / _GOAL).iterdir()
    first = copy.stat().st_ino
    await target.deliver(job.errand())
    assert copy.stat().st_ino == first
    copy.write_bytes(b"\0" * len(data))
    assert (await target.deliver(job.errand())).proof is Proof.READBACK
    assert copy.read_bytes() == data
    assert len(list((other_disk / _GOAL).iterdir())) == 1


async def test_a_copy_on_the_same_disk_proves_nothing(tmp_path: Path) -> None:
    """A second copy beside the first dies with it: its receipt permits no deletion."""
    folder = tmp_path / "copies"
    folder.mkdir()
    target = _target(folder, require_mount=False)
    receipt = await target.deliver(make_job(tmp_path, b"x").errand())
    assert receipt.proof is Proof.CLAIMED
    await target.close()


async def test_an_unmounted_folder_is_not_filled(tmp_path: Path) -> None:
    """Where nothing is mounted the system's own disk is spared, and the sentence says what to do."""
    folder = Path("/var/tmp") / f"edged-test-{os.getpid()}"
    if folder.parent.stat().st_dev != Path("/").stat().st_dev:
        folder = Path("/") / folder.name
    folder.mkdir()
    target = _target(folder)
    try:
        with pytest.raises(NoAnswerError, match=f"nothing is mounted at {folder}; mount the disk, or set"):
            await target.deliver(make_job(tmp_path, b"x").errand())
        assert not list(folder.iterdir())
    finally:
        folder.rmdir()
        await target.close()


async def test_a_missing_folder_is_no_answer(tmp_path: Path) -> None:
    """A disk that is unplugged comes back one day: the delivery waits."""
    target = _target(tmp_path / "gone")
    with pytest.raises(NoAnswerError, match="does not exist; mount the disk"):
        await target.deliver(make_job(tmp_path, b"x").errand())
    await target.close()


async def test_a_changed_source_is_lost_and_leaves_nothing(
    target: FolderTarget, other_disk: Path, tmp_path: Path
) -> None:
    """What no longer has the recorded hash is not passed off as the recording."""
    job = make_job(tmp_path, b"recorded")
    job.path.write_bytes(b"tampered")
    with pytest.raises(FileLostError, match="has changed since it was recorded"):
        await target.deliver(job.errand())
    assert not [path for path in other_disk.rglob("*") if path.is_file()]


async def test_a_missing_source_is_lost(target: FolderTarget, tmp_path: Path) -> None:
    """A file that is gone can't be copied any more."""
    job = make_job(tmp_path, b"recorded")
    job.path.unlink()
    with pytest.raises(FileLostError, match="can't be read"):
        await target.deliver(job.errand())


async def test_a_share_that_hangs_is_given_up_and_asked_no_more(other_disk: Path, tmp_path: Path) -> None:
    """A read that never returns costs the folder's own thread only; until it ends nothing is tried."""
    target = _target(other_disk, timeout=0.2)
    job = make_job(tmp_path, b"x")
    job.path.unlink()
    os.mkfifo(job.path)  # opening it blocks like a hung share
    with pytest.raises(NoAnswerError, match="did not answer for 0 s"):
        await target.deliver(job.errand())
    with pytest.raises(NoAnswerError, match="still hangs"):
        await target.deliver(job.errand())
    writer = os.open(job.path, os.O_WRONLY)  # the share is back
    os.close(writer)
    await target.close()


async def test_cancelling_leaves_no_fragment(target: FolderTarget, other_disk: Path, tmp_path: Path) -> None:
    """A stop in the middle of a copy removes the unfinished file."""
    job = make_job(tmp_path, os.urandom(40_000_000))
    copying = asyncio.create_task(target.deliver(job.errand()))
    while not list(other_disk.rglob("*.part")):
        await asyncio.sleep(0)
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    await asyncio.wrap_future(target._thread.submit(int))  # the thread has come to its end
    assert not [path for path in other_disk.rglob("*") if path.is_file()]


class _RottenDisk(_Copy):
    """A disk that gives back something else than it was given."""

    def _hash_from_disk(self, path: Path) -> str:
        with path.open("r+b") as file:
            file.write(b"rot")
        return super()._hash_from_disk(path)


async def test_a_copy_that_reads_back_differently_is_refused(other_disk: Path, tmp_path: Path) -> None:
    """A disk that does not keep what it was given proves nothing, and the bad copy is removed."""
    job = make_job(tmp_path, os.urandom(10_000))
    copy = _RottenDisk(job.errand(), other_disk / "a" / "b.mp4", FolderSettings(path=other_disk))
    with pytest.raises(RefusedError, match="reads back differently from what was written"):
        await asyncio.to_thread(copy.run)
    assert not [path for path in other_disk.rglob("*") if path.is_file()]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_left_alone_for_a_while(code: int, tmp_path: Path) -> None:
    """A full folder is a refusal of the whole destination and names the cure."""
    error = _target(tmp_path)._refusal(OSError(code, os.strerror(code)))
    assert isinstance(error, RefusedError)
    assert error.retry_after is not None
    assert "is full; make room there" in str(error)


@pytest.mark.parametrize(
    ("camera", "name", "start", "path"),
    [
        ("Front door", "part-001.mp4", 1_780_056_000.0, "Front_door/2026-05-29/14-00-00_k_part-001.mp4"),
        ("../../etc", "passwd", 1_780_056_000.0, "etc/2026-05-29/14-00-00_k_passwd"),
        ("..", "..", 1_780_056_000.0, "_/2026-05-29/14-00-00_k__"),
        ("Hof/Tor", "a/b.jpg", 1_780_056_000.0, "Hof_Tor/2026-05-29/14-00-00_k_a_b.jpg"),
        ("Гараж", "x.mp4", 1_780_056_000.0, "Гараж/2026-05-29/14-00-00_k_x.mp4"),
        ("", "report.pdf", None, "documents/k_report.pdf"),
    ],
)
def test_names_are_for_people_and_stay_inside(camera: str, name: str, start: float | None, path: str) -> None:
    """Camera, local date and time make the name; nothing in it leads out of the folder."""
    manifest = make_manifest(key="k", camera=camera, name=name, start=start)
    assert relative_path(manifest, _ZONE) == Path(path)
