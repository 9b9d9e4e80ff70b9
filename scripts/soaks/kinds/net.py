"""Network: the line to the receiver cut at every kind of byte, silent, slow, short-lived, lied on, and impersonated.

Between the device and the rig's line stands a man in the middle who reads HTTP; half of the folders speak TLS to him,
and his certificate may be another's for a while. What the line carried is counted where the device puts it in.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trustme

from edged.base.errors import EdgedError
from scripts.soaks.rig import open_rig
from scripts.soaks.tables import cameras
from tests.middle import At, How, Middle, Spoil

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from random import Random

    from scripts.soaks.rig import Rig
    from scripts.soaks.run import Run

_CYCLES = 8  # of breaking in a round
_ROUNDS = 6  # with the same folders
_PATIENCE = 15.0  # seconds, at most, to wait for a sign of the device
_BY_HAND = 0.4  # how often, of 1.0
_HOST = "127.0.0.1"
_OURS = "Tus-Resumable: 1.0.0\r\nEdged-Receiver: 1\r\n"
_HTML = "Content-Type: text/html\r\n"
_ANSWERS = (
    "HTTP/1.1 401 No\r\n" + _OURS,
    "HTTP/1.1 403 No\r\n" + _OURS,
    "HTTP/1.1 404 No\r\n" + _OURS,
    "HTTP/1.1 409 No\r\n" + _OURS,
    "HTTP/1.1 410 No\r\n" + _OURS,
    "HTTP/1.1 413 No\r\n" + _HTML,
    "HTTP/1.1 422 No\r\n" + _OURS,  # for good: somebody has to ask for it again
    "HTTP/1.1 429 No\r\nRetry-After: 1\r\n" + _OURS,
    "HTTP/1.1 500 No\r\n" + _OURS,
    "HTTP/1.1 502 No\r\n" + _HTML,
    "HTTP/1.1 503 No\r\nRetry-After: 1\r\n" + _OURS,
    "HTTP/1.1 200 OK\r\n" + _HTML,
    "HTTP/1.1 302 Found\r\nLocation: http://portal.invalid/\r\n",
    "HTTP/1.1 200 OK\r\nUpload-Offset: 7\r\n" + _OURS,  # lies: too low, too high, beyond the end
    "HTTP/1.1 200 OK\r\nUpload-Offset: 20000\r\n" + _OURS,
    "HTTP/1.1 200 OK\r\nUpload-Offset: 999999999\r\n" + _OURS,
    "this is no HTTP\r\n",
)
_METHODS = ("POST", "PATCH", "HEAD", "GET")
_FAULTS = (
    "cut",
    "cut",
    "cut",
    "hole",
    "answers",
    "answers",
    "slow",
    "far",
    "lives",
    "stall",
    "refuse",
    "deaf",
    "mail",
    "seal",
)


@dataclass(kw_only=True)
class _Enemy:
    """What happens to the next exchanges: one fault for one of a method, or the same answer to several in a row."""

    spoils: dict[str, Spoil] = field(default_factory=dict)
    answer: bytes = b""
    answers: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def choose(self, method: str, _path: str) -> Spoil | None:
        self.asked.set()
        if self.answers:
            self.answers -= 1
            return Spoil(answer=self.answer)
        return self.spoils.pop(method, None)

    async def relent(self) -> None:
        self.spoils.clear()
        self.answers = 0


class _Seal:
    """The certificate that the middle shows: the right one, or for a while one that must not be trusted."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.file))
        self._show(self._authority, _HOST)

    def spoil(self, rng: Random) -> None:
        """Show the certificate of another authority, or for another name."""
        if rng.random() < 0.5:  # noqa: PLR2004 -- a coin
            self._show(trustme.CA(), _HOST)
        else:
            self._show(self._authority, "elsewhere.invalid")

    async def mend(self) -> None:
        """Show the right one again."""
        self._show(self._authority, _HOST)

    def _show(self, authority: trustme.CA, name: str) -> None:
        authority.issue_cert(name).configure_cert(self.context)


