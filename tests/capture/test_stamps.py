from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edged.capture.stamps import Stamper

SECOND = 1000


def stamper(reorder: int = 0) -> Stamper:
    """Make a stamper in milliseconds."""
    return Stamper(second=SECOND, usual=100, reorder=reorder)


def test_good_stamps_stay_as_they_are() -> None:
    """A source that stamps well is copied to the letter."""
    mine = stamper()
    given_stamps = [(100, 0, 100), (400, 100, 100), (200, 200, 100), (300, 300, 100)]
    out = [mine.stamp(*stamps, arrived=0.1 * i) for i, stamps in enumerate(given_stamps)]
    assert [(s.pts, s.dts, s.duration) for s in out] == given_stamps


def test_missing_stamps_are_filled_in() -> None:
    """Without stamps each packet follows the one before by the usual duration."""
    mine = stamper()
    out = [mine.stamp(None, None, None, arrived=0.0) for _ in range(3)]
    assert [(s.pts, s.dts, s.duration) for s in out] == [(0, 0, 100), (100, 100, 100), (200, 200, 100)]


def test_a_stream_with_b_frames_may_begin_without_decoding_times() -> None:
    """RTSP gives no decoding time for the first packets: they are placed ahead of the first known one."""
    mine = stamper(reorder=2)
    given_stamps = [(None, None), (400, None), (200, None), (100, 100), (300, 200), (800, 300)]
    out = [mine.stamp(pts, dts, 100, arrived=0.0) for pts, dts in given_stamps]
    assert [s.pts for s in out] == [0, 400, 200, 100, 300, 800]
    assert [s.dts for s in out] == [-200, -100, 0, 100, 200, 300]


def test_a_jump_back_of_the_cameras_clock_leaves_the_time_that_passed() -> None:
    """A camera that starts its clock anew goes on, after a pause as long as its packets took to arrive."""
    mine = stamper()
    mine.stamp(50_000, 50_000, 100, arrived=10.0)
    assert mine.stamp(0, 0, 100, arrived=12.5).dts == 52_500
    assert mine.stamp(100, 100, 100, arrived=12.6).dts == 52_600


def test_a_jump_ahead_without_time_passing_is_closed() -> None:
    """A clock set forward by an hour makes no hour of standing picture."""
    mine = stamper()
    mine.stamp(0, 0, 100, arrived=10.0)
    assert mine.stamp(3_600_000, 3_600_000, 100, arrived=10.1).dts == 100


def test_a_hole_in_a_file_is_closed() -> None:
    """A picture said to last forty seconds, while no time passed between the packets, lasts as long as any other."""
    mine = stamper()
    mine.stamp(0, 0, 100, arrived=0.0)
    assert mine.stamp(100, 100, 40_000, arrived=0.0).duration == 100
    assert mine.stamp(40_100, 40_100, 100, arrived=0.0).dts == 200


def test_a_pause_that_really_passed_stays() -> None:
    """A camera that was silent for a minute shows a minute's pause."""
    mine = stamper()
    mine.stamp(0, 0, 100, arrived=10.0)
    assert mine.stamp(60_000, 60_000, 100, arrived=70.0).dts == 60_000


def test_a_loop_goes_on_where_the_last_picture_ended() -> None:
    """The second round of a file follows the first without a hole and without an overlap, B-frames included."""
    mine = stamper()
    clip = [(100, 0), (400, 100), (200, 200), (300, 300)]
    first = [mine.stamp(pts, dts, 100, arrived=0.0) for pts, dts in clip]
    mine.rewind(100)
    second = [mine.stamp(pts, dts, 100, arrived=0.0) for pts, dts in clip]
    assert [b.pts - a.pts for a, b in zip(first, second, strict=True)] == [400] * 4
    assert [b.dts - a.dts for a, b in zip(first, second, strict=True)] == [400] * 4


def test_a_clock_that_stands_still_leaves_the_time_that_passed() -> None:
    """Pictures with the same stamp for ten seconds last ten seconds, and go on from there when the clock goes again."""
    mine = stamper()
    mine.stamp(0, 0, 100, arrived=10.0)
    standing = [mine.stamp(5000, 5000, 100, arrived=10.1 + 0.1 * i).dts for i in range(101)]
    assert standing[0] == 5000
    assert standing[-1] == 15_000
    assert mine.stamp(5100, 5100, 100, arrived=20.2).dts == 15_100
    assert mine.stamp(5200, 5200, 100, arrived=20.3).dts == 15_200


def test_a_clock_that_steps_back_a_little_is_waited_for() -> None:
    """Half a second back, again and again, and each time on from there: time neither stands nor runs ahead."""
    mine = stamper()
    sent = [100 * i - 500 * (i // 5 % 2) for i in range(100)]
    out = [mine.stamp(at, at, 100, arrived=0.1 * i) for i, at in enumerate(sent)]
    assert all(abs(stamps.pts - 100 * i) <= 500 for i, stamps in enumerate(out))


stamps = st.none() | st.integers(-(2**40), 2**40)


@given(
    st.lists(st.tuples(stamps, stamps, st.none() | st.integers(-5, 5000), st.floats(0, 5)), min_size=1, max_size=30),
    st.integers(0, 4),
)
def test_whatever_comes_decoding_times_rise_and_nothing_is_shown_before_it_is_decoded(
    packets: list[tuple[int | None, int | None, int | None, float]], reorder: int
) -> None:
    """No stamps of a source, however odd, break the rules that a muxer relies on."""
    mine = stamper(reorder)
    arrived, last = 0.0, None
    for pts, dts, duration, step in packets:
        arrived += step
        out = mine.stamp(pts, dts, duration, arrived)
        assert out.pts >= out.dts
        assert out.duration > 0
        assert last is None or out.dts > last
        last = out.dts
