"""The tape: where parts end, and what follows when the disk or the camera misbehaves."""

from __future__ import annotations

import errno
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from edged.base.clock import SystemClock
from edged.base.config import Duration
from edged.record.clip import DiskFile, Sealed
from edged.record.settings import RecordSettings
from edged.record.tape import NO_ROOM, Lost, Outcome, Tape
from tests.record.disks import FailingFile
from tests.record.footage import RATE, packets

if TYPE_CHECKING:
    from collections.abc import Callable

    from edged.model import Packet
    from edged.record.clip import PlainFile

ROOT = Path(__file__).parents[2]
SETTINGS = RecordSettings(part=Duration(3), pause_after_error=Duration(2))


def tape(
    directory: Path,
    *,
    has_room: Callable[[], bool] = lambda: True,
    make_file: Callable[[Path], PlainFile] = DiskFile,
) -> Tape:
    """Return a tape with parts of three seconds."""
    return Tape(
        lambda: directory,
        incident="a" * 32,
        camera="door",
        settings=SETTINGS,
        clock=SystemClock(),
        has_room=has_room,
        make_file=make_file,
    )


def recorded(target: Tape, units: list[Packet]) -> list[Outcome]:
    """Write everything, packet by packet as from a camera, and finish."""
    return [*(outcome for unit in units for outcome in target.write([unit])), *target.finish()]


def parts(outcomes: list[Outcome]) -> list[Sealed]:
    """Return the parts among the outcomes."""
    return [outcome for outcome in outcomes if isinstance(outcome, Sealed)]


def losses(outcomes: list[Outcome]) -> list[Lost]:
    """Return the losses among the outcomes."""
    return [outcome for outcome in outcomes if isinstance(outcome, Lost)]


def count(path: Path) -> int:
    """Return how many pictures a file shows."""
    with av.open(str(path), "r") as file:
        return sum(1 for _ in file.decode(video=0))


@pytest.mark.parametrize(
    ("gop", "lengths"),
    [
        pytest.param(10, [3.0, 3.0, 2.0], id="whole seconds"),
        pytest.param(7, [2.8, 2.8, 2.4], id="never longer than allowed"),
        pytest.param(40, [4.0, 4.0], id="rare key frames make longer parts"),
    ],
)
def test_parts_end_at_key_frames_without_a_hole(tmp_path: Path, gop: int, lengths: list[float]) -> None:
    """Each part begins where the one before ended, and together they show every picture once."""
    outcomes = recorded(tape(tmp_path), packets(seconds=8, gop=gop))
    got = parts(outcomes)
    assert outcomes == got
    assert [part.seconds for part in got] == pytest.approx(lengths, abs=0.01)
    assert [part.path.name for part in got] == [f"part-{number:03}.mp4" for number in range(1, len(lengths) + 1)]
    assert all(before.end == pytest.approx(after.label.start.mono, abs=0.01) for before, after in pairwise(got))
    assert sum(count(part.path) for part in got) == 8 * RATE


def test_a_new_epoch_begins_a_new_part(tmp_path: Path) -> None:
    """A camera that comes back with another codec and size goes on in the next part."""
    units = [
        *packets(seconds=1),
        *packets(seconds=1, start=101.0, codec="hevc", size=(320, 192), epoch=2),
    ]
    got = parts(recorded(tape(tmp_path), units))
    assert [(part.codec, part.width, count(part.path)) for part in got] == [("h264", 160, 10), ("hevc", 320, 10)]


def test_other_parameters_in_band_begin_a_new_part(tmp_path: Path) -> None:
    """A camera that changes its picture's size without a word is noticed at the key frame."""
    after = packets(seconds=2, start=102.0, annex_b=True, size=(320, 192))
    got = parts(recorded(tape(tmp_path), [*packets(seconds=2, annex_b=True), *after]))
    assert [(part.width, count(part.path)) for part in got] == [(160, 20), (320, 20)]


def test_pictures_before_the_first_key_frame_are_no_loss(tmp_path: Path) -> None:
    """A recording begins with the first picture that can be decoded, and that is all."""
    outcomes = recorded(tape(tmp_path), packets(seconds=3)[4:])
    assert [type(outcome) for outcome in outcomes] == [Sealed]
    assert count(parts(outcomes)[0].path) == 20


def test_sealing_in_between_goes_on_with_the_next_part(tmp_path: Path) -> None:
    """A camera that fell silent leaves a sealed part; what comes later is another."""
    target = tape(tmp_path)
    first = [*target.write(packets(seconds=1)), *target.seal()]
    assert target.seal() == []
    rest = recorded(target, packets(seconds=1, start=120.0, epoch=2))
    assert [part.label.part for part in parts([*first, *rest])] == [1, 2]


