"""Mail goes out through real servers on loopback, and every way to fail has its own meaning."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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


def password_of(trust: Trust) -> Secret:
    """Return where LOGIN's password is."""
    return Secret("file", str(trust.password))


def relay(mailbox: Mailbox, security: Security = Security.OPPORTUNISTIC, trust: Trust | None = None) -> Relay:
    """Return the settings for `mailbox`, with LOGIN if it wants one."""
    login = mailbox.login[0] != "" and trust is not None
    return Relay(
        host="127.0.0.1",
        port=mailbox.port,
        security=security,
        user=LOGIN[0] if login else "",
        password=password_of(trust) if login and trust else None,
        ca_file=trust.ca_file if trust and security is not Security.OPPORTUNISTIC else None,
    )


def settings(*relays: Relay, reply: float = 5.0, data_reply: float = 5.0) -> MailSettings:
    """Return mail settings with short time limits."""
    return MailSettings(
        sender=SENDER, relays=relays, connect=Duration(reply), reply=Duration(reply), data_reply=Duration(data_reply)
    )


def mailer(chosen: MailSettings, clock: FixedClock | None = None, figures: GateFigures | None = None) -> Mailer:
    """Return a Mailer of `chosen`."""
    return Mailer(chosen, resolve(chosen), clock or FixedClock(), figures=figures)


async def test_a_mail_arrives_byte_for_byte() -> None:
    """What was rendered is what the server keeps."""
    async with serve_mail() as mailbox:
        accepted = await mailer(settings(relay(mailbox))).send(WITH_PICTURE, recipient="me@example.org")
        (mail,) = await mailbox.wait_for(1)
    assert mail.raw == WITH_PICTURE
    assert (mail.sender, mail.recipients, mail.tls) == (SENDER, ("me@example.org",), False)
    assert accepted.answer == "250 2.0.0 kept"
    assert (accepted.size, accepted.stripped) == (len(WITH_PICTURE), False)


# ------------------------------------------------------------------------------------------------ TLS and login


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_tls_and_login_protect_the_mail(trust: Trust, security: Security) -> None:
    """Over STARTTLS and over TLS the mail goes encrypted, under the configured login."""
    async with serve_mail(login=LOGIN, tls=trust.server(), implicit=security is Security.TLS) as mailbox:
        chosen = settings(relay(mailbox, security, trust))
        told = await check(resolve(chosen)[0], chosen, FixedClock())
        await mailer(chosen).send(PLAIN, recipient="me@example.org")
        (mail,) = await mailbox.wait_for(1)
    assert (mail.tls or security is Security.TLS, mail.login) == (True, LOGIN[0])
    assert "TLSv1.3" in told
    assert "login as shop accepted" in told


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_a_long_mail_gets_through_tls(trust: Trust, security: Security) -> None:
    """A mail of many pieces, as each with a picture is, never waits for room that asyncio's TLS tells of no more."""
    long = PLAIN + (b"x" * 70 + b"\r\n") * 4096
    async with serve_mail(login=LOGIN, tls=trust.server(), implicit=security is Security.TLS) as mailbox:
        chosen = settings(relay(mailbox, security, trust), reply=Duration(2))
        await mailer(chosen).send(long, recipient="me@example.org")
        (mail,) = await mailbox.wait_for(1)
    assert mail.raw == long


