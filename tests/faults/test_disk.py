"""Disks that fill up, come back, vanish and refuse: the device's side, on real small disks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edged.base.config import Share, Size
from edged.base.disk import replace_synced, write_synced
from edged.base.errors import FileLostError, NoAnswerError
from edged.model import Lane, State
from edged.outbox.loop import OutboxLoop
from edged.outbox.nouns import AlertRules, NoticeKind
from edged.outbox.policy import Destinations, alert_drafts, clip_drafts
from edged.outbox.retention import Level
from edged.outbox.settings import OutboxSettings
from edged.outbox.spool import Spool, digest_of
from edged.outbox.store import open_outbox
from edged.outbox.sweep import Findings, sweep
from edged.push.transfers import Transfer
from edged.push.uploads import Uploader
from tests import disks
from tests.disks import can_mount
from tests.outbox.world import HandClock, Maker, receipt
from tests.powercut.device_verdict import Verdict
from tests.powercut.recorder import needs_strace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from edged.model import Clip, Incident
    from edged.outbox.store import Outbox
    from edged.push.errand import Errand
    from edged.wire.receipt import Receipt

RULES = AlertRules(cooldown=0.0)
HERE = Destinations(recipients=("a@example.org",), receiver=True)
NO_FLOORS = {"warn_free": Size(0), "critical_free": Size(0)}


@pytest.fixture
def clock() -> HandClock:
    """A clock that stands still until the test moves it."""
    return HandClock()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB that really fills up."""
    if not can_mount:
        pytest.skip("mounting a disk needs root")
    with disks.small_disk(tmp_path / "disk") as mount:
        yield mount


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory that a test binds a disk to; unmounted at the end."""
    path = tmp_path / "place"
    path.mkdir()
    yield path
    while os.path.ismount(path):
        subprocess.run(["umount", "-l", path], check=True)


Opening = Callable[[Spool, HandClock], Awaitable["Outbox"]]


@pytest.fixture
async def opening() -> AsyncIterator[Opening]:
    """Opens outboxes, which are closed with the test."""
    opened: list[Outbox] = []

    async def open_one(spool: Spool, clock: HandClock) -> Outbox:
        opened.append(await open_outbox(spool.database, clock))
        return opened[-1]

    yield open_one
    for outbox in opened:
        await outbox.close()


def prepared(root: Path) -> Spool:
    """Return the state directory, made ready."""
    spool = Spool(root)
    spool.prepare()
    return spool


def keeper_of(outbox: Outbox, spool: Spool, clock: HandClock, **settings: Any) -> OutboxLoop:
    """Make the outbox's own loop."""
    return OutboxLoop(outbox, spool, settings=OutboxSettings(**settings), destinations=HERE, clock=clock)


def fill(path: Path, *, leave: int = 0) -> None:
    """Write a file until the disk takes no byte more, then give `leave` bytes back."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(os.urandom(size))
            except OSError:
                continue
        file.truncate(file.tell() - leave)


async def recorded(outbox: Outbox, spool: Spool, make: Maker, *, size: int = 1000) -> Clip:
    """Record an incident of one part for real: a file on the disk, and rows."""
    incident = await outbox.open_incident(make.incident(), (), RULES)
    path = spool.incident_directory(incident.id, incident.opened.wall) / "part-001.mp4"
    path.write_bytes(os.urandom(size))
    clip = make.clip(incident, path=path, size=size, sha256=digest_of(path)[1])
    await outbox.add_clip(clip, clip_drafts(clip, HERE))
    await outbox.close_incident(incident.id, make.now())
    return clip


async def prove(outbox: Outbox, clip: Clip) -> None:
    """Have the receiver prove a clip."""
    (delivery,) = await outbox.deliveries_for(clip.id)
    assert await outbox.complete(delivery.id, receipt(clip.id, sha256=clip.sha256, size=clip.size))


async def opened(outbox: Outbox, make: Maker) -> Incident:
    """Open an incident with its alert, as the recorder does."""
    incident = make.incident()
    return await outbox.open_incident(incident, alert_drafts(incident, HERE), RULES)


# ------------------------------------------------------------------------------------------------ a full disk


async def test_an_alert_is_committed_on_a_full_disk(small_disk: Path, clock: HandClock, opening: Opening) -> None:
    """Not a byte is free: incident and alert are entered at once for the ballast's room, and no clip may take it."""
    spool = prepared(small_disk / "state")
    outbox = await opening(spool, clock)
    make = Maker(clock=clock, root=spool.root)
    keeper = keeper_of(outbox, spool, clock, **NO_FLOORS)
    await keeper.step()
    assert keeper.level is Level.OK
    fill(small_disk / "filler")
    entered = [await opened(outbox, make) for _ in range(300)]
    assert all(incident.alerting for incident in entered)
    assert not keeper.has_room()
    assert len(await outbox.deliveries(limit=1000)) == 300


