"""The XML that network cameras speak: envelopes, the login in their header, and reading what strangers answer.

Sources: SOAP 1.2; WS-Security UsernameToken Profile 1.0 (3.1, the digest); ONVIF Core Specification 5.9 and 5.12.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from edged.base.errors import CameraError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ENVELOPE = "http://www.w3.org/2003/05/soap-envelope"
_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_SECURITY, _UTILITY = f"{_WSS}wssecurity-secext-1.0.xsd", f"{_WSS}wssecurity-utility-1.0.xsd"
_DIGEST, _BASE64 = f"{_WSS}username-token-profile-1.0#PasswordDigest", f"{_WSS}soap-message-security-1.0#Base64Binary"
_LONGEST_FAULT = 200


def envelope(body: str, header: str = "", spaces: str = "") -> bytes:
    """Return a message; `spaces` are further namespace declarations, with a blank before each."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{ENVELOPE}"{spaces}>'
        f"<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def login(user: str, password: str, wall: float, nonce: bytes = b"") -> str:
    """Return the header that says who asks at the camera's time `wall`: a digest that holds once, not the password."""
    nonce = nonce or secrets.token_bytes(16)
    created = datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = hashlib.sha1(nonce + created.encode() + password.encode(), usedforsecurity=False).digest()
    return (
        f'<w:Security xmlns:w="{_SECURITY}" xmlns:u="{_UTILITY}" s:mustUnderstand="1"><w:UsernameToken>'
        f"<w:Username>{escape(user)}</w:Username>"
        f'<w:Password Type="{_DIGEST}">{base64.b64encode(digest).decode()}</w:Password>'
        f'<w:Nonce EncodingType="{_BASE64}">{base64.b64encode(nonce).decode()}</w:Nonce>'
        f"<u:Created>{created}</u:Created></w:UsernameToken></w:Security>"
    )


class _Builder(ET.TreeBuilder):
    def doctype(self, *_: Any) -> None:
        """Refuse: SOAP knows none (SOAP 1.2 part 1, 5), and with it come entities that grow without end."""
        raise CameraError("the answer is no SOAP: it defines a document type")


def read(data: bytes) -> Element:
    """Return the root of an answer whose size the caller has limited; CameraError if it is no plain XML."""
    parser = ET.XMLParser(target=_Builder())  # noqa: S314 -- what makes XML dangerous is refused above
    try:
        parser.feed(data)
        root: Element = parser.close()
    except (ET.ParseError, ValueError, LookupError) as error:  # bad XML; its encoding is none that is known
        raise CameraError(f"the answer is no XML: {error}") from error
    return root


def text(element: Element, *path: str) -> str:
    """Return the text of the first element at the end of the names in `path`, whatever their namespaces, or ""."""
    found = element.find("/".join((".", *(f"{{*}}{name}" for name in path))))
    return (found.text or "").strip() if found is not None else ""


def fault(root: Element) -> str:
    """Return what a fault says, its codes first; "" when the message is none."""
    found = root.find(".//{*}Fault")
    if found is None:
        return ""
    codes = [(code.text or "").rpartition(":")[2].strip() for code in found.iter() if code.tag.endswith("}Value")]
    reason = text(found, "Reason", "Text")
    told = " ".join(filter(None, [*codes, reason]))[:_LONGEST_FAULT]
    return "".join(letter for letter in told if letter.isprintable())  # a terminal obeys the others
