"""Receipts: signed, read back, and worth what their proof says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.wire import receipt as receipts
from edged.wire.receipt import BadReceiptError, Proof, Receipt

SAMPLE = Receipt(key="a" * 32, size=5, sha256="b" * 64, proof=Proof.CLAIMED, issued=1_790_000_000.123456, receiver="hq")


@given(
    size=st.integers(0, 2**62),
    issued=st.floats(0, 1e12),
    receiver=st.text(st.characters(exclude_categories=["Cs"]), max_size=100),
)
def test_a_signed_receipt_survives_the_wire(size: int, issued: float, receiver: str) -> None:
    """What was signed verifies after its way through JSON and through the header."""
    signed = receipts.sign(replace(SAMPLE, size=size, issued=issued, receiver=receiver), "k")
    for arrived in (receipts.from_json(receipts.to_json(signed)), receipts.from_header(receipts.to_header(signed))):
        assert arrived == signed
        assert receipts.verify(arrived, "k")


@pytest.mark.parametrize(
    "change",
    [
        {"key": "c" * 32},
        {"size": 6},
        {"sha256": "c" * 64},
        {"proof": Proof.READBACK},
        {"issued": 1_790_000_001.0},
        {"receiver": "other"},
        {"signature": ""},
        {"signature": "é"},
    ],
    ids=str,
)
def test_an_altered_receipt_is_worthless(change: dict[str, object]) -> None:
    """Every field is signed."""
    signed = receipts.sign(SAMPLE, "k")
    assert not receipts.verify(replace(signed, **change), "k")  # type: ignore[arg-type]
    assert not receipts.verify(signed, "another key")


@pytest.mark.parametrize(("proof", "permits"), [(p, p is not Proof.CLAIMED) for p in Proof])
def test_only_a_mere_claim_forbids_deletion(proof: Proof, permits: bool) -> None:
    """Accepted is no proof; everything stronger is."""
    assert replace(SAMPLE, proof=proof).permits_deletion is permits


@given(raw=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_garbage_is_no_receipt(raw: bytes) -> None:
    """A broken receipt raises its own error and no other."""
    with pytest.raises(BadReceiptError):
        receipts.from_json(raw)
    with pytest.raises(BadReceiptError):
        receipts.from_header(raw.decode("latin-1"))


def test_an_oversized_receipt_is_refused() -> None:
    """Nobody makes the device read a large receipt."""
    with pytest.raises(BadReceiptError, match="longer"):
        receipts.from_json(receipts.to_json(SAMPLE) + b" " * 5000)