async def test_the_last_room_belongs_to_the_database(small_disk: Path, clock: HandClock, tmp_path: Path) -> None:
    """Files are refused before the disk is full: no snapshot and no document takes the room of the next alert."""
    spool = prepared(small_disk / "state")
    fill(small_disk / "filler", leave=1_000_000)
    (tmp_path / "log.txt").write_text("hello")
    with pytest.raises(OSError, match="No space left"):
        spool.incident_directory("a" * 32, clock.wall())
    with pytest.raises(OSError, match="No space left"):
        spool.take_document(tmp_path / "log.txt", clock)
    assert list(spool.clips.iterdir()) == list(spool.documents.iterdir()) == []


@pytest.mark.parametrize("write", [write_synced, replace_synced])
def test_nothing_is_left_of_a_file_that_did_not_fit(small_disk: Path, write: Callable[[Path, bytes], None]) -> None:
    """Half a picture or sidecar would take the room, and lie there for ever."""
    fill(small_disk / "filler", leave=100_000)
    with pytest.raises(OSError, match="No space left"):
        write(small_disk / "snapshot-1.jpg", bytes(1_000_000))
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


async def test_the_ballast_lets_a_full_disk_delete(small_disk: Path, clock: HandClock, opening: Opening) -> None:
    """On a disk filled to the last byte the ballast goes, then the proven clip, and the ballast is laid again."""
    spool = prepared(small_disk / "state")
    outbox = await opening(spool, clock)
    make = Maker(clock=clock, root=spool.root)
    clip = await recorded(outbox, spool, make, size=6_000_000)
    await prove(outbox, clip)
    fill(small_disk / "filler")
    keeper = keeper_of(outbox, spool, clock, delete_after_proof=True, **NO_FLOORS)
    await keeper.step()
    assert not clip.path.exists()
    clock.at += 61.0
    await keeper.step()
    assert (await outbox.counts()).deleted == 1
    assert (spool.root / "ballast").exists()
    assert keeper.has_room()


async def test_edged_starts_on_a_full_disk(small_disk: Path, clock: HandClock, opening: Opening) -> None:
    """The lock, SQLite's files and the new boot's row need room that the ballast has kept for them."""
    spool = prepared(small_disk / "state")
    with spool.lock():
        outbox = await opening(spool, clock)
        await opened(outbox, Maker(clock=clock, root=spool.root))
        await outbox.close()  # takes the files beside the database away
    fill(small_disk / "filler")
    clock.reboot(trusted=True)
    spool = prepared(small_disk / "state")
    with spool.lock():
        outbox = await opening(spool, clock)
        assert len(await outbox.incidents()) == 1


async def test_a_full_disk_is_told_and_so_is_that_it_has_room_again(
    small_disk: Path, clock: HandClock, opening: Opening
) -> None:
    """Full for an hour, then freed: one mail at its beginning, clips again at once, one mail when that has lasted."""
    spool = prepared(small_disk / "state")
    outbox = await opening(spool, clock)
    keeper = keeper_of(
        outbox,
        spool,
        clock,
        warn_share=Share(0.4),
        critical_share=Share(0.3),
        warn_free=Size(10**9),
        critical_free=Size(10**9),
    )
    fill(small_disk / "filler", leave=2_000_000)
    for _ in range(60):
        await keeper.step()
        assert not keeper.has_room()
        clock.at += 61.0
    (small_disk / "filler").unlink()
    for _ in range(12):
        await keeper.step()
        assert keeper.has_room()
        clock.at += 61.0
    assert [notice.split(":")[0] for notice in await told(outbox)] == [
        "system The disk is full but for 1 MB",
        "clear There is room on the disk again",
    ]


async def test_a_disk_at_the_edge_is_told_once(small_disk: Path, clock: HandClock, opening: Opening) -> None:
    """Room that comes and goes minute by minute is one mail and not one for each turn."""
    spool = prepared(small_disk / "state")
    outbox = await opening(spool, clock)
    keeper = keeper_of(
        outbox,
        spool,
        clock,
        warn_share=Share(0.4),
        critical_share=Share(0.3),
        warn_free=Size(10**9),
        critical_free=Size(10**9),
    )
    for _ in range(6):
        fill(small_disk / "filler", leave=2_000_000)
        await keeper.step()
        assert not keeper.has_room()
        clock.at += 61.0
        (small_disk / "filler").unlink()
        for _ in range(5):
            await keeper.step()
            assert keeper.has_room()
            clock.at += 61.0
    assert len(await told(outbox)) == 1


