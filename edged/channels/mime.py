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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The HTML template puts each picture between these, so that a message can do without.
PICTURE_START, PICTURE_END = "<!--picture-->", "<!--/picture-->"
_PICTURE = re.compile(f"{PICTURE_START}.*?{PICTURE_END}", re.DOTALL)
_LEFT_OUT = "The picture was left out: the mail server did not take a mail of this size."


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """A mail's headers in order (decoded), its two texts and its JPEGs."""

    headers: Mapping[str, str]
    text: str
    html: str
    pictures: tuple[bytes, ...] = field(default=(), repr=False)


def assemble(parts: Parts) -> bytes:
    """Return the message with CRLF line ends; `parts.headers` must hold a Message-ID.

    Raises ValueError for a line break in a header.
    """
    message = EmailMessage(policy=SMTP)
    for name, value in parts.headers.items():
        message[name] = value
    message_id = parts.headers["Message-ID"]
    message.set_content(parts.text, charset="utf-8", cte="quoted-printable")
    message.add_alternative(parts.html, subtype="html", charset="utf-8", cte="quoted-printable")
    _, html = message.iter_parts()
    assert isinstance(html, EmailMessage)  # noqa: S101 -- what the lines above made, told to the type checker
    for number, picture in enumerate(parts.pictures):
        cid, name = f"<{content_id(message_id, number)}>", f"picture-{number + 1}.jpg"
        html.add_related(picture, "image", "jpeg", cid=cid, filename=name, disposition="inline")
    for part in message.walk():
        if part.is_multipart():
            part.set_boundary(_boundary(message_id, part.get_content_subtype()))
    return message.as_bytes()


def content_id(message_id: str, number: int) -> str:
    """Return the content id of picture `number`, without angle brackets, unique as the Message-ID is (RFC 2392)."""
    left, _, domain = message_id.strip("<>").rpartition("@")
    return f"{left}.picture-{number + 1}@{domain}"


def without_pictures(message: bytes) -> bytes | None:
    """Return a message of `assemble` with the same headers and no pictures; None if it has none."""
    whole = message_from_bytes(message, policy=SMTP)
    if not any(part.get_content_maintype() == "image" for part in whole.walk()):
        return None
    text, html = whole.get_body(("plain",)), whole.get_body(("html",))
    if text is None or html is None:
        return None
    headers = {name: str(value) for name, value in whole.items() if not _is_structure(name)}
    return assemble(
        Parts(
            headers=headers,
            text=f"{_unix(text.get_content())}\n{_LEFT_OUT}\n",
            html=_PICTURE.sub(f"<p>{_LEFT_OUT}</p>", _unix(html.get_content())),
        )
    )


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")


def _is_structure(name: str) -> bool:
    return name.lower() == "mime-version" or name.lower().startswith("content-")


def _boundary(message_id: str, subtype: str) -> str:
    # "=_" occurs neither in quoted-printable nor in base64
    return f"=_{subtype}_{sha256(message_id.encode()).hexdigest()[:24]}"
