"""A snapshot's comment goes in and comes out, the picture stays as it is, and no bytes make the reader fail."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.record.jpeg import comment_of, with_comment

PICTURE = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1))
JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()


@given(text=st.text(max_size=300))
def test_a_comment_comes_back_and_the_picture_is_the_same(text: str) -> None:
    """Whatever its text, other programs still decode the same picture."""
    commented = with_comment(JPEG, text)
    assert comment_of(commented) == text
    decoded = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE) for jpeg in (JPEG, commented)]
    assert decoded[0] is not None
    assert decoded[1] is not None
    assert np.array_equal(decoded[0], decoded[1])
    assert commented[:20] == JPEG[:20]  # JFIF's own segment stays the first


@pytest.mark.parametrize(("jpeg", "text"), [(JPEG, "x" * 70_000), (b"no picture", "x"), (b"", "x")])
def test_what_can_not_hold_a_comment_is_refused(jpeg: bytes, text: str) -> None:
    """Too long a text, and bytes that are no JPEG."""
    with pytest.raises(ValueError, match="can't be put"):
        with_comment(jpeg, text)


@given(
    cut=st.integers(0, len(JPEG) + 40), flips=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=6)
)
def test_damage_is_read_as_some_comment_or_none(cut: int, flips: list[tuple[int, int]]) -> None:
    """Torn and flipped bytes never raise."""
    damaged = bytearray(with_comment(JPEG, "what it is")[:cut])
    for at, value in flips:
        if at < len(damaged):
            damaged[at] = value
    assert isinstance(comment_of(bytes(damaged)), str)
