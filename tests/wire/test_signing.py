"""Signed requests and links: what is signed can't be altered, and time is held to its window."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.wire import faults, signing
from edged.wire.faults import FaultError
from edged.wire.signing import LinkVerdict

NOW = 1_790_000_000.0
REQUEST: dict[str, object] = {
    "method": "POST",
    "target": "/files?x=1",
    "headers": {"Upload-Length": "10", "Upload-Metadata": "a Yg==", "Accept": "*/*"},
    "body": b"",
}


def sign(**changes: object) -> str:
    """Sign the sample request with `changes`."""
    return signing.sign_request(**{"key": "k", "device": "shop", "time": NOW, **REQUEST, **changes})  # type: ignore[arg-type]


def refusal(header: str, **changes: object) -> faults.Fault | None:
    """Return the fault that the sample request with `changes` meets, None if it is let through."""
    try:
        claim = signing.parse_authorization(header)
        signing.verify_request(claim, **{"key": "k", "now": NOW, **REQUEST, **changes})  # type: ignore[arg-type]
    except FaultError as error:
        return error.fault
    return None


def test_a_signed_request_is_let_through() -> None:
    """What was signed verifies, and headers that proxies add or re-spell do no harm."""
    headers = {"upload-length": "10", "UPLOAD-METADATA": "a Yg==", "Via": "1.1 proxy"}
    assert refusal(sign()) is None
    assert refusal(sign(), headers=headers) is None


@pytest.mark.parametrize(
    "change",
    [
        {"key": "other"},
        {"method": "PATCH"},
        {"target": "/files?x=2"},
        {"body": b"x"},
        {"body": None},
        {"headers": {"Upload-Length": "11", "Upload-Metadata": "a Yg=="}},
        {"headers": {"Upload-Length": "10", "Upload-Metadata": "a Yw=="}},
        {"headers": {"Upload-Length": "10", "Upload-Metadata": "a Yg==", "Upload-Offset": "0"}},
        {"headers": {}},
    ],
    ids=str,
)
def test_every_signed_part_counts(change: dict[str, object]) -> None:
    """Altering any signed part voids the signature."""
    assert refusal(sign(), **change) is faults.UNKNOWN_KEY


@pytest.mark.parametrize(
    ("off", "fault"),
    [(0, None), (299, None), (-299, None), (301, faults.CLOCK), (-301, faults.CLOCK), (-1.7e9, faults.CLOCK)],
)
def test_the_window(off: float, fault: faults.Fault | None) -> None:
    """A request is good for 300 s to either side, and a box in 1970 learns that its clock is wrong."""
    assert refusal(sign(time=NOW + off)) is fault


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer abc",
        "Edged device=,time=1,signature=" + "0" * 64,
        "Edged device=.shop,time=1,signature=" + "0" * 64,
        "Edged device=shop,time=-1,signature=" + "0" * 64,
        "Edged device=shop,time=1,signature=" + "g" * 64,
        "Edged device=shop,time=1,signature=" + "0" * 63,
        "Edged device=shop,time=1,signature=" + "0" * 64 + "\n",
        "Edged device=shop,time=٣,signature=" + "0" * 64,
    ],
)
def test_malformed_authorizations_are_unsigned(header: str) -> None:
    """Whatever is no signature of ours is told to sign."""
    assert refusal(header) is faults.UNSIGNED


@given(header=st.text(max_size=200))
def test_any_text_is_parsed_or_refused(header: str) -> None:
    """No header breaks the parser."""
    assert refusal(header) is faults.UNSIGNED


def judge(path: str, *, key: str = "k", device: str = "shop", incident: str = "abc", now: float = NOW) -> LinkVerdict:
    """Judge the link `path` as the receiver does."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    return signing.verify_link(
        key=key, device=device, incident=incident, until=query["until"], signature=query["signature"], now=now
    )


def test_links() -> None:
    """A link opens its own incident until its time, and nothing else."""
    path = signing.sign_link(key="k", device="shop", incident="abc", until=NOW + 60)
    assert path.startswith("/i/shop/abc?until=1790000060&signature=")
    assert judge(path) is LinkVerdict.VALID
    assert judge(path, now=NOW + 61) is LinkVerdict.EXPIRED
    assert judge(path, key="other") is LinkVerdict.FORGED
    assert judge(path, device="shed") is LinkVerdict.FORGED
    assert judge(path, incident="abd") is LinkVerdict.FORGED
    assert judge(path.replace("1790000060", "1790009999")) is LinkVerdict.FORGED
    assert judge(path.replace("1790000060", "x")) is LinkVerdict.FORGED


def test_a_request_signature_is_no_link_signature() -> None:
    """Each purpose has its own prefix, so one signature never serves as another."""
    text = "edged request 1\nshop\nabc\n1790000060"
    path = f"/i/shop/abc?until=1790000060&signature={signing.sign_text('k', text)}"
    assert judge(path) is LinkVerdict.FORGED


def test_names_that_would_break_a_link_are_refused() -> None:
    """A link is made of safe names only."""
    with pytest.raises(ValueError, match="no link"):
        signing.sign_link(key="k", device="a/b", incident="abc", until=NOW)
