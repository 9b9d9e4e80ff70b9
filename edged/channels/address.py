"""Mail addresses: the plain ASCII subset of RFC 5321 that every relay takes, with an optional display name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edged.channels.text import one_line

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@({_LABEL}(?:\.{_LABEL})*)")
_NAMED = re.compile(r"\s*(.*?)\s*<\s*([^<>]*?)\s*>\s*", re.DOTALL)
_LONGEST_LOCAL = 64  # RFC 5321 4.5.3.1
_LONGEST = 254


@dataclass(frozen=True, kw_only=True, slots=True)
class Mailbox:
    """A display name ("" for none) and an address."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What is right of the @."""
        return self.address.rpartition("@")[2]


def parse_mailbox(text: str) -> Mailbox:
    """Parse "someone@example.org" or "Some One <someone@example.org>"; ValueError says what is wrong."""
    named = _NAMED.fullmatch(text)
    name, address = (named[1].strip('"'), named[2]) if named else ("", text.strip())
    return Mailbox(name=one_line(name), address=check_address(address))


def check_address(text: str) -> str:
    """Return `text` if it is a mail address that every relay takes; ValueError says what is wrong."""
    match = _ADDRESS.fullmatch(text)
    if match is None or "=?" in text:  # which Python's header parser takes for an encoded word
        hint = " (addresses are plain ASCII; write the domain in its xn-- form)" if not text.isascii() else ""
        raise ValueError(f"{text!r} is not a mail address; write it like someone@example.org{hint}")
    if len(match[1]) > _LONGEST_LOCAL or len(text) > _LONGEST:
        raise ValueError(f"{text!r} is longer than a mail address may be")
    return text
