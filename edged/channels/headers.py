"""Header fields of a mail, encoded here and not by Python's email package.

Its header registry decodes what looks like an encoded word in a value that is set, a line break included, and its
folding differs between releases: both are no ground for a message that must be safe and always the same.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from edged.channels.text import one_line

if TYPE_CHECKING:
    from edged.channels.address import Mailbox

_WIDTH = 76  # RFC 2047 2: a line that holds an encoded word; RFC 5322 2.1.1 allows 78
_CHUNK = 39  # bytes in an encoded word: 64 characters, which fit beside the longest name that takes text
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")


def field(name: str, text: str) -> bytes:
    """Return "Name: text" folded, with CRLF; `text` becomes one line, and encoded words where it is not plain ASCII."""
    line = one_line(text, 100_000)
    return _folded(name, [_encoded(line)] if _needs_encoding(line) else line.split(" "))


def mailbox_field(name: str, mailbox: Mailbox) -> bytes:
    """Return "Name: Display Name <address>"; the address is checked already."""
    address = f"<{mailbox.address}>"
    if not mailbox.name:
        return _folded(name, [mailbox.address])
    if _needs_encoding(mailbox.name):
        return _folded(name, [_encoded(mailbox.name), address])
    if _ATOMS.fullmatch(mailbox.name):
        return _folded(name, [*mailbox.name.split(" "), address])
    quoted = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
    return _folded(name, [f'"{quoted}"', address])


def _needs_encoding(line: str) -> bool:
    return not line.isascii() or "=?" in line


def _encoded(line: str) -> str:
    """Return `line` as encoded words (RFC 2047), each whole in its characters, one per line."""
    chunks = [b""]
    for character in line:
        data = character.encode()
        if len(chunks[-1]) + len(data) > _CHUNK:
            chunks.append(b"")
        chunks[-1] += data
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(chunk).decode()}?=" for chunk in chunks)


def _folded(name: str, words: list[str]) -> bytes:
    lines = [f"{name}: {words[0]}"]
    for word in words[1:]:
        if len(lines[-1].rpartition("\n")[2]) + 1 + len(word) > _WIDTH:
            lines.append(f" {word}")
        else:
            lines[-1] += f" {word}"
    return "\r\n".join([*lines, ""]).encode("ascii")
