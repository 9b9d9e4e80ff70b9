"""The section [mail]: who sends, through which relays, and how long to wait for them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edged.base.config import Duration, Secret
from edged.channels.address import parse_mailbox

_PORTS = {"starttls": 587, "tls": 465, "opportunistic": 25}
_LAST_PORT = 65535


class Security(StrEnum):
    """How the way to a relay is protected."""

    STARTTLS = "starttls"  # plain at first, then TLS or nothing (RFC 3207)
    TLS = "tls"  # TLS from the first byte (RFC 8314)
    OPPORTUNISTIC = "opportunistic"  # TLS if offered, unverified; never with a password


@dataclass(frozen=True, kw_only=True, slots=True)
class Relay:
    """One mail server that takes our mail: a table of [[mail.relays]]."""

    host: str
    security: Security = Security.STARTTLS
    port: int | None = None  # unset: 587, 465 or 25, as `security` has it
    user: str = ""  # empty: no login
    password: Secret | None = None
    ca_file: Path | None = None  # PEM file of a private authority, trusted beside none other for this relay

    def __post_init__(self) -> None:
        if not self.host or not self.host.isprintable() or " " in self.host:
            raise ValueError(f"host: {self.host!r} is not the name or address of a mail server")
        if self.port is not None and not 0 < self.port <= _LAST_PORT:
            raise ValueError(f"port: {self.port} is not a TCP port; write 1 to {_LAST_PORT}, or leave it out")
        if bool(self.user) != (self.password is not None):
            raise ValueError("password: user and password belong together; write both, or neither for no login")
        if self.security is Security.OPPORTUNISTIC and self.user:
            raise ValueError('security: "opportunistic" never carries a password; write "starttls" or "tls"')
        if self.security is Security.OPPORTUNISTIC and self.ca_file:
            raise ValueError('ca_file: "opportunistic" verifies no certificate; write "starttls" or "tls"')

    @property
    def tcp_port(self) -> int:
        """The port to connect to."""
        return self.port or _PORTS[self.security]

    @property
    def name(self) -> str:
        """The relay as logs and errors call it: "host:port"."""
        return f"{self.host}:{self.tcp_port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class MailSettings:
    """[mail]: relays are tried in their order; without any, no mail is sent."""

    sender: str = ""  # "alerts@example.org" or "Harbour shop <alerts@example.org>"
    relays: tuple[Relay, ...] = ()
    helo: str = ""  # the name to greet relays with; empty: this end's address, as RFC 5321 4.1.4 has it
    connect: Duration = Duration(30.0)  # to connect, and for a TLS handshake
    reply: Duration = Duration(30.0)  # for each answer of a relay, and for each 16 KiB to leave
    data_reply: Duration = Duration(600.0)  # for the answer to a whole mail: RFC 5321 4.5.3.2.6, RFC 1047
    login_pause: Duration = Duration(900.0)  # rest of a relay with a refused password or bad certificate

    def __post_init__(self) -> None:
        if self.relays and not self.sender:
            raise ValueError("sender: is missing; relays need an address to send from")
        if self.sender:
            try:
                parse_mailbox(self.sender)
            except ValueError as error:
                raise ValueError(f"sender: {error}") from error
        if not all(33 <= ord(c) < 127 for c in self.helo):  # noqa: PLR2004 -- visible ASCII
            raise ValueError(f"helo: {self.helo!r} is not a host name")
        for name in ("connect", "reply", "data_reply", "login_pause"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be longer than nothing")
