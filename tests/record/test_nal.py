"""NAL units: both framings read alike, and damage is told instead of followed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.record.nal import (
    BadBitstreamError,
    annex_b_units,
    in_band_sets,
    length_prefixed_units,
    length_size,
    parameter_sets,
    to_annex_b,
)
from tests.record.footage import packets


@pytest.mark.parametrize(("codec", "types"), [("h264", [7, 8]), ("hevc", [32, 33, 34])])
def test_both_framings_tell_the_same_parameter_sets(codec: str, types: list[int]) -> None:
    """The configuration record of MP4 and the units in a transport stream's key frame hold the same sets."""
    record = packets(seconds=1, codec=codec)[0]
    in_band = packets(seconds=1, codec=codec, annex_b=True)[0]
    sets = parameter_sets(record.stream)
    found = [unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63 for unit in annex_b_units(sets)]
    assert found == types
    assert in_band_sets(in_band.stream, in_band.data) == sets
    assert parameter_sets(in_band.stream) == b""
    assert parameter_sets(replace(in_band.stream, extradata=sets)) == sets


def test_a_picture_without_sets_has_none() -> None:
    """Only what comes before the picture counts, and a plain picture brings nothing."""
    second = packets(seconds=1, annex_b=True)[1]
    assert in_band_sets(second.stream, second.data) == b""


def test_a_length_prefixed_unit_reads_the_same_behind_start_codes() -> None:
    """Reframing keeps each unit byte for byte."""
    packet = packets(seconds=1)[0]
    prefixed = list(length_prefixed_units(packet.data, length_size("h264", packet.stream.extradata)))
    assert list(annex_b_units(to_annex_b(packet.stream, packet.data))) == prefixed


def test_a_record_that_is_cut_off_is_told() -> None:
    """Half a configuration record yields an error, never half a parameter set."""
    stream = packets(seconds=1)[0].stream
    for size in range(1, 12):
        with pytest.raises(BadBitstreamError, match="cut off"):
            parameter_sets(replace(stream, extradata=stream.extradata[:size]))
    with pytest.raises(BadBitstreamError, match="cut off"):
        length_size("hevc", b"\x01" * 21)


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x00", b"\x00\x00\x00\x05abcd", b"\x00\x00\x00\x02ab\x00\x01"])
def test_units_that_do_not_add_up_are_told(data: bytes) -> None:
    """A length of zero (pages that never reached the disk) or beyond the end is damage."""
    with pytest.raises(BadBitstreamError, match="does not fit"):
        list(length_prefixed_units(data, 4))


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda unit: b"\0\0" not in unit and unit[-1]), max_size=5))
def test_units_behind_start_codes_come_back_whole(written: list[bytes]) -> None:
    """Start codes of three and of four bytes, and zeros at the end, are no part of a unit."""
    data = b"".join((b"\0\0\1" if number % 2 else b"\0\0\0\1") + unit for number, unit in enumerate(written))
    assert list(annex_b_units(data + b"\0\0")) == written


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_a_crash(data: bytes) -> None:
    """Noise gives units or nothing, and no unit is empty."""
    assert all(annex_b_units(data))
