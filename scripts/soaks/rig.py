"""The rig: a device and a receiver as real processes, lines between them that can be broken, and the oracle over all.

async with open_rig(run.folder) as rig:
    await rig.start()
    ...break things: rig.device.kill(), rig.line.reset_after = 1000, rig.mailbox.faults...
    await rig.round(run)        # settle, judge, count, and go on
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged.base.errors import EdgedError
from edged.supervise.control import call
from scripts.soaks import tables
from scripts.soaks.oracle import device, mails, promises, receiver
from scripts.soaks.oracle.judge import Finding, judge
from scripts.soaks.program import Program, SoakError, no_cores
from tests.mailbox import serve_mail
from tests.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from scripts.soaks.oracle.receiver import Content
    from scripts.soaks.run import Run
    from tests.mailbox import Mailbox

EDGED = (sys.executable, "-c", "from edged.cli import main; main()")
SABOTAGED = (sys.executable, "-P", str(Path(__file__).with_name("sabotage.py")))  # for `Rig.sabotage`
WATCHDOG = 15.0  # seconds; generous, for the machine may be busy
SETTLE = 300.0  # seconds in which everything must be delivered once nothing is broken any more
_THREADS = 64  # more than the device's pool of 32, its cameras and its libraries ever are together
_SOCKETS = 32
_LOOK = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the oracle found over everything so far; the figures count what is new since the last verdict."""

    findings: tuple[Finding, ...]
    obligations: int
    useful_bytes: int
    wire_bytes: int


@dataclass(kw_only=True)
class Rig:
    """One device, one receiver, one mailbox; `line` leads to the receiver, `mail_line` to the mailbox.

    `healers` are awaited by `settle`, for faults that the rig does not know of.
    """

    folder: Path
    device: Program
    receiver: Program
    line: Proxy
    mail_line: Proxy
    mailbox: Mailbox
    device_state: Path
    receiver_state: Path
    watch_gaps: bool = True  # not when the device's clock is another one
    healers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    _judged: _Counts = field(default_factory=lambda: _Counts())  # noqa: PLW0108 -- defined below
    _contents: dict[str, Content] = field(default_factory=dict)
    _running: list[Finding] = field(default_factory=list)

    async def start(self) -> None:
        """Start both, the receiver first, and wait until they are ready."""
        await self.receiver.start()
        await self.device.start()

    async def command(self, name: str, *, timeout: float = 60.0, **args: Any) -> Any:
        """Send the device a command of its control socket; EdgedError when it refuses or is not there."""
        return await call(self.device_state / "control.sock", name, args, timeout=timeout)

    async def record(self, camera: str, seconds: float) -> str:
        """Record by hand, as `edged record CAMERA --for`; return the incident."""
        return str((await self.command("record", camera=camera, seconds=seconds))["incident"])

    def sabotage(self, how: str, task: str = "") -> None:
        """Have the saboteur in the device, started as SABOTAGED, do something: see scripts/soaks/sabotage.py."""
        (self.folder / "sabotage").write_text(f"{how} {task}")
        self.device.send(signal.SIGUSR1)

    async def heal(self) -> None:
        """End every fault that the rig knows."""
        for line in (self.line, self.mail_line):
            line.rate, line.delay, line.reset_after, line.lose_answer_at = None, 0.0, None, None
            line.stall = line.refuse = False
        self.mailbox.faults.clear()
        self.mailbox.pause = 0.0
        for healer in self.healers:
            await healer()

    async def settle(self) -> None:
        """Heal, then have the device stop watching, close what is open and deliver everything that waits."""
        await self.heal()
        await self.start()
        with contextlib.suppress(TimeoutError):  # what has not come back by then, the oracle will tell
            await self.watching()
        async with asyncio.timeout(SETTLE):
            while not await self._drain():
                await self.device.ready()
                await asyncio.sleep(0.2)

    async def watching(self) -> None:
        """Wait until all cameras give pictures; TimeoutError when they don't."""
        async with asyncio.timeout(SETTLE / 2):
            while not await self._sees():  # noqa: ASYNC110 -- another process is asked
                await asyncio.sleep(_LOOK)

    async def _sees(self) -> bool:
        """Return whether all cameras give pictures, and the ledger of gaps says so."""
        try:
            cameras = (await self.command("status")).values()
            return all(camera["well"] for camera in cameras) and not await asyncio.to_thread(
                device.open_gaps, self.device_state
            )
        except (EdgedError, OSError, sqlite3.Error):  # it ended meanwhile, or is being written: look again
            return False

    async def _drain(self) -> bool:
        """Return whether nothing waits; what is wrong after so long is for the oracle to say."""
        try:
            await self.command("drain", wait=SETTLE / 2, timeout=SETTLE)
        except EdgedError:  # it ended meanwhile: its next life goes on
            return False
        return True

    async def judge(self) -> Verdict:
        """Look at what still runs, stop both in order, and have the oracle judge everything so far."""
        self._running = [finding for program in (self.device, self.receiver) for finding in overgrown(program)]
        for program in (self.device, self.receiver):
            code = await program.stop()
            if code:
                text = f"{program.name} ended with {code} when it was told to stop; its log: {program.log}"
                self._running.append(Finding(kind="left_over", what=f"stop {program.name}", text=text))
        self._running += await examined(self.folder / "edged.toml")
        return await asyncio.to_thread(self._verdict)

    def _verdict(self) -> Verdict:
        with self.device.log.open("rb") as log:
            promised = promises.read(log)
        there = receiver.look(self.receiver_state, self._contents)
        self._contents = there.contents
        taken = mails.read([(mail.recipients, mail.raw) for mail in self.mailbox.mails])
        here = device.look(self.device_state)
        found = judge(promised, here, there, taken, self.device.absences if self.watch_gaps else ())
        before, self._judged = (
            self._judged,
            _Counts(
                obligations=len(promised),
                useful=sum(int(row["size"]) for row in there.files),
                wire=self.line.upstream,
            ),
        )
        return Verdict(
            findings=(*found, *self._running),
            obligations=self._judged.obligations - before.obligations,
            useful_bytes=self._judged.useful - before.useful,
            wire_bytes=self._judged.wire - before.wire,
        )

    async def round(self, run: Run, *, again: bool = True) -> Verdict:
        """End a round: settle, judge and count; then start `again` with the same folders."""
        await self.settle()
        verdict = await self.judge()
        run.found(verdict.findings)
        run.obliged(verdict.obligations)
        run.sent(verdict.useful_bytes, verdict.wire_bytes)
        for seconds in self.device.recoveries:
            run.recovered(seconds)
        run.note(
            f"cycle {run.figures.cycles}: {run.figures.obligations} obligations, {len(verdict.findings)} findings,"
            f" {self.device.starts} starts of the device, {self.receiver.starts} of the receiver"
        )
        if again:
            await self.start()
        return verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counts:
    obligations: int = 0
    useful: int = 0
    wire: int = 0


