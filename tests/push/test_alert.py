"""Alerts from the outbox to a real mailbox: each told once, late ones together, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from edged.base.clock import stamp
from edged.base.config import Duration
from edged.base.errors import NoAnswerError, PossiblySentError, RefusedError, RejectedError
from edged.base.gate import GateFigures
from edged.base.pulse import Pulse
from edged.channels.settings import MailSettings, Relay, Security
from edged.channels.smtp import Mailer, resolve
from edged.model import Incident, Lane, Snapshot, State
from edged.outbox.nouns import Notice, NoticeKind
from edged.outbox.policy import Destinations
from edged.outbox.store import Outbox, open_outbox
from edged.push.alert import AlertSender, Letters, Links
from edged.push.loop import LaneWorker
from edged.push.settings import PushSettings
from edged.push.transfers import Transfers
from edged.wire.signing import LinkVerdict, verify_link
from tests.channels.samples import picture
from tests.mailbox import Fault, Mailbox, serve_mail
from tests.outbox.world import HandClock
from tests.push.outbox import add_incident

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.model import Delivery

ME, YOU = "me@example.org", "you@example.org"
TO_ME = Destinations(recipients=(ME,))
KEY = "device-key"
CUT = Fault(stage="GREETING", cut=True)


@dataclass(kw_only=True)
class Post:
    """An outbox, a mailbox and the sender between them."""

    outbox: Outbox
    mailbox: Mailbox
    clock: HandClock
    sender: AlertSender
    transfers: Transfers = field(default_factory=Transfers)

    async def send(self, delivery: Delivery) -> None:
        """Send one delivery."""
        await self.sender.send(delivery, self.transfers.begin(delivery, "mail", lambda: None, 0))

    async def first(self) -> Delivery:
        """Return the alert that is most urgent."""
        delivery = await self.outbox.next_delivery(Lane.ALERT, self.clock.mono() + 1e6)
        assert delivery is not None
        return delivery

    async def send_all(self) -> None:
        """Send what waits, one after the other."""
        while (delivery := await self.outbox.next_delivery(Lane.ALERT, self.clock.mono() + 1e6)) is not None:
            await self.send(delivery)

    async def incidents(self, count: int, to: Destinations = TO_ME) -> list[Incident]:
        """Enter incidents a minute apart, each with its alert."""
        entered = []
        for _ in range(count):
            entered.append(await add_incident(self.outbox, self.clock, to))
            self.clock.at += 60.0
        return entered

    def told(self) -> list[str]:
        """Return the incidents that mails told, in order."""
        return [
            incident
            for mail in self.mailbox.mails
            for incident in (mail.message["X-Edged-Incident"] or "").replace(",", " ").split()
        ]


@pytest.fixture
async def post(state_dir: Path) -> AsyncIterator[Post]:
    """A device's outbox and sender, and the mail server that it knows."""
    clock = HandClock()
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    async with serve_mail() as mailbox:
        yield Post(outbox=outbox, mailbox=mailbox, clock=clock, sender=sender_to(mailbox, outbox, clock))
    await outbox.close()


def sender_to(mailbox: Mailbox, outbox: Outbox, clock: HandClock) -> AlertSender:
    """Return a device's sender through `mailbox`."""
    settings = MailSettings(
        sender="alerts@example.org",
        relays=(Relay(host="127.0.0.1", port=mailbox.port, security=Security.OPPORTUNISTIC),),
        reply=Duration(5.0),
        data_reply=Duration(5.0),
    )
    letters = Letters(
        device="shop-1",
        site="Harbour shop",
        timezone="Europe/Paris",
        sender=settings.sender,
        digest_from=3,
        digest_after=120.0,
    )
    links = Links(page="https://watch.example.org/", device="shop-1", key=KEY, valid=86_400.0, clock=clock)
    mailer = Mailer(settings, resolve(settings), clock, figures=GateFigures(failures=99))
    return AlertSender(outbox, mailer, clock, letters=letters, link=links)


