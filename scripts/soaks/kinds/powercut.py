"""Power cut: the disks of device and receiver cut off at random moments, after chosen operations, and after every one.

Real processes on ext4 and XFS, whose disks are shut down without a flush, killed, mounted again and started. Beside
them recorded runs of both ends, of which the disk is rebuilt as a cut after each single operation may leave it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from edged.base.log import configure
from scripts.soaks.oracle.judge import Finding
from scripts.soaks.program import SoakError
from scripts.soaks.rig import open_rig
from tests.disks import can_mount, loop_disk
from tests.powercut import receiver_verdict
from tests.powercut.card import cuts
from tests.powercut.device_verdict import Verdict
from tests.powercut.recorder import record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from scripts.soaks.oracle.judge import Kind
    from scripts.soaks.program import Program
    from scripts.soaks.rig import Rig
    from scripts.soaks.run import Run
    from tests.disks import LoopDisk
    from tests.powercut.card import Cut

_SIZE = 256 << 20  # bytes of a disk; its file is sparse
_CYCLES = 6  # cuts in a round
_ROUNDS = 3  # with the same disks
_NOTED = 500  # cuts of recorded runs from one note to the next
_MOMENTS = {
    "device": ("incident opened", "fragment synced", "clip sealed", "incident closed", "file deleted"),
    "receiver": ("file stored",),
}
# before which n-th call of a new process it is stopped, and cut off, at most: a busy minute has about so many
_CALLS = {"fdatasync": 120, "fsync": 60, "pwrite64": 500, "write": 300, "rename": 15, "unlink": 12, "mkdir": 8}
_CHOSEN, _TRACED, _KILLED_FIRST, _LINE, _SPARE = 0.35, 0.3, 0.3, 0.3, 0.5  # how often, of 1.0
_LOOK = 0.05
_LONGEST = 20.0  # seconds to wait for a chosen moment
_MEMORY = Path("/dev/shm")  # noqa: S108 -- thousands of recoveries sync much
_KINDS: dict[str, Kind] = {
    "lost": "lost",
    "duplicated": "duplicated",
    "corrupt": "corrupt",
    "left over": "left_over",
}


async def soak(run: Run) -> None:
    """Cut in rounds; each ends with the oracle."""
    if not can_mount:
        raise SoakError("this soak mounts disks: run it as root, with e2fsprogs and xfsprogs installed")
    configure(style="text", level="critical")  # of what is judged in this process; the programs have logs of their own
    over = asyncio.Event()
    recorded = asyncio.create_task(_recorded(run, over))
    try:
        cycles = run.cycles()
        async for number in cycles:  # the first on fresh disks; `work` takes those that follow
            async with _powered(run, run.folder / str(number)) as powered:
                await powered.work(number, cycles)
    finally:
        over.set()
        await recorded


@contextlib.asynccontextmanager
async def _powered(run: Run, folder: Path) -> AsyncIterator[_Powered]:
    """Set a rig up whose state directories are on disks of their own."""
    with contextlib.ExitStack() as disks:
        systems = run.rng.sample(("ext4", "xfs"), 2)
        near, far = (
            disks.enter_context(loop_disk(folder, "ext4" if system == "ext4" else "xfs", size=_SIZE, name=name))
            for name, system in zip(("near", "far"), systems, strict=True)
        )
        table = {"outbox": {"delete_after_proof": run.rng.random() < _SPARE}}
        states = near.mount / "state", far.mount / "state"
        async with open_rig(folder, device_table=table, device_state=states[0], receiver_state=states[1]) as rig:
            yield _Powered(run, rig, near, far)


class _Powered:
    """A rig whose power can be cut at either end."""

    def __init__(self, run: Run, rig: Rig, near: LoopDisk, far: LoopDisk) -> None:
        self._run = run
        self._rig = rig
        self._ends = {"device": (rig.device, near), "receiver": (rig.receiver, far)}

    async def work(self, number: int, cycles: AsyncIterator[int]) -> None:
        """Do cycle `number` and those after it, until these disks have served."""
        run, rig = self._run, self._rig
        await rig.start()
        last = number + _CYCLES * _ROUNDS - 1
        while True:
            await self._cycle()
            over = run.is_over(number) or number == last
            if over or (last - number) % _CYCLES == 0:
                await self._judge(again=not over)
            if over:
                return
            number = await anext(cycles)

    async def _judge(self, *, again: bool) -> None:
        """End a round; what the disks hold is kept beside the logs when something is found, for they go."""
        verdict = await self._rig.round(self._run, again=False)
        if verdict.findings:
            for name, (_, disk) in self._ends.items():
                evidence = self._rig.folder / f"{name}-{self._run.figures.cycles}"
                await asyncio.to_thread(shutil.copytree, disk.mount / "state", evidence, ignore=_sockets)
        if again:
            await self._rig.start()

    async def _cycle(self) -> None:
        rng = self._run.rng
        if rng.random() < _LINE:
            line = rng.choice((self._rig.line, self._rig.mail_line))
            line.reset_after = line.upstream + rng.randrange(30_000)
        names = rng.choice((["device"], ["device"], ["receiver"], ["device", "receiver"]))
        for name in names:
            if rng.random() < _TRACED:
                await self._stopped_at_call(*self._ends[name])
            elif rng.random() < _CHOSEN:
                await self._after_moment(self._ends[name][0], rng.choice(_MOMENTS[name]))
            else:
                await asyncio.sleep(rng.choice((0.1, 1.0, 4.0)) * rng.uniform(0.2, 1.8))
        for name in names:
            await self._cut(*self._ends[name])
        begun = time.monotonic()
        for name in reversed(names):
            program, disk = self._ends[name]
            await asyncio.to_thread(disk.remount)
            await program.start()
        self._run.recovered(time.monotonic() - begun)

    async def _after_moment(self, program: Program, event: str) -> None:
        """Wait until its log says `event` once or a few times more."""
        known = len(await program.said(event))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST):
                await program.says(event, known + self._run.rng.randint(1, 3))

    async def _stopped_at_call(self, program: Program, disk: LoopDisk) -> None:
        """Start it anew so that the kernel stops it at the n-th of some call; return when it stands there."""
        rng, trace = self._run.rng, disk.image.with_suffix(".strace")
        call = rng.choice(list(_CALLS))
        chosen = f"{call}:signal=SIGSTOP:when={rng.randint(1, _CALLS[call])}"
        await program.stop()
        plain = list(program.command)
        # -D: the program, not strace, is the child that is killed later
        tracing = ("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", str(trace), "-e", f"trace={call}")
        program.command = [*tracing, "-e", f"inject={chosen}", *plain]
        starting = asyncio.ensure_future(program.start())
        with contextlib.suppress(TimeoutError):  # it makes fewer such calls: it is cut off at work
            async with asyncio.timeout(_LONGEST):
                while not await asyncio.to_thread(_stands, trace):  # noqa: ASYNC110 -- another process writes it
                    await asyncio.sleep(_LOOK)
        program.command = plain
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)

    async def _cut(self, program: Program, disk: LoopDisk) -> None:
        if self._run.rng.random() < _KILLED_FIRST:
            await program.stop(signal.SIGKILL)
        await asyncio.to_thread(disk.cut)
        await program.stop(signal.SIGKILL)


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_socket()]


def _stands(trace: Path) -> bool:
    return trace.exists() and "stopped by SIGSTOP" in trace.read_text(errors="replace")


async def _recorded(run: Run, over: asyncio.Event) -> None:
    """Record device and receiver at work, judge a cut after each of their operations, and again, until it is `over`."""
    points, wrong, rng = 0, 0, Random(run.seed)
    while not over.is_set():
        with tempfile.TemporaryDirectory(prefix="powercut-", dir=_MEMORY) as memory:
            judged = chain(_of_device(rng, Path(memory)), _of_receiver(rng, Path(memory)))
            while not over.is_set() and (found := await asyncio.to_thread(next, judged, None)) is not None:
                cut, sentences = found
                run.figures.cycles += 1
                run.obliged(len(cut.said))
                run.found(_finding(cut, sentence) for sentence in sentences)
                points, wrong = points + 1, wrong + len(sentences)
                if points % _NOTED == 0:
                    run.note(f"{points} cuts of recorded runs, {wrong} findings")
    run.note(f"{points} cuts of recorded runs, {wrong} findings")


def _of_device(rng: Random, folder: Path) -> Iterator[tuple[Cut, list[str]]]:
    verdict = Verdict()
    for cut in _chosen("tests.powercut.device_program", folder / "device", rng, "4", "1"):
        yield cut, _judged(partial(verdict.judge, cut.root, cut.said, "boot-2"))


def _of_receiver(rng: Random, folder: Path) -> Iterator[tuple[Cut, list[str]]]:
    seed = str(rng.randrange(1 << 30))
    for cut in _chosen("tests.powercut.receiver_program", folder / "receiver", rng, "6", seed):
        yield cut, _judged(partial(receiver_verdict.judge, cut.root, cut.said, ordered=cut.ordered))


def _chosen(program: str, state: Path, rng: Random, *arguments: str) -> Iterator[Cut]:
    state.mkdir(mode=0o700)
    recording = record(["-m", program, str(state), *arguments], state, limit=300.0)
    return cuts(recording, state.parent, rng)


def _judged(judge: Callable[[], list[str]]) -> list[str]:
    try:
        return judge()
    except Exception as error:  # noqa: BLE001 -- whatever keeps it from starting again is what this looks for
        return [f"lost: it does not start, {type(error).__name__}: {error}"]


def _finding(cut: Cut, sentence: str) -> Finding:
    kind, _, what = sentence.partition(": ")
    text = f"cut after operation {cut.after} of a recorded run: {sentence}"
    return Finding(kind=_KINDS[kind], what=what, text=text)