async def soak(run: Run) -> None:
    """Break cycle by cycle; each round ends with the oracle, and some rounds with fresh folders."""
    cycles, fresh, over = run.cycles(), 0, False
    while not over:
        fresh += 1
        folder = run.folder / str(fresh)
        folder.mkdir()
        enemy, seal = _Enemy(), _Seal(folder) if fresh % 2 else None
        async with Middle(0, enemy.choose, tls=seal.context if seal else None) as middle:
            table = {
                "cameras": cameras(3, every=5.0, walk=2.0),
                "push": {"parallel": run.rng.choice((1, 2, 3))},
                "receiver": {"url": f"{'https' if seal else 'http'}://{_HOST}:{middle.port}"},
            }
            if seal:
                table["receiver"]["ca"] = str(seal.file)
            async with open_rig(folder, device_table=table) as rig:
                middle.target = rig.line.port
                rig.healers += [enemy.relent, *([seal.mend] if seal else []), lambda: _revive(rig)]
                over = await _rounds(run, rig, _Ends(middle=middle, enemy=enemy, seal=seal), cycles)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ends:
    middle: Middle
    enemy: _Enemy
    seal: _Seal | None


async def _rounds(run: Run, rig: Rig, ends: _Ends, cycles: AsyncIterator[int]) -> bool:
    """Work with one pair of folders; return whether the run is over."""
    counted = 0
    await rig.start()
    async for number in cycles:
        over = run.is_over(number)
        renew = number % (_CYCLES * _ROUNDS) == 0
        await _break(rig, ends, run)
        if number % _CYCLES == 0 or over:
            await rig.round(run, again=not over and not renew)
            swallowed = ends.middle.upstream - rig.line.upstream  # what the device sent and nobody passed on
            run.sent(0, swallowed - counted)
            counted = swallowed
        if over or renew:
            return over
    return True


async def _break(rig: Rig, ends: _Ends, run: Run) -> None:
    """One cycle: something happens to the line, and is over again, or not before the next one."""
    rng = run.rng
    if rng.random() < _BY_HAND:
        with contextlib.suppress(EdgedError):  # the log tells what was promised
            await rig.record(f"cam{rng.randint(1, 3)}", rng.uniform(1.0, 4.0))
    fault = rng.choice(_FAULTS)
    match fault:
        case "cut" | "hole":
            how = How.HOLE if fault == "hole" else rng.choice((How.RESET, How.CLOSE))
            for method in rng.sample(_METHODS, 2):
                ends.enemy.spoils[method] = Spoil(at=rng.choice(tuple(At)), how=how, depth=rng.random())
        case "answers":
            ends.enemy.answer = (rng.choice(_ANSWERS) + "Content-Length: 2\r\n\r\n{}").encode()
            ends.enemy.answers = rng.randint(1, 6)
        case "mail":
            rig.mail_line.reset_after = rig.mail_line.upstream + rng.randrange(30_000)
        case "seal" if ends.seal is not None:
            ends.seal.spoil(rng)
            await asyncio.sleep(rng.uniform(0.5, 4.0))
            await ends.seal.mend()
        case _:
            await _weaken(rig, fault, rng)
            run.recovered(await _heard_of(ends.enemy))
    await asyncio.sleep(rng.uniform(0.5, 4.0))


async def _weaken(rig: Rig, fault: str, rng: Random) -> None:
    """Have the line itself fail for some seconds, or the receiver read nothing."""
    line, span = rig.line, rng.uniform(1.0, 9.0)
    match fault:
        case "slow":
            line.rate = 8000.0  # 64 kbit/s
        case "far":
            line.delay = rng.uniform(0.2, 0.5)  # each way of what goes up
        case "stall":
            line.stall = True
        case "refuse":
            line.refuse = True
            line.cut()
        case "lives":
            await _flicker(rig, span * 2, rng)
        case "deaf":
            rig.receiver.send(signal.SIGSTOP)
    await asyncio.sleep(span)
    if fault == "deaf":
        rig.receiver.send(signal.SIGCONT)
    line.rate, line.delay, line.stall, line.refuse = None, 0.0, False, False


async def _flicker(rig: Rig, span: float, rng: Random) -> None:
    """Have the line live for a second or two at a time."""
    async with asyncio.timeout(span + 10.0):
        while span > 0.0:
            life = rng.uniform(0.3, 3.0)
            rig.line.refuse = False
            await asyncio.sleep(life)
            rig.line.refuse = True
            rig.line.cut()
            await asyncio.sleep(life / 4)
            span -= life


async def _heard_of(enemy: _Enemy) -> float:
    """Return the seconds until the device asks for something again; 0.0 when it has nothing to ask."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    enemy.asked.clear()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await enemy.asked.wait()
            return loop.time() - began
    return 0.0


async def _revive(rig: Rig) -> None:
    """Do as a person would who sees that a delivery was refused for good: have it sent once more."""
    with contextlib.suppress(EdgedError):  # it is not there: its next life goes on
        await asyncio.sleep(1.0)  # what was under way ends
        await rig.command("outbox.retry", all=True)
