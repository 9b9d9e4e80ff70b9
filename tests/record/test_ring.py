"""The pre-roll ring: bounded, always decodable, and honest about what it had to drop."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from edged.model import Packet, StreamInfo
from edged.record.ring import Hole, Ring

Seen = tuple[float, bool, int]  # mono, key, epoch


def stream(epoch: int = 1) -> StreamInfo:
    """Return a stream of the given epoch."""
    return StreamInfo(
        camera="door",
        epoch=epoch,
        codec="h264",
        extradata=b"",
        width=64,
        height=64,
        time_base=Fraction(1, 10),
        rate=10.0,
    )


def packet(mono: float, *, key: bool = False, size: int = 10, epoch: int = 1) -> Packet:
    """Return a packet that arrived at `mono`."""
    pts = round(mono * 10)
    return Packet(stream=stream(epoch), data=b"x" * size, pts=pts, dts=pts, duration=1, key=key, mono=mono)


def ring(*, horizon: float = 5.0, cap: int = 10_000, backlog: int = 10_000) -> Ring:
    """Return a ring."""
    return Ring(horizon=horizon, cap=cap, backlog=backlog)


def fill(target: Ring, seconds: range, *, gop: int = 2, size: int = 10) -> None:
    """Offer one packet a second, a key frame every `gop` seconds."""
    for second in seconds:
        target.offer(packet(float(second), key=second % gop == 0, size=size))


def test_pre_roll_goes_back_to_the_key_frame_before() -> None:
    """A tap begins with the key frame at or before the wanted time, and goes on with what is offered."""
    target = ring()
    fill(target, range(10))
    target.tap(since=5.0)
    fill(target, range(10, 12))
    assert [packet.mono for packet in target.take().packets] == [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]
    assert target.take().packets == ()


def test_nothing_older_than_the_horizon_is_kept_beyond_its_gop() -> None:
    """Age alone lets whole groups go, but never the one that the horizon reaches into."""
    target = ring(horizon=4.0)
    fill(target, range(20))
    target.tap(since=0.0)
    haul = target.take()
    assert [packet.mono for packet in haul.packets] == [14.0, 15.0, 16.0, 17.0, 18.0, 19.0]
    assert haul.holes == ()


def test_pre_roll_does_not_reach_back_over_an_outage() -> None:
    """Pictures from before an outage are old ones: a camera that has just come back begins with its first."""
    target = ring()
    fill(target, range(10))
    fill(target, range(4000, 4003))
    target.tap(since=3997.0)
    assert [packet.mono for packet in target.take().packets] == [4000.0, 4001.0, 4002.0]


def test_a_slow_camera_has_its_whole_pre_roll() -> None:
    """With a second between two pictures, a wanted time between two groups is no outage."""
    target = ring()
    fill(target, range(10))
    target.tap(since=5.5)
    assert target.take().packets[0].mono == 4.0


def test_a_pre_roll_beyond_the_cap_is_shortened_and_told() -> None:
    """What memory did not allow is a hole, from the wanted time to the first picture that is there."""
    target = ring(horizon=100.0, cap=60)
    fill(target, range(10))
    target.tap(since=1.0)
    haul = target.take()
    assert haul.packets[0].mono == 4.0
    assert [(hole.start, hole.end) for hole in haul.holes] == [(1.0, 4.0)]


def test_a_gop_larger_than_the_cap_leaves_a_hole_until_the_next_key_frame() -> None:
    """When even the present group had to go, the clip begins with the next one."""
    target = ring(cap=25)
    fill(target, range(4), gop=10)
    target.tap(since=1.0)
    target.offer(packet(4.0))
    target.offer(packet(5.0, key=True))
    haul = target.take()
    assert [packet.mono for packet in haul.packets] == [5.0]
    assert [(hole.start, hole.end) for hole in haul.holes] == [(1.0, 5.0)]


def test_under_pressure_the_backlog_drops_to_the_next_key_frame() -> None:
    """A writer that is too slow loses whole stretches between key frames, and each is told."""
    target = ring(backlog=50)
    target.tap(since=0.0)
    fill(target, range(8))
    first = target.take()
    fill(target, range(8, 10))
    rest = target.untap()
    assert [packet.mono for packet in (*first.packets, *rest.packets)] == [0.0, 1.0, 2.0, 3.0, 4.0, 8.0, 9.0]
    assert [(hole.start, hole.end) for hole in (*first.holes, *rest.holes)] == [(5.0, 8.0)]


def test_untap_tells_of_a_hole_that_never_ended() -> None:
    """A recording that ends while packets are dropped still enters what it lacks."""
    target = ring(backlog=25)
    target.tap(since=0.0)
    fill(target, range(6), gop=10)
    assert [(hole.start, hole.end) for hole in target.untap().holes] == [(2.0, 5.0)]
    target.offer(packet(6.0, key=True))
    assert target.take().packets == ()


def test_a_new_epoch_begins_with_its_key_frame() -> None:
    """Packets of a reopened camera count from its first key frame on; those of before stay."""
    target = ring()
    fill(target, range(3))
    target.tap(since=0.0)
    for mono, key in ((3.0, False), (4.0, True), (5.0, False)):
        target.offer(packet(mono, key=key, epoch=2))
    assert [packet.mono for packet in target.take().packets] == [0.0, 1.0, 2.0, 4.0, 5.0]


def test_the_picture_nearest_to_a_time_comes_with_what_it_needs() -> None:
    """A still is decoded from its key frame up to the wanted picture."""
    target = ring()
    assert target.picture(3.0) == ()
    fill(target, range(8), gop=4)
    assert [packet.mono for packet in target.picture(6.2)] == [4.0, 5.0, 6.0]
    assert [packet.mono for packet in target.picture(-1.0)] == [0.0]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.booleans(), st.integers(1, 40), st.booleans()),
        st.tuples(st.just("tap"), st.floats(0, 8)),
        st.tuples(st.just("take")),
        st.tuples(st.just("untap")),
    ),
    max_size=80,
)


@given(steps, st.integers(20, 200), st.integers(20, 200))
def test_what_is_taken_can_be_decoded_and_what_is_missing_is_told(
    script: list[tuple[object, ...]], cap: int, backlog: int
) -> None:
    """Whatever is offered and taken: within bounds, in order, no jump without a key frame, no gap without a hole."""
    target = Ring(horizon=5.0, cap=cap, backlog=backlog)
    mono, epoch, tapped = 0.0, 1, False
    offered: list[Seen] = []
    taken: list[Seen] = []
    holes: list[Hole] = []

    def check() -> None:
        for before, after in zip([None, *taken], taken, strict=False):
            follows = before is not None and offered.index(after) == offered.index(before) + 1
            assert follows or after[1], "a jump must end at a key frame"
            jumped = before is not None and not follows and before[2] == after[2]
            assert not jumped or any(hole.start > before[0] and hole.end == after[0] for hole in holes if before)
        assert [seen[0] for seen in taken] == sorted(seen[0] for seen in taken)

    for step in script:
        if step[0] == "offer":
            _, key, size, reopened = step
            mono, epoch = mono + 1.0, epoch + bool(reopened)
            target.offer(packet(mono, key=bool(key), size=int(str(size)), epoch=epoch))
            offered.append((mono, bool(key), epoch))
        elif step[0] == "tap":
            taken, holes, tapped = [], [], True
            target.tap(since=mono - float(str(step[1])))
        else:
            haul = target.take() if step[0] == "take" else target.untap()
            tapped = tapped and step[0] == "take"
            taken += [(packet.mono, packet.key, packet.stream.epoch) for packet in haul.packets]
            holes += haul.holes
            check()
        assert target._size <= cap
        assert target._size == sum(len(packet.data) for gop in target._gops for packet in gop)
        assert all(gop[0].key for gop in target._gops)
