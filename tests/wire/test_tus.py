"""tus 1.0's headers and what a server decides by them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.wire import faults, tus
from edged.wire.faults import FaultError

names = st.from_regex(r"[!-+\--~]{1,20}", fullmatch=True)


@given(pairs=st.dictionaries(names, st.binary(max_size=40), max_size=10))
def test_metadata_survives_the_wire(pairs: dict[str, bytes]) -> None:
    """Every name and value arrives, empty values too."""
    assert tus.parse_metadata(tus.format_metadata(pairs)) == pairs


@given(header=st.text(max_size=300))
def test_any_header_is_parsed_or_refused(header: str) -> None:
    """No header breaks the parser."""
    with contextlib.suppress(FaultError):
        assert all(name in header for name in tus.parse_metadata(header))


@pytest.mark.parametrize(
    "header",
    ["a b c", "a YQ==,a YQ==", "a YQ", ",", "é YQ==", "a " + "A" * 9000, ",".join(f"n{n}" for n in range(33))],
)
def test_malformed_metadata_is_refused(header: str) -> None:
    """Double names, broken base64 and floods are refused."""
    with pytest.raises(FaultError):
        tus.parse_metadata(header)


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.0", " 1", "1 ", "٣", "1e3", "0x1", "9" * 19, "1\n"])
def test_what_is_no_count_is_refused(value: str) -> None:
    """Counts are ASCII digits only."""
    with pytest.raises(FaultError, match="Upload-Offset"):
        tus.parse_number({"Upload-Offset": value}, tus.OFFSET)


def test_creation() -> None:
    """A length is needed, within the limit, and not deferred."""
    assert tus.check_creation({"Upload-Length": "10"}, 10) == 10
    for headers, fault in (
        ({"Upload-Length": "11"}, faults.TOO_LARGE),
        ({}, faults.BAD_HEADER),
        ({"Upload-Defer-Length": "1"}, faults.BAD_HEADER),
    ):
        with pytest.raises(FaultError) as refused:
            tus.check_creation(headers, 10)
        assert refused.value.fault is fault


@pytest.mark.parametrize(
    ("offset", "content_type", "body", "fault"),
    [
        ("5", tus.CONTENT_TYPE, 5, None),
        ("5", tus.CONTENT_TYPE, 0, None),
        ("5", tus.CONTENT_TYPE, None, None),
        ("5", tus.CONTENT_TYPE, 6, faults.TOO_LARGE),
        ("4", tus.CONTENT_TYPE, 1, faults.OFFSET),
        ("6", tus.CONTENT_TYPE, 1, faults.OFFSET),
        ("x", tus.CONTENT_TYPE, 1, faults.BAD_HEADER),
        ("5", "application/octet-stream", 1, faults.TYPE),
    ],
)
def test_patch(offset: str, content_type: str, body: int | None, fault: faults.Fault | None) -> None:
    """A PATCH goes on exactly where the upload stands and never beyond its end."""
    met = None
    try:
        tus.check_patch({"Upload-Offset": offset}, content_type=content_type, stored=5, length=10, body=body)
    except FaultError as error:
        met = error.fault
    assert met is fault


@pytest.mark.parametrize("spoken", ["", "0.2.2", "1.0.1"])
def test_another_version_is_refused(spoken: str) -> None:
    """Only tus 1.0.0 is spoken."""
    with pytest.raises(FaultError) as refused:
        tus.check_version({"Tus-Resumable": spoken})
    assert refused.value.fault is faults.VERSION


def test_expiry_is_an_http_date() -> None:
    """Upload-Expires is an RFC 9110 date in GMT."""
    assert tus.format_expires(1_790_000_000.9) == "Mon, 21 Sep 2026 14:13:20 GMT"
