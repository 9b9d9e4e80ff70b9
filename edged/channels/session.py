"""One conversation with one relay, step by step, each with its own time limit and its own meaning when it fails.

Until the final dot of DATA has left, a lost connection means that nothing was sent; after it, that the relay may
have the mail (RFC 1047). So the dot is sent by itself, after everything else has gone into the socket.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import aiohappyeyeballs
import aiosmtplib

from edged.base.errors import NoAnswerError, PossiblySentError
from edged.channels.refusals import TooLargeError, UnfitError, mapped, refusal
from edged.channels.settings import Security
from edged.channels.text import one_line

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable

    from aiosmtplib.protocol import SMTPProtocol

    from edged.base.clock import Clock
    from edged.channels.settings import MailSettings, Relay

_PIECE = 16 * 1024  # bytes that must leave within `reply` seconds: 550 byte/s at the default of 30 s
_HEAD_START = 0.25  # s for one address family before the next is tried (RFC 8305)
_FAREWELL = 2.0  # s for the answer to QUIT: nothing depends on it, and until it is over nobody knows of the success
_GO_ON = 354
_DOT = b".\r\n"
# No CRAM-MD5 first and no second guess: each wrong try counts towards the lock that providers put on accounts.
_LOGINS = ("plain", "login", "cram-md5")


MakeSocket = Callable[[int, int, int], socket.socket]


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """A relay with what its configuration names: the password's value and the TLS context."""

    relay: Relay
    password: str = field(repr=False)
    context: ssl.SSLContext = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """A relay took the mail: its answer, the bytes of the message, and whether it had to go without its pictures."""

    relay: str
    answer: str
    size: int
    stripped: bool


class Session:
    """An open conversation; made by `open_session`."""

    def __init__(self, client: aiosmtplib.SMTP, endpoint: Endpoint, settings: MailSettings, clock: Clock) -> None:
        self._client = client
        self._endpoint = endpoint
        self._settings = settings
        self._clock = clock
        self._name = endpoint.relay.name
        self._writer: asyncio.StreamWriter | None = None  # kept: one that is dropped closes its transport

    @property
    def largest(self) -> int:
        """The largest message that the relay says it takes, in bytes; 0 when it names no limit (RFC 1870)."""
        limit = self._client.esmtp_extensions.get("size", "")
        return int(limit) if limit.isdecimal() else 0

    @property
    def protection(self) -> str:
        """The TLS version in use, "" for none."""
        over = self._client.get_transport_info("ssl_object")
        return str(over.version()) if over else ""

    async def secure(self) -> None:
        """Greet the relay and bring TLS up as configured; UnfitError if it does not offer what must be."""
        await self._greet()
        security = self._endpoint.relay.security
        if security is Security.TLS:
            return
        if self._client.supports_extension("starttls"):
            with mapped(f"{self._name}, STARTTLS", self._clock):
                await self._client.starttls(timeout=self._settings.connect)
            await self._greet()  # RFC 3207 4.2: what was said before TLS does not count
        elif security is Security.STARTTLS:
            raise UnfitError(
                f"{self._name} offers no STARTTLS, so nothing was sent: check port and security, or the network"
            )

    async def login(self) -> None:
        """Log in if a user is configured, with one method and one try; CredentialsError if refused."""
        relay = self._endpoint.relay
        if not relay.user:
            return
        if not self.protection:
            raise UnfitError(f"{self._name}: a password goes through TLS only")
        method = next((name for name in _LOGINS if name in self._client.server_auth_methods), None)
        if method is None:
            raise UnfitError(
                f"{self._name} offers no login that edged knows: remove user and password, or ask its keeper"
            )
        speak = {
            "plain": self._client.auth_plain,
            "login": self._client.auth_login,
            "cram-md5": self._client.auth_crammd5,
        }[method]
        with mapped(f"{self._name}, login as {one_line(relay.user)}", self._clock):
            await speak(relay.user, self._endpoint.password, timeout=self._settings.reply)

    async def transfer(
        self, message: bytes, *, sender: str, recipient: str, before_dot: Callable[[], Awaitable[None]]
    ) -> str:
        """Send `message` to `recipient` and return the relay's answer.

        `before_dot` is awaited when all but the final dot has left: the last moment at which nothing is sent yet.
        Raises TooLargeError, RejectedError, RefusedError, CredentialsError, NoAnswerError and PossiblySentError.
        """
        if 0 < self.largest < len(message):
            raise TooLargeError(f"{self._name} takes mails of {self.largest} bytes at most, this has {len(message)}")
        reply = self._settings.reply
        size = [f"SIZE={len(message)}"] if self._client.supports_extension("size") else []
        with mapped(f"{self._name}, sender {sender}", self._clock, about_mail=True):
            await self._client.mail(sender, options=size, timeout=reply)
        with mapped(f"{self._name}, recipient {recipient}", self._clock, about_mail=True):
            await self._client.rcpt(recipient, timeout=reply)
        with mapped(f"{self._name}, DATA", self._clock, about_mail=True):
            answer = await self._client.execute_command(b"DATA", timeout=reply)
        if answer.code != _GO_ON:
            raise refusal(f"{self._name}, DATA", answer.code, answer.message, about_mail=True)
        return await self._body(re.sub(rb"(?m)^\.", b"..", message), before_dot)

    async def start_anew(self) -> None:
        """Forget a transaction that was refused."""
        with mapped(f"{self._name}, RSET", self._clock):
            await self._client.rset(timeout=self._settings.reply)

    async def _greet(self) -> None:
        with mapped(f"{self._name}, EHLO", self._clock):
            await self._client.ehlo(timeout=self._settings.reply)

    async def _body(self, body: bytes, before_dot: Callable[[], Awaitable[None]]) -> str:
        protocol, writer = self._open_writer()
        # Listening starts before the first byte: a relay may say no in the middle.
        answer = asyncio.create_task(protocol.read_response())
        try:
            with mapped(f"{self._name}, sending the mail", self._clock, about_mail=True):
                for start in range(0, len(body), _PIECE):
                    if await self._push(writer, body[start : start + _PIECE], answer):
                        early = answer.result()
                        raise refusal(f"{self._name}, sending the mail", early.code, early.message, about_mail=True)
            await before_dot()
            return await self._finish(writer, answer)
        finally:
            answer.cancel()

    def _open_writer(self) -> tuple[SMTPProtocol, asyncio.StreamWriter]:
        protocol = self._client.protocol
        transport = cast("asyncio.WriteTransport | None", self._client.transport)
        if protocol is None or transport is None:
            raise NoAnswerError(f"{self._name}: connection lost before the mail was sent")
        if self._writer is None:
            # so that `drain` means: handed down; not 0, with which asyncio's TLS waits for room in an empty buffer
            transport.set_write_buffer_limits(high=1, low=0)
            self._writer = asyncio.StreamWriter(transport, protocol, None, asyncio.get_running_loop())
        return protocol, self._writer

    async def _push(
        self, writer: asyncio.StreamWriter, piece: bytes, answer: asyncio.Task[aiosmtplib.SMTPResponse]
    ) -> bool:
        """Write one piece; return True if the relay answered instead of taking it."""
        writer.write(piece)
        drained = asyncio.create_task(writer.drain())
        either: set[asyncio.Task[Any]] = {drained, answer}
        try:
            done, _ = await asyncio.wait(either, timeout=self._settings.reply, return_when=asyncio.FIRST_COMPLETED)
        finally:
            drained.cancel()
        if not done:
            raise TimeoutError
        if answer in done:
            return True
        drained.result()
        return False

    async def _finish(self, writer: asyncio.StreamWriter, answer: asyncio.Task[aiosmtplib.SMTPResponse]) -> str:
        where = f"{self._name}, answer to the mail"
        unknown = "so the relay may have it or not: it is sent again later with the same Message-ID"
        writer.write(_DOT)
        try:
            async with asyncio.timeout(self._settings.data_reply):
                code, text = await answer
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise PossiblySentError(f"{where}: none came, {unknown}") from error
        if 200 <= code < 300:  # noqa: PLR2004 -- 2xx: done
            return f"{code} {one_line(text, 300)}"
        if not 400 <= code < 600:  # noqa: PLR2004 -- neither yes nor no
            raise PossiblySentError(f"{where}: {code} {one_line(text, 300)} is neither yes nor no, {unknown}")
        raise refusal(where, code, text, about_mail=True)


