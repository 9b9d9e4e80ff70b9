"""The section [mail]: what can't work is refused with the key and the way out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.config import parse
from edged.base.errors import ConfigError
from edged.channels.address import check_address, parse_mailbox
from edged.channels.settings import MailSettings, Relay, Security

PASSWORD = {"env": "MAIL_PASSWORD"}
HOST = {"host": "mail.example.org"}
SENDER = "alerts@example.org"


def test_a_whole_section() -> None:
    """Everything that can be written is taken."""
    section = parse(
        {
            "sender": f"Harbour shop <{SENDER}>",
            "relays": [
                {**HOST, "user": "shop", "password": PASSWORD, "ca_file": "/etc/ca.pem"},
                {"host": "::1", "security": "tls"},
                {"host": "localhost", "security": "opportunistic", "port": 2525},
            ],
            "helo": "shop.example.org",
            "data_reply": "10min",
        },
        MailSettings,
    )
    assert [relay.name for relay in section.relays] == ["mail.example.org:587", "::1:465", "localhost:2525"]
    assert section.relays[0].security is Security.STARTTLS
    assert section.data_reply == 600.0


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"relays": [HOST]}, "sender: is missing"),
    ({"sender": "nobody"}, "sender: 'nobody' is not a mail address"),
    ({"sender": SENDER, "helo": "two words"}, "helo: 'two words' is not a host name"),
    ({"sender": SENDER, "reply": "0s"}, "reply: must be longer than nothing"),
    ({"sender": SENDER, "reply": 30}, "reply: 30 has no unit"),
    ({"sender": SENDER, "relays": [{"host": ""}]}, "relays.1.host: '' is not the name"),
    ({"sender": SENDER, "relays": [HOST, {"host": "a b"}]}, "relays.2.host: 'a b' is not the name"),
    ({"sender": SENDER, "relays": [{**HOST, "port": 70000}]}, "relays.1.port: 70000 is not a TCP port"),
    ({"sender": SENDER, "relays": [{**HOST, "user": "me"}]}, "relays.1.password: user and password belong together"),
    ({"sender": SENDER, "relays": [{**HOST, "password": PASSWORD}]}, "relays.1.password: user and password"),
    ({"sender": SENDER, "relays": [{**HOST, "password": "secret"}]}, "relays.1.password: a secret must not be written"),
    (
        {"sender": SENDER, "relays": [{**HOST, "security": "opportunistic", "user": "me", "password": PASSWORD}]},
        'relays.1.security: "opportunistic" never carries a password',
    ),
    (
        {"sender": SENDER, "relays": [{**HOST, "security": "opportunistic", "ca_file": "/ca.pem"}]},
        'relays.1.ca_file: "opportunistic" verifies no certificate',
    ),
    ({"sender": SENDER, "relays": [{**HOST, "security": "none"}]}, "relays.1.security: 'none' is none of "),
]


@pytest.mark.parametrize(("section", "told"), WRONG, ids=[told for _, told in WRONG])
def test_what_cannot_work_is_refused(section: dict[str, Any], told: str) -> None:
    """Each mistake is told with its key."""
    with pytest.raises(ConfigError) as caught:
        parse(section, MailSettings)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("text", ["a@b", "first.last+tag@mail.example.org", "o'hara@xn--bcher-kva.example"])
def test_addresses_that_every_relay_takes(text: str) -> None:
    """Plain ASCII addresses are returned as they are."""
    assert check_address(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "@b", "a@", "a@b@c", "a b@c", "a@b c", ".a@b", "a..b@c", "a@-b", "a@b-", "a@b..c", "a@b\n", "a\r@b"),
        *(
            "=?utf-8?q?a?=@b",
            "<a@b>",
            "a@b>",
            "bücher@example.org",
            "a@bücher.example",
            "a" * 65 + "@b",
            "a@" + "b" * 254,
        ),
    ],
)
def test_addresses_that_are_refused(text: str) -> None:
    """What is no address, or one that some relays refuse, is told at the start and not at the first alert."""
    with pytest.raises(ValueError, match="mail address"):
        check_address(text)


def test_an_address_outside_ascii_names_the_way_out() -> None:
    """Domains have an ASCII form."""
    with pytest.raises(ValueError, match="xn--"):
        check_address("a@bücher.example")


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("a@b.example", "", "a@b.example"),
        ("Some One <a@b.example>", "Some One", "a@b.example"),
        ('"One, Some" <a@b.example>', "One, Some", "a@b.example"),
        (" Küche <a@b.example> ", "Küche", "a@b.example"),
    ],
)
def test_mailboxes(text: str, name: str, address: str) -> None:
    """A display name may stand before the address."""
    mailbox = parse_mailbox(text)
    assert (mailbox.name, mailbox.address, mailbox.domain) == (name, address, "b.example")


@given(st.text())
def test_whatever_is_accepted_is_one_plain_line(text: str) -> None:
    """Nothing that passes can carry a line break or another command."""
    try:
        mailbox = parse_mailbox(text)
    except ValueError:
        return
    assert mailbox.address.isascii()
    assert not set(mailbox.address) & set(" <>\r\n\t,;")
    assert mailbox.name.isprintable()


def test_a_relay_shows_no_secret() -> None:
    """The representation of a relay names where its password is, and that is all it knows."""
    relay = parse({**HOST, "user": "me", "password": PASSWORD}, Relay)
    assert "MAIL_PASSWORD" in repr(relay)
