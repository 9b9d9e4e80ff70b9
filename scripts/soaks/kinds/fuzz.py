"""Fuzz: spoiled and made-up input on every port of a real device and receiver, from their peers, and in their parsers.

Between the attacks good work goes on: incidents arrive, an upload of the attacker's own and a good request to each
port must succeed. Bounded by the soak's time; the seed repeats the choices (not the clock's readings in signatures).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from scripts.soaks.fuzzing import port, requests, watch
from scripts.soaks.fuzzing.mutate import garbage, mutated
from scripts.soaks.fuzzing.warp import warp
from scripts.soaks.oracle.places import opened, rows
from scripts.soaks.rig import EDGED, open_rig
from scripts.soaks.tables import cameras

if TYPE_CHECKING:
    from scripts.soaks.fuzzing.port import Connect
    from scripts.soaks.oracle.judge import Finding
    from scripts.soaks.rig import Rig
    from scripts.soaks.run import Run

_CYCLES = 20  # attacks in a round
_ROUNDS = 6  # with the same folders
_BATCH = 40  # inputs of an attack
_AT_ONCE = 8
_LYING = (1.0, 5.0)  # seconds that the device's peers answer nonsense
_INPUTS = 300  # files and messages that a process reads
_READING = 240.0  # seconds for all of them; a hang is found by it
_LISTEN = 0.9  # how often the attacker waits for an answer
_ATTACKER = "mallory"
_TRACES = {"PYTHONFAULTHANDLER": "1"}  # a device that its watchdog ends tells where it stood
_COMMANDS = (
    *(b'{"command": "outbox.list", "args": {}}\n', b'{"command": "outbox.show", "args": {"id": 1}}\n'),
    *(b'{"command": "outbox.retry", "args": {"ids": [1]}}\n', b'{"command": "incidents.list", "args": {"limit": 5}}\n'),
    *(
        b'{"command": "incidents.show", "args": {"id": "x"}}\n',
        b'{"command": "arm", "args": {"order": "auto", "camera": null}}\n',
    ),
    *(b'{"command": "record", "args": {"camera": "x", "seconds": 1}}\n', b'{"command": "status", "args": {}}\n'),
    *(b'{"command": "enqueue", "args": {"paths": ["/nowhere"], "priority": null}}\n',),
)


async def soak(run: Run) -> None:
    """Attack cycle by cycle; each round ends with the oracle, and some rounds with fresh folders."""
    number, fresh, over = 0, 0, False
    cycles = run.cycles()
    while not over:
        fresh += 1
        table = {"cameras": cameras(2, every=20.0)}
        async with open_rig(run.folder / str(fresh), device_table=table, environment=_TRACES) as rig:
            await rig.start()
            ground = await Field.open(rig, run)
            async for number in cycles:
                over = run.is_over(number)
                await ground.attack()
                await ground.look()
                if number % _CYCLES == 0 or over:
                    renew = number % (_CYCLES * _ROUNDS) == 0
                    await ground.withdraw()
                    await rig.round(run, again=not over and not renew)
                    if over or renew:
                        break
                    await ground.know_starts()


@dataclass(kw_only=True)
class Field:
    """A rig under attack: its ports, the attacker, and what was seen of both programs before."""

    rig: Rig
    run: Run
    attacker: requests.Impostor
    ground: watch.Ground
    receiver_port: int
    device_port: int = 0
    starts: tuple[int, int] = (0, 0)
    front: str = ""
    last: list[bytes] = field(default_factory=list)  # what the present attack has sent

    @classmethod
    async def open(cls, rig: Rig, run: Run) -> Field:
        """Make the attacker known to the receiver and note how everything stands."""
        key = await asyncio.to_thread(_enrol, rig)
        ground = watch.Ground(
            root=rig.folder,
            states=(rig.device_state, rig.receiver_state, rig.folder / "run"),
            logs=(rig.device.log.name, rig.receiver.log.name),
        )
        await asyncio.to_thread(ground.remember)
        attacker = requests.Impostor(name=_ATTACKER, key=key, rng=run.rng)
        opened = cls(rig=rig, run=run, attacker=attacker, ground=ground, receiver_port=rig.line.target)
        await opened.know_starts()
        return opened

    async def know_starts(self) -> None:
        """Note how often both were started, and where the device's page is now."""
        self.starts = (self.rig.device.starts, self.rig.receiver.starts)
        told = await self.rig.device.says("status page is up", self.rig.device.starts)
        self.device_port = int(str(told["address"]).rpartition(":")[2])

    async def attack(self) -> None:
        """Spoil one kind of input, a batch of it."""
        fronts = (self._receiver, self._receiver, self._page, self._control, self._peers, self._files)
        front = self.run.rng.choice(fronts)
        self.last = []
        self.front = front.__name__.strip("_")
        await front()

    async def look(self) -> None:
        """Hold both programs to what must stay true, and do good work in between."""
        rig, found = self.rig, await self._good_work()
        before, self.starts = self.starts, (rig.device.starts, rig.receiver.starts)
        for program, now, then in zip((rig.device, rig.receiver), self.starts, before, strict=True):
            found += watch.ended(program.name, now, then)
            if program.running:
                found += watch.grown(program.name, await asyncio.to_thread(watch.resident, program.pid))
            found += watch.crashes(program.name, await program.events())
        found += await asyncio.to_thread(self.ground.trespasses)
        self._tell(found)

    def _tell(self, found: list[Finding]) -> None:
        """Count findings, and keep what may have led to them."""
        self.run.found(found)
        if found:
            kept = self.run.folder / f"attack-{self.run.figures.cycles}-{self.front}"
            kept.write_text("".join(f"{data!r}\n" for data in self.last))

    async def withdraw(self) -> None:
        """Remove the attacker's unfinished uploads, so that what is left over is the programs' own."""
        for location in await asyncio.to_thread(_unfinished, self.rig):
            await port.asked(self._to_receiver, self.attacker.removal(location))

    # ------------------------------------------------------------------------------------------------ the fronts

    async def _receiver(self) -> None:
        rng = self.run.rng
        makers = (
            lambda: mutated(rng, requests.good(rng, self.attacker), [requests.good(rng, None)]),
            lambda: requests.made_up(rng, of_device=False),
            self.attacker.signed_nonsense,
            lambda: garbage(rng),
        )
        await self._batch("receiver", self._to_receiver, [rng.choice(makers)() for _ in range(_BATCH)])

    async def _page(self) -> None:
        rng = self.run.rng
        makers = (
            lambda: mutated(rng, requests.good(rng, None)),
            lambda: requests.made_up(rng, of_device=True),
            lambda: garbage(rng),
        )
        await self._batch("device's page", self._to_page, [rng.choice(makers)() for _ in range(_BATCH)])

    async def _control(self) -> None:
        rng = self.run.rng
        lines = [mutated(rng, rng.choice(_COMMANDS), _COMMANDS) + b"\n" for _ in range(_BATCH)]
        connect = partial(asyncio.open_unix_connection, self.rig.device_state / "control.sock")
        await self._batch("control socket", connect, lines)

    async def _peers(self) -> None:
        """Have receiver and relay answer nonsense for a while."""
        rig, rng = self.rig, self.run.rng
        lines = {rig.line: rig.line.target, rig.mail_line: rig.mail_line.target}
        async with warp(rig.line.target, rng) as far, warp(rig.mail_line.target, rng, smtp=True) as relay:
            rig.line.target, rig.mail_line.target = far.port, relay.port
            try:
                rig.line.cut()
                rig.mail_line.cut()
                await asyncio.sleep(rng.uniform(*_LYING))
            finally:
                for line, target in lines.items():
                    line.target = target
                    line.cut()

    async def _files(self) -> None:
        """Have edged's readers read spoiled files and messages in a process of their own."""
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="files-", dir=self.run.folder)
        seed = str(self.run.rng.randrange(10**6))
        command = (sys.executable, "-m", "scripts.soaks.fuzzing.parsers", seed, str(_INPUTS), folder)
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(_READING):
                told, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            told, _ = await process.communicate()
        found = watch.misread(seed, told.decode().splitlines())
        self.run.found(found)
        if not found:
            await asyncio.to_thread(shutil.rmtree, folder)

    async def _batch(self, name: str, connect: Connect, inputs: list[bytes]) -> None:
        rng, self.last = self.run.rng, inputs
        listens = [rng.random() < _LISTEN for _ in inputs]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(data: bytes, listen: bool) -> None:
            async with gate:
                with contextlib.suppress(OSError):  # that it takes no connection, good work will tell
                    self.run.found(
                        watch.blamed(name, data, port.failures(await port.thrown(connect, data, listen=listen)))
                    )

        await asyncio.gather(*map(one, inputs, listens))

    # ------------------------------------------------------------------------------------------------ good work

    async def _good_work(self) -> list[Finding]:
        page = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        command = b'{"command": "status"}\n'
        control = partial(asyncio.open_unix_connection, self.rig.device_state / "control.sock")
        found = []
        for name, connect, sent, good, end in (
            ("device's page", self._to_page, page, b" 200 ", b"\r\n\r\n"),
            ("control socket", control, command, b'"ok": true', b"\n"),
        ):
            try:
                answer = await port.asked(connect, sent, end)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                answer = b""
            if good not in answer:
                found.append(watch.unanswered(name, sent))
        if not await self._uploads():
            found.append(watch.unanswered("receiver", b"an upload"))
        self.run.obliged(3)
        return found

    async def _uploads(self) -> bool:
        """Upload a small document as a good device would; return whether it was proven."""
        body = self.run.rng.randbytes(200)
        try:
            created = await port.asked(self._to_receiver, self.attacker.creation(body))
            location = created.partition(b"Location: ")[2].partition(b"\r\n")[0].decode()
            done = await port.asked(self._to_receiver, self.attacker.patch(location, "0", body))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
        blob = hashlib.sha256(body).hexdigest()
        stored = self.rig.receiver_state / "blobs" / blob[:2] / blob
        return b"Edged-Receipt: " in done and await asyncio.to_thread(stored.is_file)

    async def _to_receiver(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.receiver_port)

    async def _to_page(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.device_port)


def _enrol(rig: Rig) -> str:
    """Make the attacker a device of the receiver; return its key."""
    command = (
        *EDGED,
        "receive",
        "device",
        "add",
        _ATTACKER,
        "--replace",
        "--config",
        str(rig.folder / "receiver.toml"),
    )
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _unfinished(rig: Rig) -> list[str]:
    """Return the addresses of the attacker's uploads that are not whole."""
    with opened(rig.receiver_state / "receiver.db") as connection:
        begun = rows(connection, "SELECT id, owner FROM upload")
    return [f"/files/{row['id']}" for row in begun if row["owner"] == _ATTACKER]
