"""Heartbeats: strict, and never above their size."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.wire import faults, heartbeat
from edged.wire.faults import FaultError
from edged.wire.heartbeat import Answer, CameraReport, GapReport, Heartbeat

SAMPLE = Heartbeat(version="0.1.0", time=1_790_000_000.0, synced=True, boot="b" * 36, sequence=7)

gaps = st.lists(
    st.builds(
        GapReport,
        camera=st.text("abcü", max_size=20),
        start=st.floats(0, 1e11),
        end=st.none() | st.floats(0, 1e11),
        reason=st.text('abc "', max_size=200),
    ),
    max_size=70,
)


@given(gaps=gaps)
def test_as_many_gaps_go_along_as_fit(gaps: list[GapReport]) -> None:
    """A heartbeat stays below its size; what it took is what the receiver reads."""
    body, taken = heartbeat.pack(SAMPLE, gaps)
    assert len(body) <= heartbeat.SIZE
    assert heartbeat.parse(body).gaps == tuple(gaps[:taken])
    if taken < min(len(gaps), 64):
        _, more = heartbeat.pack(SAMPLE, gaps, size=100_000)
        assert more > taken


def test_many_cameras_are_cut_to_the_ill_ones() -> None:
    """Without room for all cameras the ill ones are told of."""
    cameras = tuple(CameraReport(name=f"camera number {n}", well=n != 3, text="") for n in range(40))
    body, _ = heartbeat.pack(replace(SAMPLE, cameras=cameras), [])
    assert [camera.name for camera in heartbeat.parse(body).cameras] == ["camera number 3"]


def test_too_many_ill_cameras_are_left_out() -> None:
    """Even then the sign of life itself goes out below its size."""
    cameras = tuple(CameraReport(name=f"camera number {n}", well=False, text="no frames") for n in range(40))
    body, _ = heartbeat.pack(replace(SAMPLE, cameras=cameras), [])
    assert len(body) <= heartbeat.SIZE
    assert heartbeat.parse(body).cameras == ()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"time": -5},
        {"sequence": -1},
        {"interval": 0},
        {"interval": 1e9},
        {"gaps": [{}]},
        {"cameras": 1},
    ],
    ids=str,
)
def test_what_breaks_the_rules_is_refused(change: dict[str, object]) -> None:
    """Each field is held to its type and limits."""
    body = json.dumps({**json.loads(heartbeat.pack(SAMPLE, [])[0]), **change}).encode()
    with pytest.raises(FaultError) as refused:
        heartbeat.parse(body)
    assert refused.value.fault is faults.BAD_REQUEST


@given(body=st.binary(max_size=200))
def test_garbage_is_refused(body: bytes) -> None:
    """No bytes break the parsers."""
    with pytest.raises(FaultError):
        heartbeat.parse(body)
    assert heartbeat.answer_from_json(body) is None


def test_a_field_that_is_passed_over_is_text_too() -> None:
    """The body is kept as it came, so bytes that are no text are refused wherever they stand."""
    whole = heartbeat.pack(SAMPLE, [])[0]
    with pytest.raises(FaultError) as refused:
        heartbeat.parse(whole[:-1] + b',"newer":"\xff"}')
    assert refused.value.fault is faults.BAD_REQUEST


def test_an_oversized_heartbeat_is_refused() -> None:
    """Nobody makes the receiver read a large heartbeat."""
    with pytest.raises(FaultError) as refused:
        heartbeat.parse(b" " * 20_000)
    assert refused.value.fault is faults.TOO_LARGE


def test_the_answer_survives_the_wire() -> None:
    """The device learns the receiver's time and the highest sequence it told."""
    answer = Answer(time=1_790_000_000.5, sequence=9)
    assert heartbeat.answer_from_json(heartbeat.answer_to_json(answer)) == answer
