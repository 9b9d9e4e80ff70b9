"""What answers mean: from edged's receiver, from other tus servers, and from whoever stands in between."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from edged.base.errors import (
    CredentialsError,
    DeliveryError,
    NoAnswerError,
    RefusedError,
    RejectedError,
    UploadGoneError,
)
from edged.push.replies import Answer, refusal
from edged.wire import faults
from edged.wire.faults import CATALOGUE, Fault, FaultError

_TUS = {"Tus-Resumable": "1.0.0"}
_AT_NOON = "Fri, 29 May 2026 12:00:00 GMT"


def _answer(status: int, headers: dict[str, str], body: bytes = b"") -> Answer:
    return Answer(status=status, headers=CIMultiDictProxy(CIMultiDict(headers)), body=body, seconds=0.1)


@pytest.mark.parametrize(
    ("status", "headers", "kind", "pause"),
    [
        (401, _TUS, CredentialsError, None),
        (403, _TUS, CredentialsError, None),
        (404, _TUS, UploadGoneError, None),
        (410, _TUS, UploadGoneError, None),
        (400, _TUS, RejectedError, None),
        (413, _TUS, RejectedError, None),
        (415, _TUS, RejectedError, None),
        (408, _TUS, NoAnswerError, None),
        (423, _TUS, RefusedError, 5.0),
        (429, _TUS, RefusedError, 60.0),
        (429, {**_TUS, "Retry-After": "7"}, RefusedError, 7.0),
        (503, {**_TUS, "Retry-After": "99999999"}, RefusedError, 3600.0),
        (503, {**_TUS, "Retry-After": _AT_NOON}, RefusedError, 60.0),
        (503, {**_TUS, "Retry-After": _AT_NOON, "Date": "Fri, 29 May 2026 11:58:30 GMT"}, RefusedError, 90.0),
        (503, {**_TUS, "Retry-After": _AT_NOON, "Date": "Fri, 29 May 2026 12:07:00 GMT"}, RefusedError, 1.0),
        (503, {**_TUS, "Retry-After": _AT_NOON, "Date": "yesterday"}, RefusedError, 60.0),
        (429, {**_TUS, "Retry-After": "0"}, RefusedError, 1.0),
        (507, _TUS, RefusedError, 60.0),
        (500, _TUS, RefusedError, None),
        (502, {"Server": "nginx"}, NoAnswerError, None),
        (404, {"Content-Type": "text/html"}, NoAnswerError, None),
        (404, {"Content-Type": "application/json"}, NoAnswerError, None),
        (302, {"Location": "http://portal.hotel"}, NoAnswerError, None),
        (403, {}, NoAnswerError, None),
        (401, {"edged-time": "1780056000"}, CredentialsError, None),
    ],
)
def test_statuses(status: int, headers: dict[str, str], kind: type[DeliveryError], pause: float | None) -> None:
    """Only who speaks the protocol can refuse a delivery; a portal's or proxy's answer is none."""
    error = refusal(_answer(status, headers), "send the file")
    assert type(error) is kind
    assert str(error).startswith("can't send the file: ")
    if isinstance(error, RefusedError):
        assert error.retry_after == pause


@pytest.mark.parametrize("fault", CATALOGUE.values(), ids=CATALOGUE)
def test_every_fault_of_the_receiver_keeps_its_promise(fault: Fault) -> None:
    """A fault that the catalogue calls worth a retry never kills a delivery, and its sentence reaches the person."""
    body = faults.to_json(FaultError(fault, "the particulars"))
    error = refusal(_answer(fault.status, {"Edged-Receiver": "1"}, body), "send the file")
    assert fault.retry is not isinstance(error, RejectedError) or isinstance(error, CredentialsError | UploadGoneError)
    if not isinstance(error, NoAnswerError):
        assert fault.text in str(error)
        assert "the particulars" in str(error)
