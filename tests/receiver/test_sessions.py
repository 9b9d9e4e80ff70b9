"""Logins: cookies that can't be forged, a brake on guessing, passwords that can't be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.receiver import passwords
from edged.receiver.handlers.login import local
from edged.receiver.sessions import Brake, Sessions

NOW = 1_790_000_000.0


def test_a_session_lasts_its_time() -> None:
    """And ends with it, with the password, or under another secret."""
    sessions = Sessions("secret", 100.0)
    cookie = sessions.start("ann", "hash", NOW)
    assert sessions.name_in(cookie, NOW + 100) == "ann"
    assert sessions.holds(cookie, "hash")
    assert sessions.name_in(cookie, NOW + 101) is None
    assert not sessions.holds(cookie, "another hash")
    assert not Sessions("other", 100.0).holds(cookie, "hash")


@pytest.mark.parametrize("change", [("ann", "bob"), ("1790000100", "1790009999")])
def test_a_changed_cookie_is_void(change: tuple[str, str]) -> None:
    """Name and time are signed."""
    sessions = Sessions("secret", 100.0)
    assert not sessions.holds(sessions.start("ann", "hash", NOW).replace(*change), "hash")


@given(cookie=st.text(max_size=120))
def test_no_text_is_a_session(cookie: str) -> None:
    """Garbage in the cookie is nobody."""
    sessions = Sessions("secret", 100.0)
    assert not sessions.holds(cookie, "hash")
    assert not sessions.form_holds(cookie, cookie)


def test_form_tokens_belong_to_their_browser() -> None:
    """A token made for one form cookie does not serve another, nor an empty one."""
    sessions = Sessions("secret", 100.0)
    token = sessions.form_token("a")
    assert sessions.form_holds("a", token)
    assert not sessions.form_holds("b", token)
    assert not sessions.form_holds("", sessions.form_token(""))


def test_the_brake() -> None:
    """Three failures within the window close the door to that address, and to no other, until the first is old."""
    now = 0.0
    brake = Brake(3, 60.0, lambda: now)
    for second in (0.0, 10.0, 20.0):
        now = second
        assert brake.wait("a") == 0.0
        brake.failed("a")
    assert brake.wait("a") == 40.0
    assert brake.wait("b") == 0.0
    now = 60.0
    assert brake.wait("a") == 0.0
    brake.failed("a")
    assert brake.wait("a") == 10.0
    brake.passed("a")
    assert brake.wait("a") == 0.0


def test_passwords() -> None:
    """Only the right one matches, the stored text does not show it, and short ones are refused."""
    stored = passwords.hash_password("correct horse")
    assert passwords.matches("correct horse", stored)
    assert not passwords.matches("correct horsf", stored)
    assert not passwords.matches("", passwords.NOBODY)
    assert "correct" not in stored
    assert stored != passwords.hash_password("correct horse")
    with pytest.raises(ValueError, match="8 characters"):
        passwords.hash_password("short")


@pytest.mark.parametrize(
    ("path", "onward"),
    [
        ("/incidents/shop/a?b=c", "/incidents/shop/a?b=c"),
        ("", "/"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_the_way_on_stays_here(path: str, onward: str) -> None:
    """After the login nobody is led to another site."""
    assert local(path) == onward
