"""Receipts: a peer's proof that it holds the very bytes, and how much that proof is worth."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from edged.base.errors import EdgedError
from edged.wire.faults import UNREADABLE
from edged.wire.keys import Digest, Key  # noqa: TC001 -- msgspec reads the types at run time
from edged.wire.signing import matches, sign_text

HEADER = "Edged-Receipt"  # in the answer to the PATCH that completes an upload
_LIMIT = 4096  # bytes of JSON


class Proof(StrEnum):
    """The degree of proof, strongest first."""

    SIGNED = "signed"  # edged's receiver has hashed and synced it, and signs so
    READBACK = "readback"  # fetched again and hashed on the device
    CHECKSUM = "checksum"  # the store's own SHA-256
    CLAIMED = "claimed"  # offset equals length: accepted, which is no proof


class BadReceiptError(EdgedError):
    """A receipt can't be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """Proof that `receiver` holds `size` bytes with `sha256` under `key`; `issued` in Unix seconds."""

    key: Key
    size: Annotated[int, Meta(ge=0, le=2**62)]
    sha256: Digest
    proof: Proof
    issued: Annotated[float, Meta(ge=0.0, le=1e12)]
    receiver: Annotated[str, Meta(max_length=256)]  # its name or address, for people
    signature: Annotated[str, Meta(max_length=128)] = ""  # hex HMAC with the device's key; only with SIGNED

    @property
    def permits_deletion(self) -> bool:
        """The device may delete its own copy on the strength of this receipt."""
        return self.proof is not Proof.CLAIMED


def sign(receipt: Receipt, device_key: str) -> Receipt:
    """Return `receipt` as a signed one."""
    signed = replace(receipt, proof=Proof.SIGNED, signature="")
    return replace(signed, signature=sign_text(device_key, _text(signed)))


def verify(receipt: Receipt, device_key: str) -> bool:
    """Return whether `receipt` was signed with `device_key` and not altered since."""
    return receipt.proof is Proof.SIGNED and matches(device_key, _text(receipt), receipt.signature)


def to_json(receipt: Receipt) -> bytes:
    """Return the receipt as JSON."""
    return msgspec.json.encode(receipt)


def from_json(raw: bytes | str) -> Receipt:
    """Read a receipt; BadReceiptError says what is wrong with it."""
    if len(raw) > _LIMIT:
        raise BadReceiptError(f"the receipt is longer than {_LIMIT} bytes")
    try:
        return msgspec.json.decode(raw, type=Receipt)
    except UNREADABLE as error:
        raise BadReceiptError(f"the receipt can't be read: {error}") from error


def to_header(receipt: Receipt) -> str:
    """Return the value of the Edged-Receipt header: the JSON in base64."""
    return base64.b64encode(to_json(receipt)).decode()


def from_header(value: str) -> Receipt:
    """Read the Edged-Receipt header; BadReceiptError says what is wrong with it."""
    try:
        raw = base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise BadReceiptError("the receipt is not base64") from error
    return from_json(raw)


def _text(receipt: Receipt) -> str:
    # milliseconds: what JSON carries must give the same text on both sides
    fields = (receipt.key, receipt.size, receipt.sha256, receipt.proof, f"{receipt.issued:.3f}", receipt.receiver)
    return "\n".join(["edged receipt 1", *map(str, fields)])