async def test_opportunistic_uses_tls_that_it_cannot_verify() -> None:
    """Opportunistic takes TLS from whoever offers it: better than nothing against who only listens."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("other.example").configure_cert(context)
    async with serve_mail(tls=context) as mailbox:
        await mailer(settings(relay(mailbox))).send(PLAIN, recipient="me@example.org")
        (mail,) = await mailbox.wait_for(1)
    assert mail.tls


async def test_a_stripped_starttls_sends_nothing(trust: Trust) -> None:
    """Where STARTTLS is configured and somebody on the way removes the offer, no mail and no password leave."""
    async with serve_mail(login=None) as mailbox:
        stripped = replace(relay(mailbox, Security.STARTTLS, trust), user=LOGIN[0], password=password_of(trust))
        with pytest.raises(UnfitError, match="offers no STARTTLS"):
            await mailer(settings(stripped)).send(PLAIN, recipient="me@example.org")
        assert mailbox.commands == ["EHLO"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BadCertificate:
    """A certificate that must not do, and what is said of it."""

    name: str = "127.0.0.1"
    until: datetime | None = None
    known: bool = True
    clock: FixedClock | None = None
    told: str


@pytest.mark.parametrize(
    "case",
    [
        BadCertificate(name="mail.example.net", told="for another name"),
        BadCertificate(until=datetime(2020, 1, 1, tzinfo=UTC), told="has expired .today is 2026-11-22"),
        BadCertificate(
            until=datetime(2020, 1, 1, tzinfo=UTC),
            clock=FixedClock(now=1000.0, trusted=False),
            told="this device's clock .it shows 1970-01-01. is wrong",
        ),
        BadCertificate(known=False, told="of an unknown authority"),
    ],
    ids=["name", "expired", "clock", "authority"],
)
@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_a_bad_certificate_is_named(trust: Trust, case: BadCertificate, security: Security) -> None:
    """What is wrong with a certificate is said in words, and nothing is sent."""
    authority = trust.authority if case.known else trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(case.name, not_after=case.until).configure_cert(context)
    async with serve_mail(tls=context, implicit=security is Security.TLS) as mailbox:
        sender = mailer(settings(relay(mailbox, security, trust)), case.clock)
        with pytest.raises(UnfitError, match=case.told):
            await sender.send(PLAIN, recipient="me@example.org")
        assert "MAIL" not in mailbox.commands
    assert sender.relays[0].state is GateState.DOWN


async def test_a_wrong_password_pauses_its_relay_and_the_next_one_serves(trust: Trust) -> None:
    """A refused password is tried once, its relay rests, and the mail goes through the next."""
    async with serve_mail(login=(LOGIN[0], "other"), tls=trust.server()) as wrong, serve_mail() as right:
        chosen = settings(relay(wrong, Security.STARTTLS, trust), relay(right))
        sender = mailer(chosen)
        for _ in range(2):
            await sender.send(PLAIN, recipient="me@example.org")
        assert len(await right.wait_for(2)) == 2
        assert (wrong.sessions, wrong.commands.count("AUTH")) == (1, 1)
    assert [state.state for state in sender.relays] == [GateState.DOWN, GateState.UP]
    assert "535" in sender.relays[0].reason
    assert sender.relays[0].wait == 900.0


async def test_no_secret_shows(trust: Trust, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither errors nor representations nor the log carry the password."""
    async with serve_mail(login=(LOGIN[0], "other"), tls=trust.server()) as mailbox:
        chosen = settings(relay(mailbox, Security.STARTTLS, trust))
        endpoints = resolve(chosen)
        with pytest.raises(CredentialsError) as caught:
            await Mailer(chosen, endpoints, FixedClock()).send(PLAIN, recipient="me@example.org")
    assert endpoints[0].password == LOGIN[1]
    shown = f"{caught.value} {endpoints} {chosen} {capsys.readouterr()}"
    assert "mail relay paused" in shown
    assert LOGIN[1] not in shown


# -------------------------------------------------------------------------------------------------- refusals


@dataclass(frozen=True, kw_only=True, slots=True)
class Bad:
    """A fault of the server, the error it must become, and whether the dot's moment was reached."""

    fault: Fault
    error: type[DeliveryError]
    dotted: bool = False


