"""One mail to one recipient through the first relay that takes it; a gate before each relay."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from edged.base.errors import (
    ConfigError,
    CredentialsError,
    DeliveryError,
    Mistake,
    NoAnswerError,
    PossiblySentError,
    RefusedError,
    RejectedError,
)
from edged.base.gate import Gate, GateFigures, GateState
from edged.base.secret import reveal
from edged.channels import mime
from edged.channels.address import parse_mailbox
from edged.channels.refusals import TooLargeError, UnfitError
from edged.channels.session import Accepted, Endpoint, MakeSocket, Session, open_session
from edged.channels.settings import MailSettings, Relay, Security

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edged.base.clock import Clock

__all__ = ["Accepted", "Endpoint", "Mailer", "RelayState", "check", "resolve"]

Compose = Callable[[], Awaitable[bytes]]

log = structlog.get_logger(__name__)

_PROBE = 2.0  # seconds after which whoever finds a relay being tried by another asks again


@dataclass(frozen=True, kw_only=True, slots=True)
class RelayState:
    """A relay as the status page shows it; `reason` says why it rests, "" while it works."""

    name: str
    state: GateState
    reason: str
    wait: float  # seconds until it is tried again


@dataclass(kw_only=True, slots=True)
class _Door:
    endpoint: Endpoint
    gate: Gate
    error: DeliveryError | None = None  # what closed the gate


class Mailer:
    """Sends through `endpoints` in their order; a relay that does not answer as it should rests for a while.

    `make_socket` takes family, type and protocol: whoever counts bytes gives one of its own.
    """

    def __init__(
        self,
        settings: MailSettings,
        endpoints: Sequence[Endpoint],
        clock: Clock,
        *,
        figures: GateFigures | None = None,
        make_socket: MakeSocket = socket.socket,
    ) -> None:
        self._clock = clock
        self._make_socket = make_socket
        self._doors: list[_Door] = []
        self.adopt(settings, endpoints, figures or GateFigures())

    def adopt(self, settings: MailSettings, endpoints: Sequence[Endpoint], figures: GateFigures) -> None:
        """Go by other settings from the next mail on; a relay that stays keeps its gate, a mail under way its relay."""
        self._settings = settings
        self._sender = parse_mailbox(settings.sender).address if settings.sender else ""
        known = {door.endpoint.relay: door for door in self._doors}
        self._doors = [
            known.get(endpoint.relay) or _Door(endpoint=endpoint, gate=Gate(figures)) for endpoint in endpoints
        ]
        for door, endpoint in zip(self._doors, endpoints, strict=True):
            door.endpoint = endpoint
            door.gate.adopt(figures)

    @property
    def relays(self) -> tuple[RelayState, ...]:
        """The relays' states, in order."""
        now = self._clock.mono()
        return tuple(
            RelayState(
                name=door.endpoint.relay.name,
                state=door.gate.state,
                reason=door.gate.reason,
                wait=door.gate.wait(now),
            )
            for door in self._doors
        )

    def wait(self) -> float:
        """Return seconds until some relay may be tried: 0.0 when one may already."""
        now = self._clock.mono()
        return min((_PROBE if door.gate.taken else door.gate.wait(now) for door in self._doors), default=0.0)

    def hasten(self, *, corrected: bool = False) -> None:
        """Let the relays that did not answer be tried at once: the link is back.

        With `corrected` also those that refused the login or showed a bad certificate: a person says that it is right.
        """
        for door in self._doors:
            if corrected or not isinstance(door.error, CredentialsError | UnfitError):
                door.gate.hasten()

    async def send(
        self, message: bytes | Compose, *, recipient: str, before_dot: Callable[[], Awaitable[None]] | None = None
    ) -> Accepted:
        """Send `message` (CRLF, 7 bit) to the one address `recipient`.

        A function instead of bytes is awaited when a relay is ready for the mail, so it can say what is true then.
        `before_dot` is awaited just before a relay may have the mail, once for each relay that comes so far.
        Raises PossiblySentError at once; RejectedError when every relay refuses for good; else RefusedError,
        CredentialsError or NoAnswerError, with what each relay said; `retry_after` is set while all of them rest.
        """
        errors: list[DeliveryError] = []
        for door in self._doors:
            if not door.gate.admit(self._clock.mono()):
                errors.append(_declined(door))
                continue
            try:
                return await self._through(door, message, recipient, before_dot or _nothing)
            except PossiblySentError:
                raise  # another relay would make a duplicate for sure
            except DeliveryError as error:
                errors.append(error)
        raise _verdict(errors, self.wait())

    async def _through(
        self, door: _Door, message: bytes | Compose, recipient: str, before_dot: Callable[[], Awaitable[None]]
    ) -> Accepted:
        try:
            if isinstance(door.error, CredentialsError | UnfitError):
                await asyncio.to_thread(_renew, door)
            async with open_session(door.endpoint, self._settings, self._clock, self._make_socket) as session:
                whole = message if isinstance(message, bytes) else await message()
                accepted = await self._transfer(session, door, whole, recipient, before_dot)
        except (CredentialsError, UnfitError) as error:
            self._rest(door, error)
            raise
        except NoAnswerError as error:
            door.error = error
            door.gate.fail(self._clock.mono(), str(error))
            raise
        except DeliveryError:
            door.gate.succeed()  # it said no, so it is there
            raise
        except BaseException:
            door.gate.cancel()
            raise
        door.error = None
        door.gate.succeed()
        return accepted

    async def _transfer(
        self, session: Session, door: _Door, message: bytes, recipient: str, before_dot: Callable[[], Awaitable[None]]
    ) -> Accepted:
        name = door.endpoint.relay.name
        try:
            answer = await session.transfer(message, sender=self._sender, recipient=recipient, before_dot=before_dot)
            return Accepted(relay=name, answer=answer, size=len(message), stripped=False)
        except TooLargeError:
            smaller = await asyncio.to_thread(mime.without_pictures, message)
            if smaller is None:
                raise
        try:
            await session.start_anew()
        except DeliveryError:  # it hung up on what it refused
            async with open_session(door.endpoint, self._settings, self._clock, self._make_socket) as another:
                answer = await another.transfer(
                    smaller, sender=self._sender, recipient=recipient, before_dot=before_dot
                )
        else:
            answer = await session.transfer(smaller, sender=self._sender, recipient=recipient, before_dot=before_dot)
        return Accepted(relay=name, answer=answer, size=len(smaller), stripped=True)

    def _rest(self, door: _Door, error: DeliveryError) -> None:
        seconds = float(self._settings.login_pause)
        if str(error) != str(door.error):
            log.error("mail relay paused", relay=door.endpoint.relay.name, seconds=seconds, error=str(error))
        door.error = error
        door.gate.pause(self._clock.mono(), seconds, str(error))


