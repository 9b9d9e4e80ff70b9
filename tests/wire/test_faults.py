"""The catalogue of faults and its way over the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.wire import faults
from edged.wire.faults import FaultError


@pytest.mark.parametrize("fault", faults.CATALOGUE.values(), ids=lambda fault: fault.code)
def test_every_fault_survives_the_wire(fault: faults.Fault) -> None:
    """A fault told by one side is the same fault, with its particulars, on the other."""
    told = faults.from_json(fault.status, faults.to_json(FaultError(fault, "here")))
    assert (told.fault, told.detail) == (fault, "here")


def test_codes_are_unique() -> None:
    """No two faults share a code, so the catalogue holds each constant of the module."""
    constants = [value for value in vars(faults).values() if isinstance(value, faults.Fault)]
    assert len(constants) == len(faults.CATALOGUE)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (404, faults.NOT_FOUND),
        (401, faults.UNSIGNED),
        (418, faults.BAD_REQUEST),
        (500, faults.INTERNAL),
        (502, faults.INTERNAL),
        (503, faults.STOPPING),
    ],
)
def test_foreign_answers_map_to_the_nearest_fault(status: int, fault: faults.Fault) -> None:
    """A proxy's page of HTML still becomes a fault."""
    assert faults.from_json(status, b"<html>no</html>").fault is fault


def test_a_lying_code_does_not_outrank_the_status() -> None:
    """A body that names a fault of another status is not believed."""
    body = faults.to_json(FaultError(faults.FULL))
    assert faults.from_json(404, body).fault is faults.NOT_FOUND


@given(status=st.integers(400, 599), body=st.binary(max_size=300))
def test_any_body_becomes_a_fault(status: int, body: bytes) -> None:
    """Whatever a peer answers, its detail is short and printable."""
    told = faults.from_json(status, body)
    assert len(told.detail) <= 200
    assert told.detail.isprintable()
