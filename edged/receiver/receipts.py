"""The receiver's proof for a file that it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.wire import receipt
from edged.wire.receipt import Proof, Receipt

if TYPE_CHECKING:
    from edged.receiver.store import StoredFile


def issue(file: StoredFile, key: str, receiver: str, now: float) -> Receipt:
    """Return the receipt for `file`, signed with its owner's `key`; `now` in Unix seconds."""
    issued = Receipt(
        key=file.key, size=file.size, sha256=file.sha256, proof=Proof.SIGNED, issued=now, receiver=receiver
    )
    return receipt.sign(issued, key)
