"""Putting a mail together byte for byte: the same parts and Message-ID always give the same message.

Everything that the library would choose at random or by the clock is fixed here: boundaries and content ids come
from the Message-ID, bodies are quoted-printable, so a message is 7-bit clean and no relay has a reason to re-code it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256

# The HTML template puts each picture between these, so that a message can do without.
PICTURE_START, PICTURE_END = "<!--picture-->", "<!--/picture-->"
_PICTURE = re.compile(f"{PICTURE_START}.*?{PICTURE_END}", re.DOTALL)
_STRUCTURE = b"\r\nMIME-Version: "  # where the head ends
_LEFT_OUT = "The picture was left out: the mail server did not take a mail of this size."


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """A mail's `head` (its header fields, each ended by CRLF), its Message-ID, its two texts and its JPEGs."""

    head: bytes
    message_id: str
    text: str
    html: str
    pictures: tuple[bytes, ...] = field(default=(), repr=False)


def assemble(parts: Parts) -> bytes:
    """Return the message, with CRLF line ends."""
    body = EmailMessage(policy=SMTP)
    body.set_content(parts.text, charset="utf-8", cte="quoted-printable")
    body.add_alternative(parts.html, subtype="html", charset="utf-8", cte="quoted-printable")
    _, html = body.iter_parts()
    assert isinstance(html, EmailMessage)  # noqa: S101 -- what the lines above made, told to the type checker
    for number, picture in enumerate(parts.pictures):
        cid, name = f"<{content_id(parts.message_id, number)}>", f"picture-{number + 1}.jpg"
        html.add_related(picture, "image", "jpeg", cid=cid, filename=name, disposition="inline")
    for part in body.walk():
        if part.is_multipart():
            part.set_boundary(_boundary(parts.message_id, part.get_content_subtype()))
    return parts.head + body.as_bytes()


def content_id(message_id: str, number: int) -> str:
    """Return the content id of picture `number`, without angle brackets, as unique as the Message-ID (RFC 2392).

    Short, so that its header is never folded: some readers then don't find the picture.
    """
    return f"picture-{number + 1}.{sha256(message_id.encode()).hexdigest()[:16]}@edged.invalid"


def without_pictures(message: bytes) -> bytes | None:
    """Return a message of `assemble` with the same head and no pictures; None if it has none."""
    whole = message_from_bytes(message, policy=SMTP)
    if not any(part.get_content_maintype() == "image" for part in whole.walk()):
        return None
    text, html = whole.get_body(("plain",)), whole.get_body(("html",))
    if text is None or html is None:
        return None
    return assemble(
        Parts(
            head=message[: message.index(_STRUCTURE) + 2],
            message_id=str(whole["Message-ID"]),
            text=f"{_unix(text.get_content())}\n{_LEFT_OUT}\n",
            html=_PICTURE.sub(f"<p>{_LEFT_OUT}</p>", _unix(html.get_content())),
        )
    )


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")


def _boundary(message_id: str, subtype: str) -> str:
    # "=_" occurs neither in quoted-printable nor in base64
    return f"=_{subtype}_{sha256(message_id.encode()).hexdigest()[:24]}"
