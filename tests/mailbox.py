"""A real SMTP server on loopback for tests: it keeps what it takes and fails where it is told to.

async with serve_mail() as mailbox:
    ...send to 127.0.0.1, mailbox.port...
    (mail,) = await mailbox.wait_for(1)
"""

from __future__ import annotations

import asyncio
import warnings
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from email.message import EmailMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    """One mail as it was taken: envelope, raw bytes, and what they parse to."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    tls: bool
    login: str

    @property
    def message(self) -> EmailMessage:
        """The parsed message."""
        return message_from_bytes(self.raw, policy=policy.SMTP)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What happens at `stage`: a `reply` instead of the right one, or the line is `cut` or goes silent (`stall`).

    With `reply` and `cut` the relay hangs up after its reply.

    Stages: GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY (in its middle), DOT (all was received), RSET.
    """

    stage: str
    reply: str = ""
    cut: bool = False
    stall: bool = False
    kept: bool = False  # at DOT: the mail is taken all the same
    larger_than: int = 0  # only for mails of more bytes, as the client tells their SIZE
    recipient: str = ""  # only for this address, as RCPT names it

    @property
    def name(self) -> str:
        """The fault in two words."""
        return f"{self.stage} {self.reply[:3] or ('cut' if self.cut else 'stall')}"


@dataclass(kw_only=True)
class Mailbox:
    """What the server holds; `faults` may be changed at any time."""

    port: int = 0
    mails: list[Mail] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    sessions: int = 0
    commands: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)  # the commands that came without TLS
    login: tuple[str, str] = ("", "")
    pause: float = 0.0  # seconds before a mail is acknowledged
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait_for(self, count: int) -> list[Mail]:
        """Return the mails once there are `count`; TimeoutError after 10 s."""
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: len(self.mails) >= count)
        return list(self.mails)

    async def reached(self, stage: str) -> None:
        """Return once a command `stage` has come in; TimeoutError after 10 s."""
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: stage in self.commands)

    async def note(self, stage: str) -> None:
        """Add a command and wake who waits for it."""
        async with self.arrived:
            self.commands.append(stage)
            self.arrived.notify_all()

    async def handle_DATA(self, server: _Server, session: Any, envelope: Any) -> str:  # noqa: N802 -- aiosmtpd's name
        """Keep the mail, as aiosmtpd's hook."""
        fault = server.fault("DOT")
        if fault is None:
            await asyncio.sleep(self.pause)
        if fault is None or fault.kept:
            await self.keep(
                Mail(
                    sender=envelope.mail_from,
                    recipients=tuple(envelope.rcpt_tos),
                    raw=envelope.original_content,
                    tls=session.ssl is not None,
                    login=session.auth_data.login.decode() if session.auth_data else "",
                )
            )
        return "250 2.0.0 kept" if fault is None else await server.act(fault)

    async def keep(self, mail: Mail) -> None:
        """Add a mail and wake who waits for it."""
        async with self.arrived:
            self.mails.append(mail)
            self.arrived.notify_all()

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        """Accept the one login; handled=False lets aiosmtpd answer 535."""
        right = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == self.login
        return AuthResult(success=right, handled=False, auth_data=data)


