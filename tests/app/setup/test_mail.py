"""What setup knows of mail providers, and what it takes for an answer."""

from __future__ import annotations

import pytest

from edged.app.setup.mail import _guess, _people, _port, _security
from edged.channels.settings import Security


@pytest.mark.parametrize(
    ("sender", "host", "security"),
    [
        ("me@gmail.com", "smtp.gmail.com", Security.STARTTLS),
        ("Shop <me@GMX.de>", "mail.gmx.net", Security.STARTTLS),
        ("me@fastmail.com", "smtp.fastmail.com", Security.TLS),
        ("me@example.org", "", Security.STARTTLS),
    ],
)
def test_known_providers_are_offered(sender: str, host: str, security: Security) -> None:
    """By the sender's domain; others are asked for."""
    assert _guess(sender)[:2] == (host, security)


def test_who_wants_an_app_password_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The account's own password would be refused."""
    _guess("me@gmail.com")
    assert "smtp.gmail.com takes no ordinary password here: make an app password" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("-", ()), ("a@b.c", ("a@b.c",)), ("a@b.c , d@e.f,", ("a@b.c", "d@e.f")), ("a@b.c, a@b.c", ("a@b.c",))],
)
def test_recipients_are_taken_once_each(text: str, wanted: tuple[str, ...]) -> None:
    """With commas between them."""
    assert _people(text) == wanted


@pytest.mark.parametrize("text", ["a", "a@b.c d@e.f", "ü@b.c"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """As the configuration would refuse it."""
    with pytest.raises(ValueError, match="is not a mail address"):
        _people(text)


def test_ports_and_protections_are_checked() -> None:
    """Each with a sentence."""
    assert (_port("2525"), _security("tls")) == (2525, Security.TLS)
    with pytest.raises(ValueError, match="70000 is not a TCP port"):
        _port("70000")
    with pytest.raises(ValueError, match="'smtp' is no number"):
        _port("smtp")
    with pytest.raises(ValueError, match="'ssl' is none of starttls, tls, opportunistic"):
        _security("ssl")