@asynccontextmanager
async def open_session(
    endpoint: Endpoint, settings: MailSettings, clock: Clock, make_socket: MakeSocket = socket.socket
) -> AsyncIterator[Session]:
    """Connect to a relay, with TLS and login as configured; the connection ends with the block.

    Raises UnfitError, CredentialsError, RefusedError and NoAnswerError.
    """
    client = await _connect(endpoint, settings, clock, make_socket)
    try:
        session = Session(client, endpoint, settings, clock)
        await session.secure()
        await session.login()
        yield session
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await client.quit(timeout=_FAREWELL)
    finally:
        if client.transport is not None:
            # Not closed: closing would go on sending what was given up, and what it costs, for minutes.
            cast("asyncio.WriteTransport", client.transport).abort()
        client.close()


async def _connect(
    endpoint: Endpoint, settings: MailSettings, clock: Clock, make_socket: MakeSocket
) -> aiosmtplib.SMTP:
    relay = endpoint.relay
    with mapped(relay.name, clock):
        async with asyncio.timeout(settings.connect):
            sock = await _dial(relay.host, relay.tcp_port, make_socket)
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            sock=sock,
            use_tls=relay.security is Security.TLS,
            start_tls=False,
            tls_context=endpoint.context,
            local_hostname=settings.helo or _literal(sock),
            timeout=settings.reply,
        )
        await client.connect(timeout=settings.connect)
    return client


async def _dial(host: str, port: int, make_socket: MakeSocket) -> socket.socket:
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    sock = await aiohappyeyeballs.start_connection(
        infos,
        happy_eyeballs_delay=_HEAD_START,
        interleave=1,
        loop=loop,
        socket_factory=lambda info: make_socket(info[0], info[1], info[2]),
    )
    # The answer to DATA may take minutes: a peer that is gone is noticed earlier.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    return sock


def _literal(sock: socket.socket) -> str:
    # RFC 5321 4.1.3: a host without a name of its own greets with its address
    address = sock.getsockname()[0]
    return f"[IPv6:{address}]" if sock.family is socket.AF_INET6 else f"[{address}]"
