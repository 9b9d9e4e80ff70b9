"""A small mutator: takes a good input and spoils it in a few of the ways that parsers trip over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

_MOST = 4  # spoilings of one input
_RUN = 64  # bytes that one spoiling moves at most
_LONG = (300, 5_000, 70_000)  # bytes of a repeated one
_NUMBERS = (b"-1", b"0", b"1e999", b"9" * 19, b"9" * 400, b"NaN", b"0x10", b"18446744073709551616", b"00", b"+5")
_PIECES = (
    *(b"\x00", b"\xff", b"\r\n", b"\n", b"\r\n\r\n", b"%00", b"%ff", b"%2e%2e%2f", b"../", b"..\\", b"/" * 40),
    *(b"\xed\xa0\x80", "\u202e\u2028".encode(), "\u0663".encode(), b"'", b'"', b"<b>", b"${x}", b"%s%n", b",", b";"),
    *(b"=", b":", b"{", b"[" * 200, b"]", b"}", b"null", b"true", b"\\ud800", b"A" * 300),
)


def mutated(rng: Random, good: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return `good` spoiled one to four times; a piece of one of `others` may be spliced in."""
    data = bytearray(good)
    for _ in range(rng.randint(1, _MOST)):
        _spoil(rng, data, others)
    return bytes(data)


def garbage(rng: Random, most: int = 400) -> bytes:
    """Return up to `most` bytes of anything: noise, or pieces that mean something somewhere."""
    if rng.random() < 0.5:  # noqa: PLR2004 -- one as often as the other
        return rng.randbytes(rng.randrange(most))
    return b"".join(rng.choices((*_PIECES, *_NUMBERS), k=rng.randint(1, 12)))[:most]


def _spoil(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    until = min(len(data), at + rng.randint(1, _RUN))
    match rng.randrange(9):
        case 0 if data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        case 1 if data:
            data[at % len(data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        case 2:
            del data[at:until]
        case 3:
            data[at:at] = data[at:until]
        case 4:
            data[at:at] = rng.choice(_PIECES)
        case 5:
            data[at:until] = rng.choice(_NUMBERS)
        case 6:
            del data[at:]
        case 7:
            data[at:at] = bytes((rng.choice(b"aA0 \xff"),)) * rng.choice(_LONG)
        case _ if others:
            other = rng.choice(others)
            begin = rng.randrange(len(other) + 1)
            data[at:until] = other[begin : begin + rng.randrange(4 * _RUN)]
