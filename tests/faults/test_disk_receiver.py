"""The receiver's disk full, failing and gone: refused with a time, nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edged.base.config import Size
from edged.base.errors import EdgedError
from edged.receiver.app import Serving, serve
from edged.receiver.settings import ReceiverConfig
from edged.wire import receipt
from tests.disks import can_mount, small_disk
from tests.powercut.recorder import needs_strace
from tests.receiver.client import Answer, Device, manifest_of
from tests.receiver.conftest import known_device
from tests.receiver.test_kill import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edged.wire.manifest import Manifest

DATA = os.urandom(3_000_000)
TRIES = 40


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB that really fills up."""
    if not can_mount:
        pytest.skip("mounting a disk needs root")
    with small_disk(tmp_path / "disk") as mount:
        yield mount


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory that a test binds a disk to; unmounted at the end."""
    path = tmp_path / "place"
    path.mkdir()
    yield path
    while os.path.ismount(path):
        subprocess.run(["umount", "-l", path], check=True)


def config_of(state: Path) -> ReceiverConfig:
    """Return a receiver that keeps no reserve, so that it meets the disk's end itself."""
    config = ReceiverConfig(state=state, public_url="http://127.0.0.1:1", listen="127.0.0.1:0", name="hq")
    return replace(config, limits=replace(config.limits, reserve=Size(0)))


def code(answer: Answer) -> str:
    """Return the fault's code."""
    return str(json.loads(answer.body)["error"])


async def test_a_disk_that_fills_during_an_upload_keeps_what_fitted(disk: Path) -> None:
    """507 with a time; the bytes that reached the disk count, and once there is room it goes on at the byte."""
    async with serve(config_of(disk / "state")) as serving, await known_device(serving, "shop") as shop:
        created = await shop.create(manifest_of(DATA))
        place = created.headers["Location"]
        filler = disk / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - 1_000_000)
        refused = await shop.patch(place, 0, DATA)
        assert (refused.status, code(refused), refused.headers["Retry-After"]) == (507, "full", "600")
        kept = (await shop.head(place)).offset
        assert 0 < kept < len(DATA)
        filler.unlink()
        done = await shop.patch(place, kept, DATA[kept:])
        assert done.status == 204
        assert receipt.from_header(done.headers[receipt.HEADER]).size == len(DATA)
        assert await stored(serving) == [DATA]


async def stored(serving: Serving) -> list[bytes]:
    """Return the content of every file that the receiver holds."""
    files = await serving.world.store.oldest(float("inf"), 100)
    return [serving.world.vault.blob(file.sha256).read_bytes() for file in files]


async def test_an_unmounted_disk_loses_no_file(disk: Path, place: Path) -> None:
    """While it is away the device is put off, nothing is written beneath it, and no row is dropped for it."""
    subprocess.run(["mount", "--bind", disk, place], check=True)
    async with serve(config_of(place / "state")) as serving, await known_device(serving, "shop") as shop:
        told = manifest_of(DATA)
        await shop.upload(DATA, told)
        begun = (await shop.create(manifest_of(DATA))).headers["Location"]
        subprocess.run(["umount", "-l", place], check=True)
        (place / "state").mkdir()
        for answer in (await shop.create(told), await shop.head(begun), await shop.patch(begun, 0, DATA)):
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
        assert list((place / "state").iterdir()) == []
        (place / "state").rmdir()
        subprocess.run(["mount", "--bind", disk, place], check=True)
        assert (await shop.create(told)).headers["Upload-Offset"] == str(len(DATA))
        assert (await shop.patch(begun, 0, DATA)).status == 204
        assert await stored(serving) == [DATA, DATA]


async def test_a_disk_that_must_be_mounted_and_is_not_is_never_replaced_by_the_system_s() -> None:
    """With require_mount it refuses to start, and makes no directory on the system's own disk."""
    missing = Path("/var/lib/edged-receiver-that-nobody-mounted/state")
    with pytest.raises(EdgedError, match="nothing is mounted"):
        async with serve(replace(config_of(missing), require_mount=True)):
            pass
    assert not missing.parent.exists()


@needs_strace
@pytest.mark.parametrize(("calls", "when"), [("fdatasync", "5+5"), ("fsync", "4+13"), ("pwrite64", "60+29")])
async def test_calls_that_fail_cost_no_byte_that_was_acknowledged(state_dir: Path, calls: str, when: str) -> None:
    """Many calls fail with EIO: 503 with a time, what was not synced is not counted, and each file arrives."""
    config = ReceiverConfig(state=state_dir, public_url="http://127.0.0.1:1", listen="127.0.0.1:0", name="hq")
    async with serve(config) as serving, await known_device(serving, "shop") as shop:
        key = shop.key
    tracing = ("strace", "-D", "-f", "-qq", "-o", str(state_dir.parent / "trace"), "-e", f"trace={calls}")
    failing = (*tracing, "-e", f"inject={calls}:error=EIO:when={when}")  # counted in each thread
    files = [os.urandom(200_000) for _ in range(4)]
    async with running(config, key, before=failing) as (shop, _, _):
        for data in files:
            await _send(shop, data, manifest_of(data), firm=calls != "fsync")
    async with serve(config) as serving:
        assert sorted(await stored(serving)) == sorted(files)


async def _send(shop: Device, data: bytes, told: Manifest, *, firm: bool) -> None:
    """Send a file as a device does: put off by a 503, it asks where it stands and goes on there.

    What was acknowledged stays (`firm`), unless the disk fails as it is asked for that.
    """
    acknowledged = 0
    for _ in range(TRIES):
        created = await shop.create(told)
        if created.status == 503:
            continue
        place, offset = created.headers["Location"], int(created.headers.get("Upload-Offset", 0))
        if offset == len(data):
            return
        assert offset >= acknowledged or not firm
        for piece in range(offset, len(data), 50_000):
            sent = await shop.patch(place, piece, data[piece : piece + 50_000])
            if sent.status != 204:
                assert sent.status == 503, sent.body
                break
            acknowledged = sent.offset
    raise AssertionError("it was never taken whole")


_REFUSED = """
import hashlib, sys
from pathlib import Path
from edged.receiver.vault import Tail, Vault
vault = Vault(Path(sys.argv[1]))
vault.prepare()
vault.create("u1")
tail = Tail(vault.partial("u1"), hashlib.sha256())
tail.append(b"a" * 1000)
tail.sync()
tail.append(b"b" * 1000)
try:
    tail.sync()
except OSError as error:
    print(error.errno, tail.doubtful, vault.partial("u1").stat().st_size)
try:
    vault.length("u1")
except OSError as error:
    print(error.errno)
print(vault.length("u1"), vault.partial("u1").exists())
"""


@needs_strace
def test_a_file_whose_sync_failed_is_never_synced_again(state_dir: Path) -> None:
    """It is cut back to what was synced before; where even its beginning can't be synced it begins anew."""
    file = state_dir / "partial" / "u1"
    tracing = ("strace", "-D", "-f", "-qq", "-o", str(state_dir.parent / "trace"), "-P", str(file))
    failing = ("-e", "inject=fdatasync:error=EIO:when=2", "-e", "inject=fsync:error=EIO:when=1")
    program = (sys.executable, "-c", _REFUSED, str(state_dir))
    done = subprocess.run((*tracing, *failing, *program), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["5 True 1000", "5", "0 False"]
