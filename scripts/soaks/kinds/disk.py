"""Disk: full to the last byte, failing at single calls, dead, slow, read-only, unmounted; at either end.

Both have disks of their own (ext4 and XFS). What a full disk truly costs must stand in the loss ledger, to the second;
everything that was promised before must be there once the disk is well again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http.client
import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from scripts.soaks.oracle import device
from scripts.soaks.oracle.coverage import judge_coverage
from scripts.soaks.oracle.judge import Finding
from scripts.soaks.program import SoakError
from scripts.soaks.rig import open_rig
from scripts.soaks.tables import cameras
from tests.disks import can_mount, loop_disk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from scripts.soaks.program import Program
    from scripts.soaks.rig import Rig
    from scripts.soaks.run import Run
    from tests.disks import LoopDisk

_SIZE = 96 << 20  # bytes of an ext4 disk; XFS makes its own least
_CYCLES = 5  # faults in a round
_ROUNDS = 4  # with the same disks
_SPARE, _KILLED, _FAR = 0.5, 0.25, 0.4  # how often, of 1.0
_FAULTS = {"full": 5, "call": 5, "dead": 2, "slow": 1, "read-only": 1, "unmounted": 2}  # how often, in proportion
# which call fails, with what, from at most which of them on: a busy ten seconds have about so many
_CALLS = {
    "pwrite64": (("ENOSPC", "EIO"), 300),
    "fdatasync": (("EIO",), 60),
    "fsync": (("EIO", "ENOSPC"), 60),
    "ftruncate": (("EIO",), 5),
    "rename": (("ENOSPC", "EIO"), 15),
    "mkdir": (("ENOSPC", "EROFS"), 6),
    "fallocate": (("ENOSPC",), 2),
    "link,linkat": (("ENOSPC", "EIO"), 6),
}
_DELAY = 500_000  # microseconds before each sync of a slow disk
_SLOW = 15.0  # seconds
_BEGIN = 4.0  # seconds in which each camera has its first picture, which ends the gap before it
_LOOK = 0.1
_TRIES = 1200  # looks whether a disk is really out


async def soak(run: Run) -> None:
    """Break in rounds; each ends with the oracle."""
    if not can_mount:
        raise SoakError("this soak mounts disks: run it as root, with e2fsprogs and xfsprogs installed")
    cycles = run.cycles()
    async for number in cycles:  # the first on fresh disks; `work` takes those that follow
        async with _equipped(run, run.folder / str(number)) as equipped:
            await equipped.work(number, cycles)


@contextlib.asynccontextmanager
async def _equipped(run: Run, folder: Path) -> AsyncIterator[_Equipped]:
    """Set a rig up whose state directories are on disks of their own, which must be mounted."""
    with contextlib.ExitStack() as disks:
        systems = run.rng.sample(("ext4", "xfs"), 2)
        near, far = (
            disks.enter_context(loop_disk(folder, "ext4" if system == "ext4" else "xfs", size=_SIZE, name=name))
            for name, system in zip(("near", "far"), systems, strict=True)
        )
        table = {
            "device": {"require_mount": True},
            "cameras": cameras(2, every=5.0, walk=2.0),
            "outbox": {"delete_after_proof": run.rng.random() < _SPARE},
        }
        async with open_rig(
            folder,
            device_table=table,
            receiver_table={"require_mount": True},
            device_state=near.mount / "state",
            receiver_state=far.mount / "state",
        ) as rig:
            yield _Equipped(run, rig, near, far)


class _Equipped:
    """A rig whose disks can be spoiled."""

    def __init__(self, run: Run, rig: Rig, near: LoopDisk, far: LoopDisk) -> None:
        self._run = run
        self._rig = rig
        self._near, self._far = (rig.device, near), (rig.receiver, far)
        self._faults: dict[str, Callable[[Program, LoopDisk], Awaitable[None]]] = {
            "full": self._full,
            "call": self._call,
            "dead": self._dead,
            "slow": self._slow,
            "read-only": self._read_only,
            "unmounted": self._unmounted,
        }
        rig.healers.append(self._look_again)

    async def work(self, number: int, cycles: AsyncIterator[int]) -> None:
        """Do cycle `number` and those after it, until these disks have served."""
        run, rig = self._run, self._rig
        await rig.start()
        last = number + _CYCLES * _ROUNDS - 1
        while True:
            (name,) = run.rng.choices(tuple(_FAULTS), tuple(_FAULTS.values()))
            program, disk = self._far if run.rng.random() < _FAR else self._near
            await asyncio.sleep(run.rng.uniform(0.5, 4.0))
            run.note(f"{name}: {program.name} on {disk.fs}")
            await self._faults[name](program, disk)
            over = run.is_over(number) or number == last
            if over or (last - number) % _CYCLES == 0:
                await rig.round(run, again=False)
                held = await asyncio.to_thread(device.look, rig.device_state)
                run.found(judge_coverage(held))
            if over:
                return
            await rig.start()
            number = await anext(cycles)

    async def _look_again(self) -> None:
        """Have the device forget for how long it was told to leave a full receiver alone, and let its cameras begin."""
        await self._rig.device.stop()
        await self._rig.device.start()
        await asyncio.sleep(_BEGIN)

    # --------------------------------------------------------------------------------------------- the faults

    async def _full(self, program: Program, disk: LoopDisk) -> None:
        """Fill the disk, to the last byte or nearly, for some seconds; sometimes it has to start on the full disk."""
        rng, filler = self._run.rng, disk.mount / "filler"
        await asyncio.to_thread(_fill, filler, rng.choice((0, 0, rng.randrange(6_000_000))))
        try:
            await asyncio.sleep(rng.uniform(1.0, 8.0))
            if rng.random() < _KILLED:
                program.kill()
                await asyncio.sleep(rng.uniform(0.5, 4.0))
        finally:
            await asyncio.to_thread(filler.unlink)
        await self._up(program)

    async def _call(self, program: Program, disk: LoopDisk) -> None:
        """Start it anew so that the n-th of some call fails, or some from then on, or all."""
        rng = self._run.rng
        call = rng.choice(list(_CALLS))
        errors, most = _CALLS[call]
        first = rng.randint(1, most)
        when = rng.choice((f"{first}", f"{first}..{first + rng.randint(1, 8)}", f"{first}+"))
        await self._traced(
            program, disk, call, f"error={rng.choice(errors)}:when={when}", seconds=rng.uniform(4.0, 10.0)
        )

    async def _slow(self, program: Program, disk: LoopDisk) -> None:
        """Let each sync take half a second: the device loses no picture for it."""
        before = len(await self._missed())
        await self._traced(
            program, disk, "fsync,fdatasync", f"delay_enter={_DELAY}", seconds=_SLOW, at_end=self._tell_lag
        )
        for event in (await self._missed())[before:]:
            text = f"a slow disk cost pictures: {event}"
            self._run.found([Finding(kind="lost", what=text, text=text)])

    async def _dead(self, program: Program, disk: LoopDisk) -> None:
        """Let the disk die under it: every call fails until it is put in again; what was synced is there."""
        await asyncio.to_thread(disk.cut)
        await asyncio.sleep(self._run.rng.uniform(0.5, 6.0))
        await program.stop(signal.SIGKILL)
        await asyncio.to_thread(disk.take_out)
        await asyncio.to_thread(_put_in_again, disk)
        await self._up(program)

    async def _read_only(self, program: Program, disk: LoopDisk) -> None:
        """Let it start on a disk that is read-only, and is made writable while it tries."""
        await program.stop()
        await asyncio.to_thread(disk.set_read_only, True)
        starting = asyncio.ensure_future(program.start())
        try:
            await asyncio.sleep(self._run.rng.uniform(1.0, 4.0))
        finally:
            await asyncio.to_thread(disk.set_read_only, False)
        await starting

    async def _unmounted(self, program: Program, disk: LoopDisk) -> None:
        """Take the disk away under it: nothing may be written where it was."""
        await asyncio.to_thread(disk.take_out, by_force=True)
        try:
            await asyncio.sleep(self._run.rng.uniform(0.5, 6.0))
            if self._run.rng.random() < _KILLED:
                program.kill()
                await asyncio.sleep(self._run.rng.uniform(0.5, 3.0))
            beneath = [str(path) for path in disk.mount.rglob("*")]
            if beneath:
                text = f"the {program.name} wrote beneath its unmounted disk: {', '.join(beneath)}"
                self._run.found([Finding(kind="left_over", what=text, text=text)])
        finally:
            await program.stop(signal.SIGKILL)
            await asyncio.to_thread(_put_in_again, disk)
        await self._up(program)

    # ---------------------------------------------------------------------------------------------- the means

    async def _tell_lag(self) -> None:
        """Show how late the device's loop has been."""
        pages = await self._rig.device.said("status page is up")
        with contextlib.suppress(OSError):  # it has not come so far yet
            health = await asyncio.to_thread(_health, pages[-1]["address"])
            self._run.note(f"the device's loop lag, 99 %: {health['loop_lag_p99_s'] * 1000:.0f} ms")

    async def _traced(
        self,
        program: Program,
        disk: LoopDisk,
        calls: str,
        injection: str,
        *,
        seconds: float,
        at_end: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Have it run for `seconds` with `injection` into `calls`, do `at_end`, then have it run as ever."""
        self._run.note(f"{program.name}: {calls}:{injection}")
        await program.stop()
        plain, trace = list(program.command), disk.image.with_suffix(".strace")
        # -D: the program, not strace, is the child that is killed later
        tracing = ("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", str(trace), "-e", f"trace={calls}")
        program.command = [*tracing, "-e", f"inject={calls}:{injection}", *plain]
        starting = asyncio.ensure_future(program.start())
        await asyncio.sleep(seconds)
        if at_end is not None:
            await at_end()
        program.command = plain
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await program.stop(signal.SIGKILL)
        await self._up(program)

    async def _up(self, program: Program) -> None:
        begun = time.monotonic()
        await program.start()
        self._run.recovered(time.monotonic() - begun)

    async def _missed(self) -> list[object]:
        """Return what the device's log tells of pictures that were not recorded."""
        said = self._rig.device.said
        return [*await said("pictures lost"), *await said("recording has a gap")]


def _health(page: str) -> dict[str, Any]:
    """Return what the page says of the device's health, also when it is ill."""
    with contextlib.closing(http.client.HTTPConnection(page.removeprefix("http://").strip("/"), timeout=5)) as link:
        link.request("GET", "/health")
        told: dict[str, Any] = json.loads(link.getresponse().read())
        return told


def _fill(path: Path, leave: int) -> None:
    """Write a file until the disk takes no more, but for `leave` bytes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size, piece = 0, 1 << 24
        while piece >= 1:
            try:
                os.posix_fallocate(descriptor, size, piece)
                size += piece
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece //= 2
        os.ftruncate(descriptor, max(0, size - leave))
    finally:
        os.close(descriptor)


def _put_in_again(disk: LoopDisk) -> None:
    """Mount a disk that was taken out once nothing holds it: mounted a second time beside the first it is damaged.

    Other programs of this machine, such as `ip netns exec`, copy its mounts for a while.
    """
    for _ in range(_TRIES):
        if not subprocess.run(("losetup", "-j", disk.image), check=True, capture_output=True).stdout:
            try:
                disk.put_in()
            except (OSError, subprocess.CalledProcessError):
                disk.take_out(by_force=True)
            else:
                return
        time.sleep(_LOOK)
    raise SoakError(f"{disk.image} is still in use after its disk was unmounted and its user killed")
