"""Mail: two relays that fail at each stage in turn, passwords wrong on either side, cuts, and kills in mid-mail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import trustme

from edged.base.errors import EdgedError
from scripts.soaks.oracle.judge import Finding
from scripts.soaks.program import SoakError
from scripts.soaks.rig import open_rig
from scripts.soaks.tables import cameras
from tests.mailbox import Fault, serve_mail
from tests.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from random import Random

    from scripts.soaks.rig import Rig
    from scripts.soaks.run import Run
    from tests.mailbox import Mailbox

_CYCLES = 10  # of breaking in a round
_ROUNDS = 4  # with the same folders
_BY_HAND, _KILL, _CALM, _WRONG = 0.5, 0.3, 0.25, 0.2  # how often, of 1.0
_LINE = 0.35  # how often it is the line of a relay that fails, and not the relay
_BYTES = 60_000  # from now on a line is cut within so many
_MOMENT = 3.0  # seconds to wait for a mail under way, to kill in its middle
_USER, _RIGHT, _WRONG_HERE, _WRONG_THERE = "soak", "right-Pa55word", "wrong-Pa55word", "other-Pa55word"
_RECIPIENTS = ("owner@soak.invalid", "guard@soak.invalid", "night@soak.invalid")
_FAULTS = (
    *(Fault(stage=stage, cut=True) for stage in ("GREETING", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA")),
    *(Fault(stage=stage, stall=True) for stage in ("GREETING", "AUTH", "RCPT", "DATA", "BODY", "DOT")),
    *(Fault(stage=stage, reply="451 4.3.0 later") for stage in ("MAIL", "RCPT", "DATA", "BODY", "DOT")),
    Fault(stage="GREETING", reply="421 4.3.2 too busy"),
    Fault(stage="GREETING", reply="554 not from your address"),
    Fault(stage="EHLO", reply="250 mail.test"),  # STARTTLS and AUTH stripped from the offer
    Fault(stage="STARTTLS", reply="454 no TLS now"),
    Fault(stage="AUTH", reply="535 5.7.8 no"),
    Fault(stage="AUTH", reply="454 4.7.0 no directory"),
    Fault(stage="RCPT", reply="452 4.2.2 full", recipient=_RECIPIENTS[1]),
    Fault(stage="BODY", cut=True),
    Fault(stage="DOT", cut=True),
    Fault(stage="DOT", kept=True, cut=True),
    Fault(stage="DOT", kept=True, stall=True),
)
# For good, so at one relay only: where every relay says so the mail is dead, as it should be.
_FINAL = (
    Fault(stage="RCPT", reply="550 5.7.1 no relaying"),
    Fault(stage="DOT", reply="554 5.7.1 looks like spam"),
    Fault(stage="MAIL", reply="552 5.3.4 too large", larger_than=12_000),  # a digest is, without pictures, too
    Fault(stage="DOT", reply="552 5.3.4 too large", larger_than=12_000),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Post:
    """Two relays and the lines to them, and the file with the password that the device knows."""

    relays: tuple[Mailbox, ...]
    lines: tuple[Proxy, ...]
    password: Path
    authority: Path

    def table(self) -> dict[str, Any]:
        """Return the device's [mail]."""
        return {
            "connect": "2s",
            "reply": "2s",
            "data_reply": "3s",
            "relays": [
                {
                    "host": "127.0.0.1",
                    "port": line.port,
                    "security": "starttls",
                    "user": _USER,
                    "password": {"file": str(self.password)},
                    "ca_file": str(self.authority),
                }
                for line in self.lines
            ],
        }

    async def heal(self) -> None:
        """End every fault."""
        for relay, line in zip(self.relays, self.lines, strict=True):
            relay.faults.clear()
            relay.login, relay.pause = (_USER, _RIGHT), 0.0
            line.reset_after = line.lose_answer_at = line.rate = None
            line.delay, line.stall, line.refuse = 0.0, False, False
        await asyncio.to_thread(self.password.write_text, _RIGHT)


