"""A rendered mail: the same bytes for the same content, sound for every mail program, safe against every name."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from dataclasses import replace
from email import message_from_bytes, policy
from email.headerregistry import AddressHeader, UniqueSingleAddressHeader
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.channels.address import Mailbox
from edged.channels.content import Alert, Notice
from edged.channels.headers import field, mailbox_field
from edged.channels.mime import without_pictures
from edged.channels.render import message_id, render_message
from edged.channels.text import one_line
from tests.channels.samples import LETTERHEAD, LINK, contents, picture, sighting, stamp

if TYPE_CHECKING:
    from email.message import EmailMessage

    from edged.channels.content import AlertContent, Letterhead

SENDER = "Harbour <alerts@example.org>"
HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "X-Edged-Kind",
    "MIME-Version",
    "Content-Type",
}


def render(content: AlertContent, head: Letterhead = LETTERHEAD, sender: str = SENDER) -> bytes:
    """Return the mail to one recipient."""
    return render_message(content, head, sender=sender, recipient="me@example.org", key="k.1")


def parse(message: bytes) -> EmailMessage:
    """Parse a mail as its reader does."""
    return message_from_bytes(message, policy=policy.SMTP)


def b64(text: str) -> bytes:
    """Return base64 of UTF-8."""
    return base64.b64encode(text.encode())


def body(message: EmailMessage, subtype: str) -> str:
    """Return the plain or HTML text of a mail."""
    part = message.get_body((subtype,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


@pytest.mark.parametrize("name", contents())
def test_the_same_content_gives_the_same_bytes(name: str) -> None:
    """Every kind of mail is made again byte for byte, also by another process with another hash seed."""
    again = f"""
import sys
from tests.channels.samples import contents, picture
from tests.channels.test_render import render
sys.stdout.buffer.write(render(contents(picture())[{name!r}]))
"""
    here = render(contents(picture())[name])
    elsewhere = subprocess.run(
        [sys.executable, "-c", again], check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": "7"}
    )
    assert elsewhere.stdout == here == render(contents(picture())[name])


@pytest.mark.parametrize("name", contents())
def test_every_mail_is_fit_for_every_relay(name: str) -> None:
    """Seven bits, short lines ended by CRLF alone, both texts, and exactly the headers that are meant."""
    message = render(contents(picture())[name])
    assert message.isascii()
    assert message.endswith(b"\r\n")
    assert b"\n" not in message.replace(b"\r\n", b"")
    assert b"\r" not in message.replace(b"\r\n", b"")
    assert max(map(len, message.split(b"\r\n"))) <= 998
    parsed = parse(message)
    assert parsed.defects == []
    assert set(parsed.keys()) - {"X-Edged-Incident"} == HEADERS
    assert len(parsed.keys()) == len(set(parsed.keys()))
    assert body(parsed, "plain").strip()
    assert "<html" in body(parsed, "html")


def test_the_headers_of_an_alert() -> None:
    """What programs and filters look at: identity, kind, incident, and that nobody should answer."""
    parsed = parse(render(contents()["alert"]))
    told = {name: parsed[name] for name in ("Subject", "Message-ID", "X-Edged-Kind", "X-Edged-Incident")}
    assert told == {
        "Subject": "Motion at Front door (yard) - 14:02",
        "Message-ID": "<k.1@example.org>",
        "X-Edged-Kind": "alert",
        "X-Edged-Incident": "0" * 32,
    }
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["Date"] == "Sun, 22 Nov 2026 13:02:31 +0000"
    assert parsed["From"] == "Harbour <alerts@example.org>"


def test_an_alert_in_plain_text() -> None:
    """The plain text says all that the page says."""
    assert body(parse(render(contents(picture())["alert"])), "plain") == (
        "Motion: Front door\n\nZone: yard\nTime: Sun 22 Nov 2026, 14:02:31 CET\n\n"
        f"Watch the recording:\n{LINK}\n\n-- \nedged, Harbour shop (shop-1)\n"
    )


def test_a_digest_in_plain_text() -> None:
    """Each incident has its line and its link."""
    text = body(parse(render(contents()["digest"])), "plain")
    assert text.startswith("Late alerts: 6 incidents while offline\n")
    assert f"- Sat 21 Nov, 14:35:51  Back gate by the long fence (delivery area)\n  {LINK}\n" in text
    assert "- Sat 21 Nov, 15:32:31  2 more at Till\n" in text


def test_the_picture_is_inline_and_found_by_the_page() -> None:
    """The JPEG arrives as it was, and the HTML names it by its content id."""
    parsed = parse(render(contents(picture())["alert"]))
    (image,) = [part for part in parsed.walk() if part.get_content_maintype() == "image"]
    assert image.get_content() == picture()
    assert image.get_content_disposition() == "inline"
    assert f'src="cid:{image["Content-ID"].strip("<>")}"' in body(parsed, "html")


def test_the_sender_has_a_name_also_when_none_is_configured() -> None:
    """Without a display name in the configuration, the site's name stands there."""
    parsed = parse(render(contents()["test"], sender="alerts@example.org"))
    assert parsed["From"] == "Harbour shop <alerts@example.org>"


def test_a_mail_from_a_clock_that_was_never_set_has_no_date() -> None:
    """1970 would sort it out of sight: the first relay adds a date of its own, and the reader is told."""
    unset = replace(LETTERHEAD, written=stamp(1000.0, synced=False))
    parsed = parse(render(Alert(sighting=sighting(opened=stamp(900.0, synced=False))), unset))
    assert parsed["Date"] is None
    assert parsed["Subject"] == "Motion at Front door (yard) - time unknown"
    assert "not synchronised" in body(parsed, "plain")
    assert "not synchronised" in body(parsed, "html")