BAD = [
    Bad(fault=Fault(stage="GREETING", reply="421 too busy"), error=RefusedError),
    Bad(fault=Fault(stage="GREETING", reply="554 your address is on a list"), error=RefusedError),
    Bad(fault=Fault(stage="GREETING", reply="220-never\r\nnonsense"), error=RefusedError),
    Bad(fault=Fault(stage="GREETING", cut=True), error=NoAnswerError),
    Bad(fault=Fault(stage="GREETING", stall=True), error=NoAnswerError),
    Bad(fault=Fault(stage="EHLO", reply="450 later"), error=RefusedError),
    Bad(fault=Fault(stage="EHLO", cut=True), error=NoAnswerError),
    Bad(fault=Fault(stage="MAIL", reply="451 later"), error=RefusedError),
    Bad(fault=Fault(stage="MAIL", reply="530 5.7.0 log in first"), error=CredentialsError),
    Bad(fault=Fault(stage="MAIL", reply="553 not your address"), error=RejectedError),
    Bad(fault=Fault(stage="MAIL", cut=True), error=NoAnswerError),
    Bad(fault=Fault(stage="RCPT", reply="450 4.2.0 greylisted"), error=RefusedError),
    Bad(fault=Fault(stage="RCPT", reply="550 no such user"), error=RejectedError),
    Bad(fault=Fault(stage="RCPT", reply="421 closing"), error=RefusedError),
    Bad(fault=Fault(stage="RCPT", cut=True), error=NoAnswerError),
    Bad(fault=Fault(stage="RCPT", stall=True), error=NoAnswerError),
    Bad(fault=Fault(stage="DATA", reply="451 later"), error=RefusedError),
    Bad(fault=Fault(stage="DATA", reply="554 no"), error=RejectedError),
    Bad(fault=Fault(stage="DATA", reply="250 what?"), error=RefusedError),
    Bad(fault=Fault(stage="DATA", cut=True), error=NoAnswerError),
    Bad(fault=Fault(stage="BODY", reply="451 enough for now"), error=RefusedError),
    Bad(fault=Fault(stage="BODY", reply="554 never"), error=RejectedError),
    Bad(fault=Fault(stage="BODY", cut=True), error=NoAnswerError),
    Bad(fault=Fault(stage="BODY", stall=True), error=NoAnswerError),
    Bad(fault=Fault(stage="DOT", reply="451 disk full"), error=RefusedError, dotted=True),
    Bad(fault=Fault(stage="DOT", reply="554 spam"), error=RejectedError, dotted=True),
    Bad(fault=Fault(stage="DOT", reply="354 what?"), error=PossiblySentError, dotted=True),
    Bad(fault=Fault(stage="DOT", cut=True), error=PossiblySentError, dotted=True),
    Bad(fault=Fault(stage="DOT", stall=True), error=PossiblySentError, dotted=True),
]


@pytest.mark.parametrize("bad", BAD, ids=[bad.fault.name for bad in BAD])
async def test_each_way_to_fail_has_its_meaning(bad: Bad) -> None:
    """Refusals, cuts and silence after each command become the error that says what to do, exactly that class."""
    dots: list[bool] = []

    async def before_dot() -> None:
        dots.append(True)

    # a body that no socket buffer swallows whole, so that a cut in its middle is one
    body = PLAIN + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 300_000 if bad.fault.stage == "BODY" else PLAIN
    async with serve_mail(faults=(bad.fault,)) as mailbox:
        chosen = settings(relay(mailbox), reply=0.3, data_reply=0.3)
        with pytest.raises(DeliveryError) as caught:
            await mailer(chosen).send(body, recipient="me@example.org", before_dot=before_dot)
    assert type(caught.value) is bad.error
    assert bool(dots) is bad.dotted
    assert f"127.0.0.1:{mailbox.port}" in str(caught.value)


async def test_a_slow_answer_to_the_mail_is_waited_for() -> None:
    """The answer after the final dot may take longer than any other (RFC 1047)."""
    async with serve_mail(pause=0.5) as mailbox:
        chosen = settings(relay(mailbox), reply=0.2, data_reply=5.0)
        accepted = await mailer(chosen).send(PLAIN, recipient="me@example.org")
    assert accepted.answer.startswith("250")


@pytest.mark.parametrize(("host", "told"), [("127.0.0.1", "refused"), ("no-such-host.invalid", "looked up")])
async def test_nobody_there(free_port: int, host: str, told: str) -> None:
    """A closed port and a name that does not exist cost no attempt and are told apart."""
    with pytest.raises(NoAnswerError, match=told):
        await mailer(settings(Relay(host=host, port=free_port, security=Security.OPPORTUNISTIC))).send(
            PLAIN, recipient="me@example.org"
        )


# --------------------------------------------------------------------------------------------- several relays


OTHER_WAY = [
    ((Fault(stage="GREETING", cut=True),), 1),
    ((Fault(stage="RCPT", reply="450 greylisted"),), 1),
    ((Fault(stage="RCPT", reply="554 relaying denied"),), 1),
    ((Fault(stage="DOT", reply="451 disk full"),), 1),
    ((Fault(stage="DOT", cut=True),), 0),  # the first relay may have it: the second would make it two
]


@pytest.mark.parametrize(("faults", "mails"), OTHER_WAY, ids=["cut", "grey", "denied", "full", "possibly sent"])
async def test_the_next_relay_is_tried_unless_the_mail_may_have_been_sent(
    faults: tuple[Fault, ...], mails: int
) -> None:
    """Any certain failure goes on to the next relay; an uncertain one never does."""
    async with serve_mail(faults=faults) as first, serve_mail() as second:
        sender = mailer(settings(relay(first), relay(second)))
        if mails:
            accepted = await sender.send(PLAIN, recipient="me@example.org")
            assert accepted.relay.endswith(str(second.port))
        else:
            with pytest.raises(PossiblySentError):
                await sender.send(PLAIN, recipient="me@example.org")
        assert len(second.mails) == mails


