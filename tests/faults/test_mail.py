"""Mail that goes wrong: the way from the outbox to a person's mailbox, with relays that fail in every way.

What each reply and each broken line means by itself is in tests/channels/test_smtp.py; what an alert makes of it is in
tests/push/test_alert.py. Here outbox, lane, sender and relays work together, for days of simulated time.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, cast

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edged.base.secret import Secret
from edged.channels.settings import Relay, Security
from edged.model import State
from edged.outbox.store import open_outbox
from tests.faults.office import ME, PEOPLE, YOU, office, open_relay, told
from tests.mailbox import Fault, Mailbox, serve_mail
from tests.proxy import Proxy
from tests.simloop import run_simulated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edged.model import Incident
    from tests.simloop import SimClock, Simulate

USER, RIGHT, WRONG = "shop", "right-Pa55word", "wrong-Pa55word"
PAUSE = 900.0  # seconds: `login_pause` by default
LONG = 3 * 3600.0  # seconds; what refusals without end used to cost an alert was less than two hours


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """What TLS and login need: an authority, its file, and the file with the device's password."""

    authority: trustme.CA
    ca_file: Path
    password: Path

    def server(self) -> ssl.SSLContext:
        """Return a relay's context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1").configure_cert(context)
        return context

    def relay(self, port: int) -> Relay:
        """Return a relay that wants STARTTLS and a login."""
        password = Secret("file", str(self.password))
        return Relay(host="127.0.0.1", port=port, user=USER, password=password, ca_file=self.ca_file)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Make an authority, and a password file that holds the right one."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text(RIGHT)
    return Keys(authority=authority, ca_file=tmp_path / "ca.pem", password=password)


# ------------------------------------------------------------------------------------------------- login refused


@pytest.mark.parametrize("at_fault", ["the relay", "the password's file"])
def test_a_refused_login_heals_by_itself(simulate: Simulate, tmp_path: Path, keys: Keys, at_fault: str) -> None:
    """Once the password is right, on either side, everybody is told when the pause is over, without a restart."""

    async def act(clock: SimClock) -> None:
        wrong = at_fault == "the relay"
        await asyncio.to_thread(keys.password.write_text, RIGHT if wrong else WRONG)
        async with (
            serve_mail(tls=keys.server(), login=(USER, WRONG if wrong else RIGHT)) as relay,
            office(tmp_path, clock, keys.relay(relay.port)) as shop,
        ):
            (incident,) = await shop.incidents(1)
            began = clock.mono()
            relay.login = (USER, RIGHT)
            await asyncio.to_thread(keys.password.write_text, RIGHT)
            await shop.settled(2 * PAUSE)
            assert PAUSE - 2.0 <= clock.mono() - began < PAUSE + 20.0
            assert [told(relay, person) for person in PEOPLE] == [[incident.id]] * 3
            assert relay.commands.count("AUTH") <= 2 * len(PEOPLE)  # each wrong guess counts towards an account's lock

    simulate(act)


def test_a_password_that_stays_wrong_is_tried_once_a_pause(simulate: Simulate, tmp_path: Path, keys: Keys) -> None:
    """However many alerts wait, a provider sees one guess each pause after the first; nothing is given up."""

    async def act(clock: SimClock) -> None:
        await asyncio.to_thread(keys.password.write_text, WRONG)
        async with (
            serve_mail(tls=keys.server(), login=(USER, RIGHT)) as relay,
            office(tmp_path, clock, keys.relay(relay.port)) as shop,
        ):
            await shop.incidents(20, every=170.0)
            # At first each of the people may be under way before the first refusal is known; then one a pause.
            assert 1 + 3 <= relay.commands.count("AUTH") <= len(PEOPLE) + 4
            assert {each.state for each in await shop.outbox.deliveries(limit=100)} == {State.PENDING}
            assert {each.attempts for each in await shop.outbox.deliveries(limit=100)} == {0}

    simulate(act)


def test_the_next_relay_serves_until_the_first_is_right_again(simulate: Simulate, tmp_path: Path, keys: Keys) -> None:
    """A refused login costs no alert a second; the relay is left alone for its pause and then comes first again."""

    async def act(clock: SimClock) -> None:
        async with (
            serve_mail(tls=keys.server(), login=(USER, WRONG)) as first,
            serve_mail() as second,
            office(tmp_path, clock, keys.relay(first.port), open_relay(second), to=(ME,)) as shop,
        ):
            began = clock.mono()
            early = await shop.incidents(3, every=200.0)
            assert told(second, ME) == [incident.id for incident in early]
            assert first.sessions == 1
            assert clock.mono() - began < PAUSE
            first.login = (USER, RIGHT)
            await asyncio.sleep(PAUSE)
            late = await shop.incidents(2)
            await shop.settled()
            assert told(first, ME) == [incident.id for incident in late]

    simulate(act)


# ---------------------------------------------------------------------------------------- a man in the middle


@dataclass(kw_only=True)
class Stripper:
    """A man in the middle of a relay and its client: it changes what the relay says, and reads along."""

    relay: int
    change: Callable[[bytes], bytes]  # a line of the relay's -> what the client gets instead
    port: int = 0
    heard: bytes = b""
    lines: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*self.lines, return_exceptions=True)
        await asyncio.sleep(100.0)  # handshakes that were cut are over

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines.append(cast("asyncio.Task[None]", asyncio.current_task()))
        back, forth = await asyncio.open_connection("127.0.0.1", self.relay)
        up = asyncio.create_task(self._up(reader, forth))
        try:
            await self._down(back, writer)
        finally:
            up.cancel()
            for end in (forth, writer):
                end.close()
                await asyncio.wait([asyncio.ensure_future(end.wait_closed())])

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            told = self.change(line)
            writer.write(told)
            if told == line and line.startswith(b"220 Ready"):  # TLS follows
                while piece := await reader.read(65536):
                    writer.write(piece)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            self.heard += piece
            writer.write(piece)
        writer.close()


STRIPPED: dict[str, Callable[[bytes], bytes]] = {
    "offer removed": lambda line: b"" if b"STARTTLS" in line else line,
    "login offered instead": lambda line: line.replace(b"STARTTLS", b"AUTH PLAIN LOGIN"),
    "refused for now": lambda line: b"454 4.7.0 not now\r\n" if line.startswith(b"220 Ready") else line,
    "no TLS behind it": lambda line: b"220 go\r\n250 hello, no TLS here\r\n" if line.startswith(b"220 Ready") else line,
}


@pytest.mark.parametrize("name", STRIPPED)
def test_who_strips_starttls_gets_neither_password_nor_mail(
    simulate: Simulate, tmp_path: Path, keys: Keys, name: str
) -> None:
    """Whatever is done to the offer of TLS, nothing but EHLO and STARTTLS goes out, and the alert waits."""

    async def act(clock: SimClock) -> None:
        async with (
            serve_mail(tls=keys.server(), login=(USER, RIGHT)) as relay,
            Stripper(relay=relay.port, change=STRIPPED[name]) as middle,
            office(tmp_path, clock, keys.relay(middle.port), to=(ME,)) as shop,
        ):
            (incident,) = await shop.incidents(1, every=2000.0)
            assert len(middle.lines) >= 2
            assert_no_secret(middle.heard)
            assert (await shop.alert_to(ME)).state is State.PENDING
            middle.change = lambda line: line  # he is gone
            await shop.settled(2 * PAUSE)
            assert told(relay, ME) == [incident.id]
            assert_no_secret(middle.heard)  # TLS hides it

    simulate(act)


def assert_no_secret(heard: bytes) -> None:
    """See that a listener learns neither login nor mail."""
    plain, login = f"\0{USER}\0{RIGHT}".encode(), RIGHT.encode()
    for secret in (login, base64.b64encode(plain), base64.b64encode(login), b"AUTH", b"MAIL FROM", ME.encode()):
        assert secret not in heard


# ------------------------------------------------------------------------------------------ refused, never answered


def test_one_bad_recipient_among_three(simulate: Simulate, tmp_path: Path) -> None:
    """Who is refused for good is shown with the reason; the others have their mail, once, and at once."""

    async def act(clock: SimClock) -> None:
        bad = Fault(stage="RCPT", reply="550 5.1.1 no such user", recipient=YOU)
        async with serve_mail(faults=(bad,)) as relay, office(tmp_path, clock, open_relay(relay)) as shop:
            (incident,) = await shop.incidents(1)
            await shop.settled(5.0)
            assert [told(relay, person) for person in PEOPLE] == [[incident.id], [], [incident.id]]
            refused = await shop.alert_to(YOU)
            assert (refused.state, "550 5.1.1 no such user" in refused.last_error) == (State.DEAD, True)
            relay.faults.clear()
            assert await shop.outbox.redrive(refused.id)
            await shop.settled()
            assert told(relay, YOU) == [incident.id]

    simulate(act)


@pytest.mark.parametrize("where", ["GREETING", "RCPT", "DOT"])
def test_a_relay_that_says_later_for_hours_loses_no_alert(simulate: Simulate, tmp_path: Path, where: str) -> None:
    """A full disk at the provider, or greylisting without end: tried for days, as RFC 5321 4.5.4.1 asks for."""

    async def act(clock: SimClock) -> None:
        later = Fault(stage=where, reply="451 4.3.0 later")
        async with (
            serve_mail(faults=(later,)) as relay,
            office(tmp_path, clock, open_relay(relay), to=(ME,)) as shop,
        ):
            entered = await shop.incidents(2)
            await asyncio.sleep(LONG)
            waiting = await shop.outbox.deliveries()
            assert {each.state for each in waiting} == {State.PENDING}
            assert "451 4.3.0 later" in waiting[0].last_error
            relay.faults.clear()
            await shop.settled(1800.0)
            assert sorted(told(relay, ME)) == sorted(incident.id for incident in entered)

    simulate(act)


@pytest.mark.parametrize("kept", [False, True], ids=["and lost it", "and kept it"])
def test_a_relay_that_never_answers_the_mail(simulate: Simulate, tmp_path: Path, kept: bool) -> None:
    """It is waited for ten minutes (RFC 1047), counted, and sent again with the same Message-ID and the same bytes."""

    async def act(clock: SimClock) -> None:
        mute = Fault(stage="DOT", stall=True, kept=kept)
        async with (
            serve_mail(faults=(mute,)) as relay,
            office(tmp_path, clock, open_relay(relay), to=(ME,)) as shop,
        ):
            (incident,) = await shop.incidents(1)
            await asyncio.sleep(1500.0)
            assert relay.commands.count("DATA") == 3
            relay.faults.clear()
            await shop.settled(500.0)
            assert told(relay, ME) == [incident.id]
            assert len({mail.raw for mail in relay.mails}) == 1
            assert len(relay.mails) == (4 if kept else 1)
            delivery = await shop.alert_to(ME)
            assert (delivery.state, delivery.possibly_sent) == (State.DONE, 3)

    simulate(act)


def test_a_mail_whose_answer_never_comes_is_not_sent_for_ever(simulate: Simulate, tmp_path: Path) -> None:
    """Each copy may be in somebody's inbox: after twelve a person has to look, and is told why."""

    async def act(clock: SimClock) -> None:
        lost = Fault(stage="DOT", cut=True, kept=True)
        async with (
            serve_mail(faults=(lost,)) as relay,
            office(tmp_path, clock, open_relay(relay), to=(ME,)) as shop,
        ):
            await shop.incidents(1, every=LONG)
            delivery = await shop.alert_to(ME)
            assert (delivery.state, len(relay.mails)) == (State.DEAD, 12)
            assert "may have it or not" in delivery.last_error

    simulate(act)