async def told(outbox: Outbox) -> list[str]:
    """Return the notices in their order, as "kind text"."""
    alerts = [each for each in reversed(await outbox.deliveries(limit=1000)) if each.lane is Lane.ALERT]
    notices = [await outbox.notice(each.subject) for each in alerts]
    return [f"{notice.kind} {notice.text}" for notice in notices if notice is not None]


# ----------------------------------------------------------------------------------------- a disk that has gone


async def test_an_unmounted_disk_loses_no_file_and_fills_no_other(
    small_disk: Path, place: Path, clock: HandClock, opening: Opening
) -> None:
    """While it is away nothing is written beneath it, no file is given up as lost, and clips wait; then all goes on."""
    subprocess.run(["mount", "--bind", small_disk, place], check=True)
    root = place / "state"
    spool = prepared(root)
    outbox = await opening(spool, clock)
    clip = await recorded(outbox, spool, Maker(clock=clock, root=root))
    keeper = keeper_of(outbox, spool, clock, **NO_FLOORS)
    subprocess.run(["umount", "-l", place], check=True)
    root.mkdir(mode=0o700)  # an administrator's, or another program's
    await keeper.step()
    assert keeper.trouble == "it is not mounted any more"
    assert await sweep(outbox, spool, HERE, clock) == Findings()
    with pytest.raises(OSError, match="not mounted any more"):
        spool.incident_directory("a" * 32, clock.wall())
    (delivery,) = await outbox.deliveries_for(clip.id)
    with pytest.raises(NoAnswerError, match="not mounted any more"):
        await Uploader(outbox, {"receiver": _Reader()}, clock).deliver(delivery, Transfer(delivery, "", lambda: None))
    assert list(root.iterdir()) == []
    assert delivery.state is State.PENDING
    root.rmdir()
    subprocess.run(["mount", "--bind", small_disk, place], check=True)
    clock.at += 61.0
    await keeper.step()
    assert clip.path.exists()
    assert await outbox.count_losses() == 0
    assert [notice.split(" ", 1)[0] for notice in await told(outbox)] == [NoticeKind.SYSTEM, NoticeKind.CLEAR]


class _Reader:
    """A target that reads the file and does nothing with it."""

    async def deliver(self, errand: Errand) -> Receipt:
        """Read it."""
        try:
            errand.path.read_bytes()
        except OSError as error:
            raise FileLostError(f"{errand.path} can't be read: {error.strerror}") from error
        raise AssertionError("the file should be out of reach")

    async def close(self) -> None:
        """Nothing to let go of."""


def test_a_disk_that_must_be_mounted_and_is_not_is_never_replaced_by_the_system_s(tmp_path: Path) -> None:
    """With require_mount edged refuses to start and makes nothing; with the disk it starts."""
    missing = Path("/var/lib/edged-that-nobody-mounted/state")
    with pytest.raises(OSError, match="nothing is mounted"):
        Spool(missing, require_mount=True).prepare()
    assert not missing.parent.exists()
    if tmp_path.stat().st_dev != Path("/").stat().st_dev:
        Spool(tmp_path / "state", require_mount=True).prepare()


# ------------------------------------------------------------------------------------------ single calls that fail


@needs_strace
@pytest.mark.parametrize(
    ("call", "error", "when"),
    [
        pytest.param("fsync", "EIO", "3+11", id="syncs of clips, pictures and sidecars"),
        pytest.param("fdatasync", "EIO", "15+7", id="syncs of the database"),
        pytest.param("pwrite64", "ENOSPC", "130+41", id="writes of the database"),
        pytest.param("ftruncate,rename,mkdir", "ENOSPC", "2+3", id="names and lengths"),
    ],
)
def test_no_call_that_fails_costs_what_was_promised(state_dir: Path, call: str, error: str, when: str) -> None:
    """A device at work whose calls fail, many in one run: it ends or goes on, and all that it said holds after it.

    What it could not write stands in the loss ledger, with the disk's own words.
    """
    trace = state_dir.parent / "trace"
    tracing = ("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", str(trace), "-e", f"trace={call}")
    failing = (*tracing, "-e", f"inject={call}:error={error}:when={when}")  # counted in each thread
    program = (sys.executable, "-m", "tests.powercut.device_program", str(state_dir), "3", "1")
    done = subprocess.run((*failing, *program), capture_output=True, text=True, check=False, timeout=55)
    said = [line for line in (*done.stdout.splitlines(), *done.stderr.splitlines()) if line.startswith("{")]
    assert "INJECTED" in trace.read_text()
    found = Verdict().judge(state_dir, said, "boot-2")
    assert [sentence for sentence in found if "a loss was entered" not in sentence] == []
    assert all("the disk refused" in sentence for sentence in found)
