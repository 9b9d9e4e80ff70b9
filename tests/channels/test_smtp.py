"""Mail goes out through real servers on loopback, and every way to fail has its own meaning."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import trustme

from edged.base.config import Duration, Secret
from edged.base.errors import (
    ConfigError,
    CredentialsError,
    DeliveryError,
    NoAnswerError,
    PossiblySentError,
    RefusedError,
    RejectedError,
)
from edged.base.gate import GateFigures, GateState
from edged.channels.refusals import TooLargeError, UnfitError
from edged.channels.render import render_message
from edged.channels.settings import MailSettings, Relay, Security
from edged.channels.smtp import Mailer, check, resolve
from tests.channels.samples import LETTERHEAD, FixedClock, contents, picture
from tests.mailbox import Fault, Mailbox, serve_mail

if TYPE_CHECKING:
    from pathlib import Path

SENDER = "alerts@example.org"
LOGIN = ("shop", "s3cret-words")
PLAIN = render_message(contents()["test"], LETTERHEAD, sender=SENDER, recipient="me@example.org", key="k1")
WITH_PICTURE = render_message(
    contents(picture())["alert"], LETTERHEAD, sender=SENDER, recipient="me@example.org", key="k2"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """A certificate authority: contexts for servers, its file for clients, the file with LOGIN's password."""

    authority: trustme.CA
    ca_file: Path
    password: Path

    def server(self, name: str = "127.0.0.1") -> ssl.SSLContext:
        """Return a server's context with a certificate for `name`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name).configure_cert(context)
        return context


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    """An authority of this test's own."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text(LOGIN[1])
    return Trust(authority=authority, ca_file=tmp_path / "ca.pem", password=password)


def relay(mailbox: Mailbox, security: Security = Security.OPPORTUNISTIC, trust: Trust | None = None) -> Relay:
    """Return the settings for `mailbox`, with LOGIN if it wants one."""
    login = mailbox.login[0] != "" and trust is not None
    return Relay(
        host="127.0.0.1",
        port=mailbox.port,
        security=security,
        user=LOGIN[0] if login else "",
        password=Secret("file", str(trust.password)) if login and trust else None,
        ca_file=trust.ca_file if trust and security is not Security.OPPORTUNISTIC else None,
    )


def settings(*relays: Relay, reply: float = 5.0, data_reply: float = 5.0) -> MailSettings:
    """Return mail settings with short time limits."""
    return MailSettings(
        sender=SENDER, relays=relays, connect=Duration(5.0), reply=Duration(reply), data_reply=Duration(data_reply)
    )


def mailer(chosen: MailSettings, clock: FixedClock | None = None, figures: GateFigures | None = None) -> Mailer:
    """Return a Mailer of `chosen`."""
    return Mailer(chosen, resolve(chosen), clock or FixedClock(), figures)


async def test_a_mail_arrives_byte_for_byte() -> None:
    """What was rendered is what the server keeps."""
    async with serve_mail() as mailbox:
        accepted = await mailer(settings(relay(mailbox))).send(WITH_PICTURE, recipient="me@example.org")
        (mail,) = await mailbox.wait_for(1)
    assert mail.raw == WITH_PICTURE
    assert (mail.sender, mail.recipients, mail.tls) == (SENDER, ("me@example.org",), False)
    assert accepted.answer == "250 2.0.0 kept"
    assert (accepted.size, accepted.stripped) == (len(WITH_PICTURE), False)