# ----------------------------------------------------------------------------------------------------- digests


@pytest.mark.parametrize(
    ("digest_from", "count", "kinds"),
    [(3, 5, ["digest"]), (3, 3, ["digest"]), (3, 2, ["alert"] * 2), (6, 5, ["alert"] * 5), (2, 2, ["digest"])],
)
def test_after_an_outage_each_person_has_one_digest(
    simulate: Simulate, tmp_path: Path, digest_from: int, count: int, kinds: list[str]
) -> None:
    """From three late alerts on, or as configured; one for each person, and nobody's address in another's mail."""

    async def act(clock: SimClock) -> None:
        async with serve_mail() as relay, Proxy(relay.port) as line:
            line.refuse = True
            way = Relay(host="127.0.0.1", port=line.port, security=Security.OPPORTUNISTIC)
            async with office(tmp_path, clock, way, digest_from=digest_from) as shop:
                entered = await shop.incidents(count, every=60.0)
                await asyncio.sleep(1800.0)
                line.refuse = False
                await shop.settled(200.0)
        for person in PEOPLE:
            mails = [mail for mail in relay.mails if mail.recipients == (person,)]
            assert [mail.message["X-Edged-Kind"] for mail in mails] == kinds
            assert sorted(told(relay, person)) == sorted(incident.id for incident in entered)
            assert not any(other.encode() in mail.raw for mail in mails for other in PEOPLE if other != person)
        assert len({mail.message["Message-ID"] for mail in relay.mails}) == len(kinds) * len(PEOPLE)

    simulate(act)


