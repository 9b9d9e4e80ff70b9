"""Time stamps made fit for one clip part: from zero, rising, in 90 kHz ticks.

Cameras' clocks jump (NTP inside the camera, a 32-bit counter that wraps, a restart that goes unannounced), repeat a
time stamp, or leave the duration out. A step is believed when it is forward and not much longer than our own monotonic
clock measured between the two arrivals; any other is replaced by what ours measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edged.model import Packet

TICKS = 90_000  # a second; RTP's clock for video, and fine enough for any other
_TRUST = 2.0  # seconds by which packets may arrive closer together than they were taken: a stalled network catches up
_FALLBACK = 1 / 25  # seconds of a picture when neither packet nor stream says


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """A packet's time in its part, in ticks: 0 <= dts <= pts."""

    pts: int
    dts: int
    duration: int


class Retimer:
    """Gives each packet of one part its time, in decoding order."""

    def __init__(self) -> None:
        self._last: Packet | None = None
        self._dts = 0  # of the last packet, in ticks

    def time(self, packet: Packet) -> Timing:
        """Return the time of the next packet; the first has dts 0."""
        self._dts += self._step(packet)
        self._last = packet
        ahead = max(0, _ticks(packet, packet.pts - packet.dts))
        if ahead > _TRUST * TICKS:  # no reordering reaches so far
            ahead = 0
        return Timing(pts=self._dts + ahead, dts=self._dts, duration=_duration(packet))

    def _step(self, packet: Packet) -> int:
        last = self._last
        if last is None:
            return 0
        told = _ticks(packet, packet.dts - last.dts)
        measured = round((packet.mono - last.mono) * TICKS)
        if told <= 0:
            told = measured
        elif told > measured + _TRUST * TICKS:  # less than measured is a network that stalled and will catch up
            told = max(measured, _duration(last))
        return max(1, told)


def _ticks(packet: Packet, count: int) -> int:
    return round(count * packet.stream.time_base * TICKS)


def _duration(packet: Packet) -> int:
    if packet.duration > 0:
        return max(1, _ticks(packet, packet.duration))
    return round(TICKS / packet.stream.rate) if packet.stream.rate > 0 else round(TICKS * _FALLBACK)
