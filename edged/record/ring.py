"""The pre-roll: encoded packets of the last seconds, and, while a clip is recorded, those that wait to be written.

Both are bounded in bytes and give way in whole groups of pictures (GOPs), so that what remains can be decoded.
What was wanted and had to go is a `Hole`. The camera's thread offers, the recorder takes; a lock is held for
the few operations on lists, never for I/O.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edged.model import Packet

_SILENCE = 1.0  # seconds between two packets that no camera in order leaves


@dataclass(frozen=True, kw_only=True, slots=True)
class Hole:
    """Packets that should have been recorded and were dropped, from `start` to `end` (mono)."""

    start: float
    end: float
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Haul:
    """What waited to be written, in order: after each hole `packets` goes on with a key frame."""

    packets: tuple[Packet, ...]
    holes: tuple[Hole, ...]


class Ring:
    """One camera's packets: `horizon` seconds back to the key frame before, at most `cap` bytes.

    While tapped, offered packets are also kept for `take`, at most `backlog` bytes of them.
    """

    def __init__(self, *, horizon: float, cap: int, backlog: int) -> None:
        self._lock = Lock()
        self._horizon = horizon
        self._cap = cap
        self._gops: deque[list[Packet]] = deque()
        self._size = 0
        self._epoch: int | None = None
        self._awaiting_key = True
        self._evicted: float | None = None  # mono of the newest packet that the cap, not age, pushed out
        self._backlog = backlog
        self._tap = _Backlog(backlog, (), going_on=False)
        self._tapped = False
        self.dropped = 0  # packets that no key frame introduced

    def offer(self, packet: Packet) -> None:
        """Take the camera's next packet, in decoding order. Called in the camera's thread; never blocks for long."""
        with self._lock:
            if packet.stream.epoch != self._epoch:
                self._epoch, self._awaiting_key = packet.stream.epoch, True
            if self._tapped:
                self._tap.add(packet)
            if packet.key:
                self._gops.append([])
                self._awaiting_key = False
            elif self._awaiting_key:
                self.dropped += 1
                return
            self._gops[-1].append(packet)
            self._size += len(packet.data)
            self._forget_old(packet.mono)
            self._forget_most()

    def tap(self, since: float) -> None:
        """Begin to keep packets for `take`, from the key frame at or before `since` (mono) on."""
        with self._lock:
            first = _first_wanted(self._gops, since)
            packets = [packet for gop in list(self._gops)[first:] for packet in gop]
            late = self._evicted is not None and self._evicted >= since
            self._tapped = True
            self._tap = _Backlog(self._backlog, packets, going_on=not self._awaiting_key)
            if late:
                self._tap.miss(since, packets[0].mono if packets else None)

    def untap(self) -> Haul:
        """Keep packets for the pre-roll alone again; return what still waits to be written."""
        with self._lock:
            self._tapped = False
            self._tap.end()
            return self._tap.take()

    def take(self) -> Haul:
        """Take what waits to be written."""
        with self._lock:
            return self._tap.take()

    def picture(self, mono: float) -> tuple[Packet, ...]:
        """Return the packets that decode to the picture nearest to `mono`, from its key frame on; () without any."""
        with self._lock:
            if not self._gops:
                return ()
            gop = self._gops[_gop_at(self._gops, mono)]
            nearest = min(range(len(gop)), key=lambda i: abs(gop[i].mono - mono))
            return tuple(gop[: nearest + 1])

    def _forget_old(self, newest: float) -> None:
        while len(self._gops) > 1 and self._gops[1][0].mono <= newest - self._horizon:
            self._forget_gop()

    def _forget_most(self) -> None:
        while self._size > self._cap and self._gops:
            self._awaiting_key = len(self._gops) == 1
            self._evicted = self._forget_gop()

    def _forget_gop(self) -> float:
        gop = self._gops.popleft()
        self._size -= sum(len(packet.data) for packet in gop)
        return gop[-1].mono


class _Backlog:
    """Packets that wait to be written; when they are too many, the newest go until a key frame finds room."""

    def __init__(self, cap: int, packets: Sequence[Packet], *, going_on: bool) -> None:
        self._cap = cap
        self._packets = list(packets)
        self._size = sum(len(packet.data) for packet in packets)
        self._epoch = packets[-1].stream.epoch if packets else None
        self._awaiting_key = not (packets and going_on)
        self._holes: list[Hole] = []
        self._since: float | None = None  # mono since which packets go
        self._reason = ""
        self._newest = 0.0

    def miss(self, since: float, until: float | None) -> None:
        """Note that the pre-roll had to give up what came before `until`, or before the next key frame."""
        self._since, self._reason = since, "the pre-roll needs more memory than record.ring allows"
        self._newest = since
        if until is not None:
            self._end_hole(until)

    def add(self, packet: Packet) -> None:
        self._newest = packet.mono
        if packet.stream.epoch != self._epoch:
            self._epoch, self._awaiting_key = packet.stream.epoch, True
        if self._size + len(packet.data) > self._cap:
            self._awaiting_key = True
            if self._since is None:
                self._since, self._reason = packet.mono, "the disk is slower than the camera (record.backlog is full)"
        elif packet.key:
            self._awaiting_key = False
            self._end_hole(packet.mono)
        if not self._awaiting_key:
            self._packets.append(packet)
            self._size += len(packet.data)

    def take(self) -> Haul:
        haul = Haul(packets=tuple(self._packets), holes=tuple(self._holes))
        self._packets, self._size, self._holes = [], 0, []
        return haul

    def end(self) -> None:
        self._end_hole(self._newest)

    def _end_hole(self, mono: float) -> None:
        if self._since is not None and mono > self._since:
            self._holes.append(Hole(start=self._since, end=mono, reason=self._reason))
        self._since = None


def _first_wanted(gops: deque[list[Packet]], since: float) -> int:
    """Return the index of the GOP that a pre-roll from `since` begins with.

    That is the one at `since`, unless it ended well before: after an outage it may be hours old.
    """
    first = _gop_at(gops, since)
    later = first + 1 < len(gops)
    return first + 1 if later and gops[first][-1].mono < since - _SILENCE else first


def _gop_at(gops: deque[list[Packet]], mono: float) -> int:
    """Return the index of the last GOP that begins at or before `mono`, 0 when none does."""
    return max((number for number, gop in enumerate(gops) if gop[0].mono <= mono), default=0)