async def test_an_alert_goes_out_with_picture_and_link(post: Post) -> None:
    """The mail shows the newest snapshot and leads to the incident's page by a link that the receiver accepts."""
    (incident,) = await post.incidents(1)
    for seq in (1, 2):
        await post.outbox.add_snapshot(snapshot(post, incident, seq), ())
    await post.send_all()
    (mail,) = post.mailbox.mails
    assert mail.message["Subject"] == "Motion at front (yard) - 14:01"
    images = [part.get_content() for part in mail.message.walk() if part.get_content_maintype() == "image"]
    assert images == [picture(64, 48 + 2)]
    text = mail.message.get_body(("plain",))
    assert text is not None
    link = next(line for line in text.get_content().splitlines() if line.startswith("https://watch.example.org/i/"))
    path, _, query = link.removeprefix("https://watch.example.org").partition("?")
    values = dict(pair.split("=") for pair in query.split("&"))
    assert path == f"/i/shop-1/{incident.id}"
    verdict = verify_link(key=KEY, device="shop-1", incident=incident.id, now=post.clock.wall(), **values)
    assert verdict is LinkVerdict.VALID


def snapshot(post: Post, incident: Incident, seq: int) -> Snapshot:
    """Write a snapshot whose height tells its number."""
    path = post.outbox.root / f"{incident.id}-{seq}.jpg"
    path.write_bytes(picture(64, 48 + seq))
    return Snapshot(
        id=secrets.token_hex(16),
        incident=incident.id,
        camera=incident.camera,
        seq=seq,
        path=path,
        size=path.stat().st_size,
        sha256="5e" * 32,
        taken=stamp(post.clock),
        width=64,
        height=48 + seq,
    )


async def test_a_lost_snapshot_does_not_keep_the_alert_back(post: Post) -> None:
    """Without its picture an alert still goes out."""
    (incident,) = await post.incidents(1)
    lost = snapshot(post, incident, 1)
    await post.outbox.add_snapshot(lost, ())
    lost.path.unlink()
    await post.send_all()
    assert post.told() == [incident.id]


async def test_each_recipient_is_told_once(post: Post) -> None:
    """One mail for each recipient, each with a Message-ID of its own."""
    (incident,) = await post.incidents(1, Destinations(recipients=(ME, YOU)))
    await post.send_all()
    assert sorted(mail.recipients for mail in post.mailbox.mails) == [(ME,), (YOU,)]
    assert post.told() == [incident.id] * 2
    assert len({mail.message["Message-ID"] for mail in post.mailbox.mails}) == 2


async def test_a_retry_sends_the_same_bytes(post: Post) -> None:
    """What was frozen at the first attempt is sent again as it is, though the clock was set meanwhile."""
    post.mailbox.faults.append(Fault(stage="RCPT", reply="450 greylisted"))
    await post.incidents(1)
    with pytest.raises(RefusedError):
        await post.send(await post.first())
    frozen = (await post.first()).message
    post.mailbox.faults.clear()
    post.clock.ahead += 86_400.0
    await post.send_all()
    assert [mail.raw for mail in post.mailbox.mails] == [frozen]


def test_a_link_made_in_1970_is_valid_by_the_receivers_clock() -> None:
    """Where the receiver told its time, a link expires by that and not by a clock that was never set."""
    clock = HandClock(ahead=0.0, trusted=False)
    links = Links(page="http://r.example", device="d", key=KEY, valid=100.0, clock=clock, ahead=lambda: 5000.0)
    assert "until=5200&" in links("ab" * 16)


async def test_an_outage_freezes_nothing(post: Post) -> None:
    """An attempt that reached no relay leaves the alert as it was, so the mail has the clock's later correction."""
    post.clock.trusted = False
    post.clock.ahead = 0.0  # 1970
    post.mailbox.faults.append(CUT)
    await post.incidents(1)
    with pytest.raises(NoAnswerError):
        await post.send(await post.first())
    assert (await post.first()).message is None
    post.mailbox.faults.clear()
    post.clock.trusted, post.clock.ahead = True, 1_780_056_000.0
    await post.outbox.correct_clock(stamp(post.clock))
    await post.send_all()
    (mail,) = post.mailbox.mails
    assert mail.message["Subject"] == "Motion at front (yard) - 14:01"
    assert "not synchronised" not in str(mail.message)