@pytest.mark.parametrize("name", ["alert", "digest"])
def test_a_mail_without_its_pictures_is_the_same_mail(name: str) -> None:
    """Only the pictures go: headers stay, texts say so, and making it again gives the same bytes."""
    message = render(contents(picture())[name])
    smaller = without_pictures(message)
    assert smaller is not None
    assert smaller == without_pictures(message)
    before, after = parse(message), parse(smaller)
    assert [(key, before[key]) for key in before] == [(key, after[key]) for key in after]
    assert "<img" not in body(after, "html")
    assert "cid:" not in body(after, "html")
    assert all("picture was left out" in body(after, subtype) for subtype in ("plain", "html"))
    assert len(smaller) < len(message) - len(picture())
    assert without_pictures(smaller) is None


def test_the_message_id_is_of_the_senders_domain() -> None:
    """It stays the same for the same delivery, and is unique where the sender's domain is."""
    assert message_id("k.1", "A <a@mail.example.org>") == "<k.1@mail.example.org>"


NAMES = st.text(max_size=200) | st.sampled_from(
    [
        "a\r\nBcc: everyone@example.org",
        "a\nX-Edged-Kind: test\n\nbody",
        "\r\n.\r\nMAIL FROM:<x>",
        "=?utf-8?q?=0ABcc:_x?=",
        "=??Q?=0A0",
        '"quoted" <someone@else.example>',
        "{{ 7 * 7 }}{% for x in y %}",
        "<script>alert(1)</script>",
        "\u202egnp.exe\u0000\ud800",
        "Вход во двор",
        "正面玄関",
        "🚪" * 60,
        "x" * 500,
    ]
)


@given(camera=NAMES, zones=st.lists(NAMES, max_size=5), site=NAMES, device=NAMES)
@settings(max_examples=120, deadline=None)
def test_no_name_can_break_out(camera: str, zones: list[str], site: str, device: str) -> None:
    """Whatever cameras, zones, sites and devices are called: the headers are ours alone, and HTML is never theirs."""
    head = replace(LETTERHEAD, site=site, device=device)
    message = render(Alert(sighting=sighting(camera, tuple(zones))), head, sender="alerts@example.org")
    assert message.isascii()
    assert max(map(len, message.split(b"\r\n"))) <= 998
    parsed = parse(message)
    assert set(parsed.keys()) == HEADERS | {"X-Edged-Incident"}
    assert len(parsed.keys()) == len(HEADERS) + 1
    for name in ("From", "To"):
        header = parsed[name]
        assert isinstance(header, AddressHeader | UniqueSingleAddressHeader)
        assert len(header.addresses) == 1
    assert parsed["From"].addresses[0].addr_spec == "alerts@example.org"
    assert parsed["Message-ID"] == "<k.1@example.org>"
    assert parsed["Subject"].startswith("Motion at")
    html = body(parsed, "html")
    assert "<script" not in html
    assert html.count("<table") == 3
    assert "49" not in html.replace(camera, "") or "7 * 7" not in camera


@given(title=NAMES, text=NAMES)
@settings(max_examples=60, deadline=None)
def test_no_notice_can_break_out(title: str, text: str) -> None:
    """Error texts from cameras and servers end up in notices: they are text there and nothing else."""
    parsed = parse(render(Notice(title=title, text=text, at=stamp())))
    assert set(parsed.keys()) == HEADERS
    assert "<script" not in body(parsed, "html")


FIELDS = [
    ("Front door", b"Subject: Front door\r\n"),
    ("a\r\nBcc: b@example.org", b"Subject: a Bcc: b@example.org\r\n"),
    ("=??Q?=0A0", b"Subject: =?utf-8?b?PT8/UT89MEEw?=\r\n"),  # plain to a reader, and no line break
    ("é" * 30, b"Subject: =?utf-8?b?" + b64("é" * 19) + b"?=\r\n =?utf-8?b?" + b64("é" * 11) + b"?=\r\n"),
    ("ab " * 40, b"Subject: " + b" ".join([b"ab"] * 22) + b"\r\n " + b" ".join([b"ab"] * 18) + b"\r\n"),
    ("x" * 90, b"Subject: " + b"x" * 90 + b"\r\n"),
]


@pytest.mark.parametrize(("text", "line"), FIELDS)
def test_fields(text: str, line: bytes) -> None:
    """Text stays as it is where it can, and is encoded whole characters at a time where it can't."""
    assert field("Subject", text) == line


MAILBOXES = [
    (Mailbox(name="", address="a@b"), b"From: a@b\r\n"),
    (Mailbox(name="Harbour shop", address="a@b"), b"From: Harbour shop <a@b>\r\n"),
    (Mailbox(name='One, "Two"', address="a@b"), b'From: "One, \\"Two\\"" <a@b>\r\n'),
    (Mailbox(name="Küche", address="a@b"), b"From: =?utf-8?b?S8O8Y2hl?= <a@b>\r\n"),
]


@pytest.mark.parametrize(("mailbox", "line"), MAILBOXES)
def test_mailbox_fields(mailbox: Mailbox, line: bytes) -> None:
    """Display names are quoted or encoded as they need."""
    assert mailbox_field("From", mailbox) == line


@given(NAMES)
def test_a_field_reads_as_the_line_it_was_made_of(text: str) -> None:
    """Whatever is put in comes out again, as one line."""
    parsed = parse(field("Subject", text) + b"\r\n")
    assert list(parsed.keys()) == ["Subject"]
    assert parsed["Subject"] == one_line(text, 100_000)
