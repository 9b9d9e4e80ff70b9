"""Receipts that prove nothing are refused: forged, of another file, or no receipt at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edged.base.errors import RefusedError
from edged.push.replies import Answer
from edged.push.targets.proof import receipt_with, unproven
from edged.wire import receipt
from edged.wire.receipt import Proof, Receipt
from tests.push.conftest import make_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

_KEY = "the device's key"
_MANIFEST = make_manifest(b"clip")


def _sound() -> Receipt:
    return receipt.sign(unproven(_MANIFEST, Proof.SIGNED, receiver="hq", issued=1.0), _KEY)


def _answer(value: str) -> Answer:
    return Answer(status=204, headers={receipt.HEADER: value}, body=b"", seconds=0.1)


def test_a_sound_receipt_is_taken() -> None:
    """Signed with this device's key and about this very file."""
    assert receipt_with(_answer(receipt.to_header(_sound())), _MANIFEST, _KEY) == _sound()
    assert receipt_with(Answer(status=204, headers={}, body=b"", seconds=0.1), _MANIFEST, _KEY) is None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda sound: receipt.sign(sound, "another key"), "not signed with this device's key"),
        (lambda sound: replace(sound, signature=""), "not signed with this device's key"),
        (lambda sound: replace(sound, proof=Proof.CLAIMED), "not signed with this device's key"),
        (lambda sound: receipt.sign(replace(sound, size=5), _KEY), "not of this file"),
        (lambda sound: receipt.sign(replace(sound, sha256="0" * 64), _KEY), "not of this file"),
        (lambda sound: receipt.sign(replace(sound, key="other"), _KEY), "not of this file"),
    ],
    ids=["other key", "no signature", "claimed", "other size", "other hash", "other upload"],
)
def test_what_proves_nothing_is_refused(spoil: Callable[[Receipt], Receipt], words: str) -> None:
    """Nothing may be deleted on the strength of such a receipt, so the delivery is not done."""
    with pytest.raises(RefusedError, match=words):
        receipt_with(_answer(receipt.to_header(spoil(_sound()))), _MANIFEST, _KEY)


def test_nonsense_is_refused() -> None:
    """A header that is no receipt does not count as none."""
    with pytest.raises(RefusedError, match="can't be used"):
        receipt_with(_answer("%%%"), _MANIFEST, _KEY)
