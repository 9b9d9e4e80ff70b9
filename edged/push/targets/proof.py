"""How an upload is proven: by edged's signed receipt, or by fetching a foreign server's copy and hashing it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from edged.base.errors import RefusedError
from edged.push.line import Request
from edged.push.replies import refusal
from edged.wire import receipt
from edged.wire.receipt import BadReceiptError, Proof, Receipt

if TYPE_CHECKING:
    from yarl import URL

    from edged.push.line import Line
    from edged.push.replies import Answer
    from edged.wire.manifest import Manifest

_NOT_FOUND = 404


class _OverlongError(Exception):
    """A copy does not end where the file does; perhaps it never ends."""


def receipt_with(answer: Answer, manifest: Manifest, key: str) -> Receipt | None:
    """Return the receipt that came with the answer to the last bytes, if one did; RefusedError if it proves nothing."""
    value = answer.headers.get(receipt.HEADER)
    if value is None:
        return None
    try:
        return _checked(receipt.from_header(value), manifest, key)
    except BadReceiptError as error:
        raise RefusedError(f"the receiver's receipt can't be used: {error}") from error


async def fetch_receipt(line: Line, root: URL, manifest: Manifest) -> Receipt | None:
    """Fetch the receipt of an upload; None while there is none, RefusedError if it proves nothing."""
    doing = "fetch the receipt"
    answer = await line.ask(Request(method="GET", url=root / "receipts" / manifest.key), doing=doing)
    if answer.status == _NOT_FOUND:
        return None
    if not answer.good:
        raise refusal(answer, doing)
    try:
        return _checked(receipt.from_json(answer.body), manifest, line.credentials.key)
    except BadReceiptError as error:
        raise RefusedError(f"the receiver's receipt can't be used: {error}") from error


async def read_back(line: Line, request: Request, manifest: Manifest) -> bool:
    """Fetch a foreign server's copy by `request` and return whether it is the file."""
    digest, size = hashlib.sha256(), 0

    def take(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        if size > manifest.size:
            raise _OverlongError
        digest.update(piece)

    doing = "read the copy back"
    fetch = Request(method=request.method, url=request.url, authorise=request.authorise, sink=take)
    try:
        answer = await line.ask(fetch, doing=doing)
    except _OverlongError:
        return False
    if not answer.good:
        raise refusal(answer, doing)
    return size == manifest.size and digest.hexdigest() == manifest.sha256


def unproven(manifest: Manifest, proof: Proof, *, receiver: str, issued: float) -> Receipt:
    """Return a receipt of our own making for a server that gives none."""
    return Receipt(
        key=manifest.key,
        size=manifest.size,
        sha256=manifest.sha256,
        proof=proof,
        issued=max(0.0, issued),
        receiver=receiver[:256],
    )


def _checked(found: Receipt, manifest: Manifest, key: str) -> Receipt:
    if not receipt.verify(found, key):
        raise BadReceiptError("it is not signed with this device's key")
    if (found.key, found.size, found.sha256) != (manifest.key, manifest.size, manifest.sha256):
        raise BadReceiptError(f"it is of {found.size} bytes with SHA-256 {found.sha256[:12]}..., not of this file")
    return found
