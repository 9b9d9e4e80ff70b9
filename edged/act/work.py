"""One request after the other: what root's configuration and the day's budget allow is done, entered and answered."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from edged.act.asking import Answer, RefusedRequestError, take_requests, write_answer
from edged.act.ledger import Entry, elapsed, grown, is_spent, open_ledger, write_ledger
from edged.act.usb import Bus, UsbError, reset
from edged.base.clock import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edged.act.asking import Request
    from edged.act.settings import ActConfig
    from edged.base.clock import Clock

log = structlog.get_logger(__name__)

_EVENTS = {"done": "request done", "refused": "request refused", "failed": "request failed"}
_PATIENCE = 30.0  # seconds that systemd may take to accept a reboot
_WORTH = 3600.0  # seconds that a ledger grows older before a mere refusal writes it: a card wears


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where requests are found, where answers and the ledger are kept, and where USB devices are."""

    ask: Path
    answers: Path
    ledger: Path
    bus: Bus


def refusal(request: Request, config: ActConfig, entries: Sequence[Entry]) -> str:
    """Return why a request must not be done, "" if it may; `entries` are as old as they are now."""
    if request.camera:
        rule = config.reset.get(request.camera)
        if rule is None:
            return f"not configured: there is no [reset.{request.camera}] in act.toml"
        a_day = rule.a_day
    else:
        if not config.reboot.allowed:
            return "not configured: act.toml allows no reboot"
        a_day = config.reboot.a_day
    return f"budget: {a_day} in a day are done" if is_spent(entries, request.name, a_day) else ""


def reboot() -> str:
    """Have systemd reboot the machine in order; return what was done. subprocess.SubprocessError, OSError."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # of that very reboot: the answer comes first
    subprocess.run(["systemctl", "reboot"], check=True, capture_output=True, text=True, timeout=_PATIENCE)  # noqa: S607 -- the unit's path
    return "the machine reboots"


def work(config: ActConfig, places: Places, clock: Clock, restart: Callable[[], str] = reboot) -> None:
    """Take every request there is; OSError if the directory or the answers can't be used."""
    for request in take_requests(places.ask):
        if isinstance(request, RefusedRequestError):
            log.warning("not a request", reason=str(request))
            continue
        answer = _answer(request, config, places, clock, restart)
        log.warning(
            _EVENTS[answer.outcome],
            request=request.name,
            **({"camera": request.camera} if request.camera else {}),
            reason=request.reason,
            text=answer.text,
        )
        write_answer(places.answers, request, answer)


def _answer(request: Request, config: ActConfig, places: Places, clock: Clock, restart: Callable[[], str]) -> Answer:
    now = stamp(clock)
    try:
        before = open_ledger(places.ledger, now)
        entries = grown(before, now)
        if why := refusal(request, config, entries):
            if any(elapsed(entry.seen, now) > _WORTH for entry in before):
                write_ledger(places.ledger, entries)
            return Answer(id=request.id, outcome="refused", text=why)
        # first the entry: what ends halfway counts as well
        entry = Entry(what=request.name, reason=request.reason, at=now, age=0.0, seen=now)
        write_ledger(places.ledger, [*entries, entry])
    except OSError as error:
        return Answer(id=request.id, outcome="failed", text=f"the ledger {places.ledger}: {error.strerror}")
    try:
        return Answer(id=request.id, outcome="done", text=_do(request, config, places, clock, restart))
    except UsbError as error:
        return Answer(id=request.id, outcome="failed", text=str(error))
    except (OSError, subprocess.SubprocessError) as error:
        words = str(getattr(error, "stderr", None) or error).strip()
        return Answer(id=request.id, outcome="failed", text=f"systemctl reboot: {words}")


def _do(request: Request, config: ActConfig, places: Places, clock: Clock, restart: Callable[[], str]) -> str:
    if not request.camera:
        return restart()
    rule = config.reset[request.camera]
    return reset(rule.usb, rule.method, rule.off, clock, places.bus)