class _Server(SMTP):
    """aiosmtpd's server with faults before each command's own work."""

    def __init__(self, mailbox: Mailbox, *, is_implicit: bool, **options: Any) -> None:
        super().__init__(mailbox, hostname="mail.test", ident="test", timeout=86_400, **options)
        self._mailbox = mailbox
        self._is_implicit = is_implicit
        self._size = 0
        self._recipient = ""
        self._wire: asyncio.WriteTransport | None = None  # below any STARTTLS

    async def fail(self, stage: str) -> bool:
        """Do what the first fault of `stage` says; return whether there was one."""
        fault = self.fault(stage)
        if fault is None:
            return False
        reply = await self.act(fault)
        if not fault.cut:
            await self.push(reply)
        if fault.reply.startswith("421"):
            self.abort()
        return True

    def fault(self, stage: str) -> Fault | None:
        """Return the first fault of `stage` that is meant for this mail."""
        for fault in self._mailbox.faults:
            if fault.stage == stage and self._is_meant(fault):
                return fault
        return None

    def _is_meant(self, fault: Fault) -> bool:
        if fault.recipient and fault.recipient != self._recipient:
            return False
        return self._size > fault.larger_than or not fault.larger_than

    async def act(self, fault: Fault) -> str:
        """Return the wrong reply of `fault`, or cut the line, or never return."""
        if fault.stall:
            await asyncio.Event().wait()
        if fault.cut and fault.reply:
            await self.push(fault.reply)
            assert self.transport is not None
            self.transport.close()
        elif fault.cut:
            self.abort()
        return fault.reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = self._wire or cast("asyncio.WriteTransport", transport)

    def abort(self) -> None:
        """End the connection at once."""
        if self._wire is not None:
            self._wire.abort()

    async def end(self) -> None:
        """End the connection and what serves it."""
        self.abort()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
            await asyncio.wait([self._handler_coroutine])

    async def _handle_client(self) -> None:
        self._mailbox.sessions += 1
        if await self.fail("GREETING"):
            return
        with suppress(ConnectionError):
            await super()._handle_client()

    async def _staged(self, stage: str, arg: str, work: Callable[[str], Awaitable[None]]) -> None:
        await self._mailbox.note(stage)
        if not (self._is_implicit or (self.session and self.session.ssl)):
            self._mailbox.bare.append(stage)
        if not await self.fail(stage):
            await work(arg)

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 -- aiosmtpd's names
        await self._staged("EHLO", hostname, super().smtp_EHLO)

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802
        await self._staged("STARTTLS", arg, super().smtp_STARTTLS)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        await self._staged("AUTH", arg, super().smtp_AUTH)

    async def smtp_MAIL(self, arg: str) -> None:  # noqa: N802
        _, told, size = arg.upper().rpartition("SIZE=")
        self._size = int(size) if told else 0
        await self._staged("MAIL", arg, super().smtp_MAIL)

    async def smtp_RCPT(self, arg: str) -> None:  # noqa: N802
        self._recipient = arg.partition("<")[2].partition(">")[0]
        await self._staged("RCPT", arg, super().smtp_RCPT)

    async def smtp_RSET(self, arg: str) -> None:  # noqa: N802
        await self._staged("RSET", arg, super().smtp_RSET)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        await self._staged("DATA", arg, self._data)

    async def _data(self, arg: str) -> None:
        if any(fault.stage == "BODY" for fault in self._mailbox.faults):
            await self.push("354 go on")
            await self._reader.read(1)
            await self.fail("BODY")
        else:
            await super().smtp_DATA(arg)


@asynccontextmanager
async def serve_mail(
    *,
    tls: ssl.SSLContext | None = None,
    implicit: bool = False,
    login: tuple[str, str] | None = None,
    faults: tuple[Fault, ...] = (),
    limit: int = 33_554_432,
    pause: float = 0.0,
) -> AsyncGenerator[Mailbox]:
    """Serve on a free port of loopback.

    `tls` holds its certificate, for STARTTLS or, if `implicit`, from the first byte; `limit` is its SIZE in bytes,
    `pause` the seconds that it takes to acknowledge a mail.
    """
    mailbox = Mailbox(faults=list(faults), login=login or ("", ""), pause=pause)
    servers: list[_Server] = []

    def connected() -> _Server:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a login without STARTTLS is right where TLS comes first
            server = _Server(
                mailbox,
                is_implicit=implicit,
                tls_context=None if implicit else tls,
                authenticator=mailbox.authenticate,
                auth_required=login is not None,
                auth_require_tls=not implicit,
                data_size_limit=limit,
                auth_exclude_mechanism=() if login else ("PLAIN", "LOGIN"),
            )
        servers.append(server)
        return server

    listener = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0, ssl=tls if implicit else None)
    mailbox.port = listener.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        listener.close()
        for server in servers:
            await server.end()