@contextlib.asynccontextmanager
async def open_rig(
    folder: Path,
    *,
    device_table: Mapping[str, Any] | None = None,
    receiver_table: Mapping[str, Any] | None = None,
    device_state: Path | None = None,
    receiver_state: Path | None = None,
    device_command: tuple[str, ...] = EDGED,
    receiver_command: tuple[str, ...] = EDGED,
    watchdog: float = WATCHDOG,
    environment: Mapping[str, str] | None = None,
    **mail: Any,
) -> AsyncIterator[Rig]:
    """Set everything up below `folder` (may exist, must be empty), nothing started; at the end everything is killed.

    The tables lie over those of `tables.device` and `tables.receiver`. A state directory may be elsewhere, such as on
    a mounted loop disk; a command may be more than edged's own ("run", "receive" and --config FILE follow it);
    `environment` is the device's; `mail` goes to `tests.mailbox.serve_mail`.
    """
    no_cores()
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    home, far = device_state or folder / "device", receiver_state or folder / "receiver"
    port = _free_port()
    async with serve_mail(**mail) as mailbox, Proxy(port) as line, Proxy(mailbox.port) as mail_line:
        key = folder / "receiver.key"
        there = tables.merged(tables.receiver(far, port), receiver_table or {})
        here = tables.device(home, receiver=f"http://127.0.0.1:{line.port}", key=key, mail_port=mail_line.port)
        here = tables.merged(here, device_table or {})
        await asyncio.to_thread(_configure, folder, here, there, key)
        rig = Rig(
            folder=folder,
            device=Program(
                "device",
                (*device_command, "run", "--config", str(folder / "edged.toml")),
                folder,
                ready="edged runs",
                watchdog=watchdog,
                environment={
                    "SABOTAGE": str(folder / "sabotage"),
                    "RUNTIME_DIRECTORY": str(folder / "run"),  # as systemd has it
                    **(environment or {}),
                },
            ),
            receiver=Program(
                "receiver",
                (*receiver_command, "receive", "--config", str(folder / "receiver.toml")),
                folder,
                ready="receiver listens",
            ),
            line=line,
            mail_line=mail_line,
            mailbox=mailbox,
            device_state=home,
            receiver_state=far,
        )
        try:
            yield rig
        finally:
            for program in (rig.device, rig.receiver):
                await program.end()


def _configure(folder: Path, here: tables.Table, there: tables.Table, key: Path) -> None:
    """Write both configurations, and the key that the receiver makes for the device."""
    (folder / "edged.toml").write_text(tables.toml(here))
    (folder / "receiver.toml").write_text(tables.toml(there))
    made = subprocess.run(
        (*EDGED, "receive", "device", "add", tables.DEVICE, "--replace", "--config", folder / "receiver.toml"),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise SoakError(f"the receiver made no key for the device: {made.stderr.strip()}")
    (folder / "run").mkdir(mode=0o700)
    key.touch(mode=0o600)
    key.write_text(made.stdout.strip())


async def examined(config: Path) -> list[Finding]:
    """Have the device's own check look at what a stopped device has left; return what it finds."""
    process = await asyncio.create_subprocess_exec(
        *(*EDGED, "fsck", "--config", str(config)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    told, _ = await process.communicate()
    if not process.returncode:
        return []
    lines = [line for line in told.decode(errors="replace").splitlines() if not line.startswith("note: ")]
    return [Finding(kind="left_over", what="fsck", text=f"edged fsck: {line}") for line in lines]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def overgrown(program: Program) -> list[Finding]:
    """Return what a running process has too much of: threads, sockets, open files that are deleted."""
    try:
        home = Path(f"/proc/{program.pid}")
        threads = len(list((home / "task").iterdir()))
        held = [str(link.readlink()) for link in (home / "fd").iterdir()]
    except (SoakError, OSError):  # it has ended
        return []
    found = []
    if threads > _THREADS:
        found.append(f"{threads} threads are left in the {program.name}")
    if (sockets := sum(path.startswith("socket:") for path in held)) > _SOCKETS:
        found.append(f"{sockets} sockets are left in the {program.name}")
    deleted = (path for path in held if path.startswith("/") and path.endswith(" (deleted)"))
    found += [f"the {program.name} keeps the deleted file {path} open" for path in deleted]
    return [Finding(kind="left_over", what=text, text=text) for text in found]