# ------------------------------------------------------------------------------------------- anything, in any order


_ANY = st.sampled_from(
    [
        *(Fault(stage=where, cut=True) for where in ("GREETING", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "DOT")),
        *(Fault(stage=where, stall=True) for where in ("GREETING", "EHLO", "RCPT", "DATA", "BODY", "DOT")),
        *(Fault(stage=where, reply="451 later") for where in ("GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DOT")),
        Fault(stage="DOT", cut=True, kept=True),
        Fault(stage="DOT", stall=True, kept=True),
        Fault(stage="MAIL", reply="530 5.7.0 log in first"),
        Fault(stage="RCPT", reply="452 full", recipient=YOU),
    ]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """So many incidents while two relays behave so, for so many seconds, and perhaps a power cut at their end."""

    first: Fault | None
    second: Fault | None
    count: int
    seconds: float
    cut: bool


_TURNS = st.lists(
    st.builds(
        Turn,
        first=st.none() | _ANY,
        second=st.none() | _ANY,
        count=st.integers(0, 2),
        seconds=st.sampled_from([0.5, 20.0, 700.0]),
        cut=st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
_HEALED = Turn(first=None, second=None, count=1, seconds=1.0, cut=False)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=_TURNS)
def test_whatever_relays_do_each_person_is_told_of_each_incident_once(
    tmp_path_factory: pytest.TempPathFactory, turns: list[Turn]
) -> None:
    """Two relays, any faults, restarts in mid-mail: one telling each; a copy only where an answer was lost."""

    async def act(clock: SimClock) -> None:
        folder = tmp_path_factory.mktemp("mail")
        async with serve_mail() as first, serve_mail() as second:
            second.mails = first.mails  # whichever relay took it, it is one mailbox
            entered: list[Incident] = []
            await _live(folder, clock, (first, second), [*turns, _HEALED], entered)
            outbox = await open_outbox(folder / "outbox.db", clock)
            deliveries = await outbox.deliveries(limit=1000)
            await outbox.close()
        for person in (ME, YOU):
            assert sorted(told(first, person)) == sorted(incident.id for incident in entered)
        for delivery in deliveries:
            copies = [mail.raw for mail in first.mails if f"<{delivery.key}@" in str(mail.message["Message-ID"])]
            assert delivery.state is State.DONE
            assert len(copies) <= 1 + delivery.possibly_sent
            assert len(set(copies)) <= 1

    run_simulated(act)


async def _live(
    folder: Path, clock: SimClock, relays: tuple[Mailbox, Mailbox], turns: list[Turn], entered: list[Incident]
) -> None:
    """Play `turns`, with a new life of the device after each power cut, until all is told."""
    ways = [open_relay(relay) for relay in relays]
    while turns:
        async with office(folder, clock, *ways, to=(ME, YOU)) as shop:
            cut = False
            while turns and not cut:
                turn = turns.pop(0)
                for relay, fault in zip(relays, (turn.first, turn.second), strict=True):
                    relay.faults[:] = [fault] if fault else []
                entered += await shop.incidents(turn.count, every=0.1)
                await asyncio.sleep(turn.seconds)
                cut = turn.cut
            if not turns:
                await shop.settled(6000.0)