async def soak(run: Run) -> None:
    """Break cycle by cycle; each round ends with the oracle, and some rounds with fresh folders."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd complains of what is done to it
    fresh, over = 0, False
    cycles = run.cycles()
    while not over:
        fresh += 1
        folder = run.folder / str(fresh)
        async with _post(folder) as post, open_rig(folder / "rig", device_table=_table(run.rng, post)) as rig:
            for relay in post.relays:
                relay.mails = rig.mailbox.mails  # whatever relay took it, it is one person's mailbox
            rig.healers.append(post.heal)
            await rig.start()
            async for number in cycles:
                over = run.is_over(number)
                await _break(rig, post, run.rng)
                renew = number % (_CYCLES * _ROUNDS) == 0
                if number % _CYCLES == 0 or over:
                    run.found(await _leaks(rig, post))
                    await rig.round(run, again=not over and not renew)
                    if over or renew:
                        break


def _table(rng: Random, post: _Post) -> dict[str, Any]:
    cooldown = rng.choice(("0s", "0s", "6s"))
    return {
        "cameras": cameras(3, every=9.0),
        "alerts": {"recipients": list(_RECIPIENTS), "cooldown": cooldown, "digest_after": rng.choice(("2s", "60s"))},
        "mail": post.table(),
        # a relay that keeps mails and loses its answers must not end an alert here: whether one arrived is the question
        "push": {"backoff": {"copies": 1000}},
    }


@contextlib.asynccontextmanager
async def _post(folder: Path) -> AsyncIterator[_Post]:
    """Run two relays with STARTTLS and login, and the lines to them."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    password, authority = folder / "password", folder / "authority.pem"
    password.touch(mode=0o600)
    password.write_text(_RIGHT)
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(str(authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert("127.0.0.1").configure_cert(context)
    login = (_USER, _RIGHT)
    async with (
        serve_mail(tls=context, login=login) as first,
        serve_mail(tls=context, login=login) as second,
        Proxy(first.port) as way,
        Proxy(second.port) as detour,
    ):
        yield _Post(relays=(first, second), lines=(way, detour), password=password, authority=authority)


async def _break(rig: Rig, post: _Post, rng: Random) -> None:
    """One cycle: the relays fail in some way, something happens, and perhaps the device dies in mid-mail."""
    if rng.random() < _CALM:
        await post.heal()
    else:
        await _spoil(post, rng)
    if rng.random() < _BY_HAND:
        with contextlib.suppress(EdgedError):  # refused or killed: the log tells what it promised
            await rig.record(f"cam{rng.randint(1, 3)}", rng.uniform(0.5, 3.0))
    await asyncio.sleep(rng.choice((0.3, 1.0, 4.0)) * rng.uniform(0.3, 1.7))
    if rng.random() < _KILL:
        await _under_way(rng.choice(post.relays), rng)
        rig.device.kill()
        await rig.start()


async def _spoil(post: _Post, rng: Random) -> None:
    await post.heal()
    final = rng.randrange(4)  # of 0 and 1 the relay that may refuse for good
    for number, (relay, line) in enumerate(zip(post.relays, post.lines, strict=True)):
        kind = rng.random()
        if kind < _LINE:
            _spoil_line(line, rng)
        else:
            relay.faults[:] = [rng.choice((*_FAULTS, *(_FINAL if number == final else ())))]
    if rng.random() < _WRONG:
        post.relays[rng.randrange(2)].login = (_USER, _WRONG_THERE)
    if rng.random() < _WRONG:
        await asyncio.to_thread(post.password.write_text, _WRONG_HERE)


def _spoil_line(line: Proxy, rng: Random) -> None:
    match rng.choice(("cut", "mute", "refuse", "stall", "slow", "late")):
        case "cut":
            line.reset_after = line.upstream + rng.randrange(_BYTES)
        case "mute":
            line.lose_answer_at = line.upstream + rng.randrange(_BYTES)
        case "refuse":
            line.refuse = True
        case "stall":
            line.stall = True
        case "slow":
            line.rate = rng.uniform(2_000, 60_000)
        case "late":
            line.delay = rng.uniform(0.05, 0.6)


async def _under_way(relay: Mailbox, rng: Random) -> None:
    """Wait, for a moment, until a mail is on its way through `relay`, and a little more."""
    before = relay.commands.count("DATA")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_MOMENT), relay.arrived:
            await relay.arrived.wait_for(lambda: relay.commands.count("DATA") > before)
    await asyncio.sleep(rng.choice((0.0, 0.002, 0.02)) * rng.random())


async def _leaks(rig: Rig, post: _Post) -> list[Finding]:
    """Return where a password can be seen: in the log, in the process list, on a line without TLS."""
    seen = []
    log = await asyncio.to_thread(rig.device.log.read_text, errors="replace")
    with contextlib.suppress(SoakError, psutil.Error):
        log += " ".join(psutil.Process(rig.device.pid).cmdline())
    if any(password in log for password in (_RIGHT, _WRONG_HERE, _WRONG_THERE)):
        seen.append(f"a password stands in {rig.device.log} or in the process list")
    if any({"AUTH", "MAIL"} & set(relay.bare) for relay in post.relays):
        seen.append("a relay was given a login or a mail without TLS")
    return [Finding(kind="corrupt", what=text, text=text) for text in seen]