async def test_after_an_outage_late_alerts_are_one_digest(post: Post) -> None:
    """Five late alerts to one recipient arrive as one mail that names each incident, and none comes again."""
    late = await post.incidents(5)
    post.clock.at += 3600.0
    await post.send_all()
    assert [mail.message["X-Edged-Kind"] for mail in post.mailbox.mails] == ["digest"]
    assert post.told() == [incident.id for incident in late]
    assert (await post.outbox.counts()).waiting == 0


NOT_LATE = [(2, 3600.0, ["alert"] * 2), (4, 0.0, ["alert"] * 4), (5, 60.0, ["digest", "alert"])]


@pytest.mark.parametrize(("count", "later", "kinds"), NOT_LATE)
async def test_a_digest_needs_enough_late_alerts(post: Post, count: int, later: float, kinds: list[str]) -> None:
    """Two are no digest, and what is fresh is told by itself even while others are late."""
    if later == 0.0:
        for _ in range(count):
            await add_incident(post.outbox, post.clock, TO_ME)
    else:
        await post.incidents(count)
    post.clock.at += later - 60.0
    await post.send_all()
    assert [mail.message["X-Edged-Kind"] for mail in post.mailbox.mails] == kinds
    assert len(post.told()) == count


async def test_a_digest_takes_summaries_in_but_no_notice_of_the_system(post: Post) -> None:
    """What was held back is counted in the digest; a lost camera has a mail of its own."""
    await post.incidents(2)
    since = stamp(post.clock)
    for kind, text in ((NoticeKind.SUMMARY, ""), (NoticeKind.SYSTEM, "Camera door is lost\n\nIt gives no pictures.")):
        notice = Notice(
            id=secrets.token_hex(16), kind=kind, since=since, text=text, camera="front", zones=("yard",), count=3
        )
        await post.outbox.add_notice(notice, TO_ME.people)
    post.clock.at += 3600.0
    await post.send_all()
    subjects = {mail.message["X-Edged-Kind"]: mail.message["Subject"] for mail in post.mailbox.mails}
    assert subjects == {
        "digest": "5 incidents while offline: 14:01 to 14:03",
        "system": "Camera door is lost - 14:03",
    }


async def test_a_refused_digest_stays_one_and_its_alerts_wait_with_it(post: Post) -> None:
    """Once frozen, a digest is sent again byte for byte; what it tells is not sent alone meanwhile."""
    post.mailbox.faults.append(Fault(stage="DOT", reply="451 disk full"))
    late = await post.incidents(3)
    post.clock.at += 3600.0
    with pytest.raises(RefusedError):
        await post.send(await post.first())
    leader = await post.first()
    assert await post.outbox.next_delivery(Lane.ALERT, 1e9, busy=[leader.id]) is None
    post.mailbox.faults.clear()
    await post.send_all()
    assert [mail.raw for mail in post.mailbox.mails] == [leader.message]
    assert post.told() == [incident.id for incident in late]


async def test_an_alert_that_waits_its_turn_while_it_is_folded_is_not_sent(post: Post) -> None:
    """Two workers at once: the second's alert went into the first's digest, so it must not go out by itself."""
    late = await post.incidents(3)
    post.clock.at += 3600.0
    alerts = [alert for incident in late for alert in await post.outbox.deliveries_of(incident.id)]
    post.mailbox.faults.append(Fault(stage="DOT", reply="451 disk full"))
    sent = await asyncio.gather(*(post.send(alert) for alert in alerts), return_exceptions=True)
    assert [type(outcome) for outcome in sent] == [RefusedError, type(None), type(None)]
    post.mailbox.faults.clear()
    await post.send_all()
    assert len(post.mailbox.mails) == 1


async def test_the_mark_of_a_mail_under_way_survives_a_crash(post: Post) -> None:
    """From before the final dot on, a restart counts the mail as possibly sent; before that it does not."""
    await post.incidents(1)
    delivery = await post.first()
    for fault, possibly in ((Fault(stage="RCPT", cut=True), 0), (Fault(stage="DOT", cut=True), 1)):
        post.mailbox.faults[:] = [fault]
        with pytest.raises(NoAnswerError) as caught:
            await post.send(delivery)
        assert isinstance(caught.value, PossiblySentError) is bool(possibly)
        await post.outbox.close()
        post.outbox = await open_outbox(post.outbox.root / "outbox.db", post.clock)
        post.sender = sender_to(post.mailbox, post.outbox, post.clock)
        found = await post.outbox.delivery(delivery.id)
        assert found is not None
        assert found.possibly_sent == possibly