GREY, DENIED = Fault(stage="RCPT", reply="450 later"), Fault(stage="RCPT", reply="550 no such user")
LOCKED, GONE = Fault(stage="MAIL", reply="535 no"), Fault(stage="GREETING", cut=True)
VERDICTS = [
    (DENIED, DENIED, RejectedError),
    (DENIED, GONE, RefusedError),
    (GREY, GONE, RefusedError),
    (LOCKED, LOCKED, CredentialsError),
    (LOCKED, GONE, NoAnswerError),
    (GONE, GONE, NoAnswerError),
]


@pytest.mark.parametrize(("one", "two", "verdict"), VERDICTS)
async def test_the_verdict_of_several_relays(one: Fault, two: Fault, verdict: type[DeliveryError]) -> None:
    """A mail is dead only if every relay refuses it for good, and what each said is told."""
    async with serve_mail(faults=(one,)) as first, serve_mail(faults=(two,)) as second:
        with pytest.raises(DeliveryError) as caught:
            await mailer(settings(relay(first), relay(second))).send(PLAIN, recipient="me@example.org")
    assert type(caught.value) is verdict
    assert all(f":{mailbox.port}" in str(caught.value) for mailbox in (first, second))


async def test_a_relay_that_keeps_failing_is_left_alone_until_the_link_is_back() -> None:
    """After its failures a relay is not called any more; `hasten` lets one call through."""
    async with serve_mail(faults=(GONE,)) as mailbox:
        sender = mailer(settings(relay(mailbox)), figures=GateFigures(failures=2, pause=60.0, successes=1))
        for _ in range(5):
            with pytest.raises(NoAnswerError):
                await sender.send(PLAIN, recipient="me@example.org")
        assert (mailbox.sessions, sender.wait()) == (2, 60.0)
        mailbox.faults.clear()
        sender.hasten()
        await sender.send(PLAIN, recipient="me@example.org")
    assert sender.relays[0].state is GateState.UP


async def test_other_relays_serve_from_the_next_mail_on(trust: Trust) -> None:
    """A relay that stays keeps its rest, with its password as it is now; one that is gone is called no more."""
    async with serve_mail(login=LOGIN, tls=trust.server()) as stays, serve_mail() as new:
        old = settings(relay(stays, Security.STARTTLS, trust))
        wrong = tuple(replace(endpoint, password="old") for endpoint in resolve(old))
        sender = Mailer(old, wrong, FixedClock())
        with pytest.raises(CredentialsError):
            await sender.send(PLAIN, recipient="me@example.org")
        chosen = settings(*old.relays, relay(new))
        sender.adopt(chosen, resolve(chosen), GateFigures())
        assert [state.state for state in sender.relays] == [GateState.DOWN, GateState.UP]
        await sender.send(PLAIN, recipient="me@example.org")
        assert len(await new.wait_for(1)) == 1
        sender.adopt(old, resolve(old), GateFigures())
        sender.hasten(corrected=True)
        await sender.send(PLAIN, recipient="me@example.org")
        assert (len(await stays.wait_for(1)), len(new.mails)) == (1, 1)


async def test_a_relays_password_is_as_it_was_last_read(trust: Trust) -> None:
    """One that was changed in time is refused by nobody: the next mail goes out with it."""
    async with serve_mail(login=LOGIN, tls=trust.server()) as mailbox:
        chosen = settings(relay(mailbox, Security.STARTTLS, trust))
        sender = Mailer(chosen, [replace(each, password="old") for each in resolve(chosen)], FixedClock())
        sender.adopt(chosen, resolve(chosen), GateFigures())
        await sender.send(PLAIN, recipient="me@example.org")
        assert len(await mailbox.wait_for(1)) == 1


async def test_without_relays_it_says_what_to_configure() -> None:
    """No relay at all is a matter of configuration, not of the line."""
    with pytest.raises(CredentialsError, match=r"add a .*mail\.relays"):
        await mailer(MailSettings()).send(PLAIN, recipient="me@example.org")


# ---------------------------------------------------------------------------------------------------- sizes