async def check(endpoint: Endpoint, settings: MailSettings, clock: Clock) -> str:
    """Connect, bring TLS up and log in without sending; return a sentence on what works, raise a DeliveryError else."""
    async with open_session(endpoint, settings, clock) as session:
        login = f"login as {endpoint.relay.user} accepted" if endpoint.relay.user else "no login configured"
        return f"{endpoint.relay.name}: {session.protection or 'no TLS'}, {login}"


def resolve(settings: MailSettings, key: str = "mail") -> tuple[Endpoint, ...]:
    """Read the relays' passwords and authorities; blocking, so on a thread. ConfigError names the key below `key`."""
    return tuple(_resolve(relay, f"{key}.relays.{number}") for number, relay in enumerate(settings.relays, start=1))


def _resolve(relay: Relay, key: str) -> Endpoint:
    password = reveal(relay.password, f"{key}.password")
    if relay.security is Security.OPPORTUNISTIC:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # nothing is verified: no authorities, which are a megabyte
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return Endpoint(relay=relay, password=password, context=context)
    try:
        context = ssl.create_default_context(cafile=relay.ca_file)
    except OSError as error:
        text = f"{relay.ca_file} holds no certificates that can be read: {error.strerror or error}"
        raise ConfigError((Mistake(key=f"{key}.ca_file", text=text),)) from error
    return Endpoint(relay=relay, password=password, context=context)


def _renew(door: _Door) -> None:
    """Read a relay's password and authorities anew: a person may have corrected the files since they did not do."""
    relay = door.endpoint.relay
    try:
        door.endpoint = _resolve(relay, relay.name)
    except ConfigError as error:
        log.warning("mail relay's secrets can't be read anew", relay=relay.name, error=str(error))


def _declined(door: _Door) -> DeliveryError:
    if door.error is None or door.gate.taken:
        return NoAnswerError(f"{door.endpoint.relay.name} is being tried")
    return type(door.error)(str(door.error))  # not itself: each time it is raised its traceback would grow


def _verdict(errors: list[DeliveryError], wait: float) -> DeliveryError:
    """Return the one error for what all relays said: for good only if every one refuses for good.

    `wait`: seconds until some relay may be tried.
    """
    if not errors:
        return CredentialsError("no relay is configured: add a [[mail.relays]] to send mail")
    verdict = errors[0] if len(errors) == 1 else _joined(errors)
    if wait > 0.0 and isinstance(verdict, CredentialsError | NoAnswerError):
        verdict.retry_after = wait
    return verdict


def _joined(errors: list[DeliveryError]) -> DeliveryError:
    told = "; ".join(dict.fromkeys(str(error) for error in errors))
    if all(isinstance(error, RejectedError) for error in errors):
        return RejectedError(told)
    if any(isinstance(error, RefusedError | RejectedError) for error in errors):
        return RefusedError(told)
    if all(isinstance(error, CredentialsError) for error in errors):
        return CredentialsError(told)
    return NoAnswerError(told)


async def _nothing() -> None:
    return