def test_a_full_disk_cuts_the_part_and_tells_what_is_lost(tmp_path: Path) -> None:
    """What was synced stays, the rest is a loss with its seconds; a second refusal begins a pause, then it goes on."""
    files: list[FailingFile] = []

    def make(path: Path) -> FailingFile:
        files.append(FailingFile(path, write={0: 6, 1: 1}.get(len(files), 0), error=errno.ENOSPC))
        return files[-1]

    outcomes = recorded(tape(tmp_path, make_file=make), packets(seconds=8))
    cut, after = parts(outcomes)[0], parts(outcomes)[1]
    assert count(cut.path) == round(cut.seconds * RATE)
    assert after.label.start.mono >= cut.end + SETTINGS.pause_after_error - 0.2
    lost = losses(outcomes)
    assert {loss.reason for loss in lost} == {"the disk refused: No space left on device"}
    covered = sum(loss.end - loss.start for loss in lost)
    assert covered == pytest.approx(after.label.start.mono - cut.end, abs=0.15)
    assert sum(part.seconds for part in parts(outcomes)) + covered == pytest.approx(8.0, abs=0.2)


def test_a_single_error_costs_no_pause(tmp_path: Path) -> None:
    """The next part begins with the next key frame."""
    files: list[FailingFile] = []

    def make(path: Path) -> FailingFile:
        files.append(FailingFile(path, sync=0 if files else 3, error=errno.EIO))
        return files[-1]

    outcomes = recorded(tape(tmp_path, make_file=make), packets(seconds=8))
    assert sum(loss.end - loss.start for loss in losses(outcomes)) < 1.6
    assert parts(outcomes)[1].label.start.mono <= parts(outcomes)[0].end + 1.6


def test_a_sync_that_fails_at_the_seal_keeps_the_fragments_before(tmp_path: Path) -> None:
    """The last fragment is given up, not the part, and the file is not synced again."""
    files: list[FailingFile] = []

    def make(path: Path) -> FailingFile:
        files.append(FailingFile(path, sync=3, error=errno.EIO))
        return files[-1]

    outcomes = recorded(tape(tmp_path, make_file=make), packets(seconds=1.5))
    (kept,) = parts(outcomes)
    assert 0.5 <= kept.seconds < 1.5
    assert losses(outcomes)[0].start == kept.end
    assert files[0].calls.count("sync") == 3


def test_at_critical_space_nothing_is_written_and_that_is_told(tmp_path: Path) -> None:
    """Snapshots only: one loss for the whole time, and the clip goes on once there is room."""
    room = [False]
    target = tape(tmp_path, has_room=lambda: room[0])
    units = packets(seconds=5)
    before = target.write(units[:20])
    room[0] = True
    resumed = target.write(units[20:])
    after = target.finish()
    assert before == []
    assert [(loss.start, loss.reason) for loss in losses(resumed)] == [(100.0, NO_ROOM)]
    assert losses(after) == []
    assert count(parts(after)[0].path) == 30


def test_room_that_ends_in_the_middle_of_a_part_ends_the_part(tmp_path: Path) -> None:
    """What is left of the disk is not written full to the part's planned end: it ends with its group of pictures."""
    room = [True]
    target = tape(tmp_path, has_room=lambda: room[0])
    units = packets(seconds=3)
    first = target.write(units[:12])
    room[0] = False
    rest = [*target.write(units[12:]), *target.finish()]
    assert first == []
    (part,) = parts(rest)
    assert part.seconds == pytest.approx(2.0)
    assert [(loss.start, loss.reason) for loss in losses(rest)] == [(part.end, NO_ROOM)]


def test_a_name_in_use_is_passed_over(tmp_path: Path) -> None:
    """A file that is there already is left alone, and the part takes the next number."""
    (tmp_path / "part-001.mp4").write_bytes(b"evidence")
    (part,) = parts(recorded(tape(tmp_path), packets(seconds=1)))
    assert part.path.name == "part-002.mp4"
    assert part.label.part == 2


def test_noise_instead_of_packets_is_a_loss_and_not_an_end(tmp_path: Path) -> None:
    """A camera that sends garbage for a while is recorded again from its next good key frame."""
    units = packets(seconds=5)
    broken = [
        replace(unit, data=b"\0\0\0\x7fgarbage") if 10 <= number < 30 else unit for number, unit in enumerate(units)
    ]
    outcomes = recorded(tape(tmp_path), broken)
    assert sum(count(part.path) for part in parts(outcomes)) >= 30
    assert losses(outcomes)


_FULL = """
import json, pathlib, resource, sys
from tests.record.footage import packets
from tests.record.test_tape import losses, parts, recorded, tape
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))
outcomes = recorded(tape(pathlib.Path(sys.argv[1])), packets(seconds=10, gop=100))
print(json.dumps([[p.path.name, p.size, p.sha256, p.seconds] for p in parts(outcomes)]))
print(json.dumps([loss.reason for loss in losses(outcomes)]))
"""


def test_a_file_that_the_system_refuses_to_extend_is_whole(tmp_path: Path) -> None:
    """A real refusal in mid-fragment, by the kernel: what is told is what lies there, and it plays."""
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True
    )
    sealed, reasons = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    ((name, size, sha256, seconds),) = sealed
    data = (tmp_path / name).read_bytes()
    assert (size, sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert count(tmp_path / name) == round(seconds * RATE) > 0
    assert set(reasons) == {"the disk refused: File too large"}