async def test_what_is_done_or_gone_is_not_sent(post: Post) -> None:
    """A delivery that was completed or dropped since it was picked sends nothing."""
    await post.incidents(2)
    done = await post.first()
    await post.outbox.complete(done.id, None)
    dropped = await post.first()
    await post.outbox.drop(dropped.id)
    for delivery in (done, dropped):
        await post.send(delivery)
    assert post.mailbox.sessions == 0


NOTICES = [
    (NoticeKind.SUMMARY, "", "summary", "3 more since 14:00 - front (yard)"),
    (NoticeKind.CAP, "", "summary", "3 more since 14:00 - front (yard)"),
    (NoticeKind.RECOVERED, "", "recovered", "3 recovered since 14:00 - front (yard)"),
    (NoticeKind.SYSTEM, "The disk is nearly full. Free: 2 MB.", "system", "The disk is nearly full - 14:00"),
    (NoticeKind.CLEAR, "Camera door is back\n\nAll well.", "system", "Camera door is back - 14:00"),
    (NoticeKind.TEST, "Test mail", "test", "Test mail - 14:00"),
]


@pytest.mark.parametrize(("kind", "text", "header", "subject"), NOTICES)
async def test_each_notice_has_its_words(post: Post, kind: NoticeKind, text: str, header: str, subject: str) -> None:
    """Every kind of notice that the outbox knows becomes a mail of its kind."""
    post.clock.at = 0.0
    notice = Notice(
        id="a" * 32, kind=kind, since=stamp(post.clock), text=text, camera="front", zones=("yard",), count=3
    )
    await post.outbox.add_notice(notice, TO_ME.people)
    await post.send_all()
    (mail,) = post.mailbox.mails
    assert (mail.message["X-Edged-Kind"], mail.message["Subject"]) == (header, subject)
    assert mail.message["X-Edged-Incident"] is None


async def test_a_recipient_that_is_no_address_is_dead_not_stuck(post: Post) -> None:
    """A mail that can't be made at all is refused for good, with the reason."""
    await post.incidents(1, Destinations(recipients=("nobody at all",)))
    with pytest.raises(RejectedError, match="not a mail address"):
        await post.send(await post.first())


async def test_an_unknown_incident_is_dead_not_stuck(post: Post) -> None:
    """An alert whose incident the outbox does not know can tell nothing."""
    await post.incidents(1)
    delivery = await post.first()
    unknown = replace(delivery, incident="f" * 32)
    with pytest.raises(RejectedError, match="no incident"):
        await post.sender._teller.content(unknown)


async def test_the_lane_delivers_through_cuts_and_refusals(post: Post) -> None:
    """Under the lane's own worker every incident is told exactly once, though each stage fails in turn."""
    incidents = await post.incidents(4)
    post.clock.at += 30.0
    worker = LaneWorker(
        Lane.ALERT,
        post.sender.send,
        outbox=post.outbox,
        transfers=Transfers(),
        settings=PushSettings(),
        parallel=2,
        clock=post.clock,
        rng=Random(1),
    )
    work, pulse = post.outbox.subscribe(), Pulse("alerts", 60.0, post.clock)
    stages = [CUT, Fault(stage="MAIL", reply="451 later"), Fault(stage="RCPT", cut=True)]
    for fault in stages:
        post.mailbox.faults[:] = [fault]
        await worker.step(work, pulse)
    post.mailbox.faults.clear()
    while (await post.outbox.counts()).waiting:
        post.clock.at += 1000.0
        worker.hasten()
        await worker.step(work, pulse)
    assert sorted(post.told()) == sorted(incident.id for incident in incidents)
    states = [each.state for each in await post.outbox.deliveries()]
    assert states == [State.DONE] * 4
