"""The privileged helper as edged sees it: asked by a file, it answers what it has done or refused."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from edged.act.asking import ANSWERS, ASK, REBOOT, Answer, Request, read_answers, reset_of, write_request
from edged.base.pages.pages import duration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.base.pulse import Pulse

log = structlog.get_logger(__name__)

_LOOK = 1.0  # seconds
_PATIENCE = 900.0  # seconds; a reset takes a good minute at most, and several wait for each other
_SHOWN = 86_400.0  # seconds for which /health tells of an answer

_SILENT = "the privileged helper does not answer; see: systemctl status edged-act.path edged-act.service"
_EVENTS = {  # by outcome, and whether it is one camera's
    ("done", True): "camera reset done",
    ("refused", True): "camera reset refused",
    ("failed", True): "camera reset failed",
    ("done", False): "reboot under way",
    ("refused", False): "reboot refused",
    ("failed", False): "reboot failed",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    request: Request
    at: float  # mono


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    request: Request
    answer: Answer
    at: float  # mono


class Helper:
    """Asks by files in `runtime`, edged's runtime directory; None where edged runs without its unit, and nobody reads.

    `on_no_reboot` is called when a reboot that was asked for does not come.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        runtime: Path | None,
        on_no_reboot: Callable[[], Awaitable[None]],
        answers: Path = ANSWERS,
    ) -> None:
        self._clock = clock
        self._ask = None if runtime is None else runtime / ASK
        self._on_no_reboot = on_no_reboot
        self._answers = answers
        self._asked: dict[str, _Asked] = {}
        self._told: dict[str, _Told] = {}

    async def reset(self, camera: str, reason: str) -> None:
        """Ask for a reset of a camera's power."""
        await self._request(Request(name=reset_of(camera), id=secrets.token_hex(16), reason=reason))

    async def reboot(self, reason: str) -> None:
        """Ask for a reboot of the machine."""
        await self._request(Request(name=REBOOT, id=secrets.token_hex(16), reason=reason))

    async def run(self, pulse: Pulse) -> None:
        """Look for answers until cancelled."""
        while True:
            await self.step()
            pulse.beat()
            await asyncio.sleep(_LOOK)

    async def step(self) -> None:
        """Look once for the answers that are missing."""
        if not self._asked:
            return
        answers = await asyncio.to_thread(read_answers, self._answers)
        for name, asked in tuple(self._asked.items()):
            answer = answers.get(name)
            if answer is not None and answer.id == asked.request.id:
                await self._take(asked.request, answer)
            elif self._clock.mono() - asked.at > _PATIENCE:
                if self._ask is not None:  # nobody is to act on it when this outage is long over
                    await asyncio.to_thread((self._ask / name).unlink, missing_ok=True)
                await self._take(asked.request, Answer(id=asked.request.id, outcome="failed", text=_SILENT))

    def sentences(self) -> list[str]:
        """Return what became of the requests of the last day, for people."""
        now = self._clock.mono()
        return [_sentence(told, now - told.at) for told in self._told.values() if now - told.at < _SHOWN]

    async def _request(self, request: Request) -> None:
        self._asked[request.name] = _Asked(request=request, at=self._clock.mono())
        log.warning("camera reset requested" if request.camera else "reboot requested", **_fields(request))
        try:
            if self._ask is None:
                raise FileNotFoundError(0, "edged runs without its systemd unit, so nobody would act on it")
            await asyncio.to_thread(write_request, self._ask, request)
        except OSError as error:
            text = f"can't be asked for: {error.strerror}"
            await self._take(request, Answer(id=request.id, outcome="failed", text=text))

    async def _take(self, request: Request, answer: Answer) -> None:
        del self._asked[request.name]
        self._told[request.name] = _Told(request=request, answer=answer, at=self._clock.mono())
        log.warning(_EVENTS[answer.outcome, bool(request.camera)], **_fields(request), text=answer.text)
        if request.name == REBOOT and answer.outcome != "done":
            await self._on_no_reboot()


def _fields(request: Request) -> dict[str, str]:
    return ({"camera": request.camera} if request.camera else {}) | {"reason": request.reason}


def _sentence(told: _Told, age: float) -> str:
    what = f"A reset of camera {told.request.camera}'s power" if told.request.camera else "A reboot"
    asked = f"{what} was asked for {duration(age)} ago ({told.request.reason})"
    return f"{asked} and {told.answer.outcome}: {told.answer.text}."