TOO_LARGE = [
    ((), 8000),  # told by the SIZE extension: the large mail is not even begun
    ((Fault(stage="DOT", reply="552 5.3.4 too big", larger_than=8000),), 10_000_000),
    ((Fault(stage="MAIL", reply="552 too big", larger_than=8000),), 10_000_000),
    ((Fault(stage="DOT", reply="552 too big", cut=True, larger_than=8000),), 10_000_000),
    ((Fault(stage="MAIL", reply="552 too big", cut=True, larger_than=8000),), 10_000_000),
]
TOO_LARGE_IDS = ["SIZE", "after the dot", "at MAIL", "after the dot and hangs up", "at MAIL and hangs up"]


@pytest.mark.parametrize(("faults", "limit"), TOO_LARGE, ids=TOO_LARGE_IDS)
async def test_a_mail_that_is_too_large_goes_without_its_picture(faults: tuple[Fault, ...], limit: int) -> None:
    """An alert without its picture is better than none; it keeps its Message-ID."""
    async with serve_mail(faults=faults, limit=limit) as mailbox:
        accepted = await mailer(settings(relay(mailbox))).send(WITH_PICTURE, recipient="me@example.org")
        (mail,) = await mailbox.wait_for(1)
    assert accepted.stripped
    assert mail.message["Message-ID"] == "<k2@example.org>"
    assert not [part for part in mail.message.walk() if part.get_content_maintype() == "image"]
    assert accepted.size == len(mail.raw)
    assert mailbox.sessions == 1 + sum(fault.cut for fault in faults)


async def test_a_mail_without_pictures_that_is_too_large_is_rejected() -> None:
    """What can't be made smaller is refused for good."""
    async with serve_mail(limit=500) as mailbox:
        with pytest.raises(TooLargeError, match="500 bytes"):
            await mailer(settings(relay(mailbox))).send(PLAIN, recipient="me@example.org")


# ------------------------------------------------------------------------------------------ composing, ending


async def test_a_mail_is_composed_when_a_relay_is_ready() -> None:
    """Nothing is composed, so nothing frozen, for a relay that does not even greet."""
    composed: list[int] = []

    async def compose() -> bytes:
        composed.append(mailbox.sessions)
        return PLAIN

    async with serve_mail(faults=(GONE,)) as mailbox:
        sender = mailer(settings(relay(mailbox)))
        with pytest.raises(NoAnswerError):
            await sender.send(compose, recipient="me@example.org")
        assert composed == []
        mailbox.faults.clear()
        await sender.send(compose, recipient="me@example.org")
    assert composed == [2]


async def test_lines_that_begin_with_a_dot_arrive() -> None:
    """Dots are doubled on the way and single on arrival (RFC 5321 4.5.2)."""
    body = b"Subject: dots\r\n\r\n.\r\n..two\r\n.hidden\r\n"
    async with serve_mail() as mailbox:
        await mailer(settings(relay(mailbox))).send(body, recipient="me@example.org")
        (mail,) = await mailbox.wait_for(1)
    assert mail.raw == body


async def test_a_cancelled_send_gives_its_place_back() -> None:
    """Stopping in the middle says nothing about the relay, also while it is being probed."""
    async with serve_mail(faults=(GONE,)) as mailbox:
        sender = mailer(settings(relay(mailbox)), figures=GateFigures(failures=1, pause=60.0, successes=1))
        with pytest.raises(NoAnswerError):
            await sender.send(PLAIN, recipient="me@example.org")
        mailbox.faults[:] = [Fault(stage="RCPT", stall=True)]
        sender.hasten()
        sending = asyncio.create_task(sender.send(PLAIN, recipient="me@example.org"))
        await mailbox.reached("RCPT")
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        mailbox.faults.clear()
        await sender.send(PLAIN, recipient="me@example.org")
    assert len(mailbox.mails) == 1


# ------------------------------------------------------------------------------------------------- settings


def test_a_missing_password_names_its_key(tmp_path: Path) -> None:
    """What can't be read at the start is told with the key that names it."""
    missing = Relay(host="mail.example.org", user="me", password=Secret("file", str(tmp_path / "none")))
    with pytest.raises(ConfigError, match=r"^mail\.relays\.2.password: .*can't be read"):
        resolve(settings(Relay(host="mail.example.org"), missing))


def test_a_bad_authority_names_its_key(tmp_path: Path) -> None:
    """A file that holds no certificates is refused before anything is sent."""
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"^mail\.relays\.1.ca_file: .*no certificates"):
        resolve(settings(Relay(host="mail.example.org", ca_file=tmp_path / "ca.pem")))
