"""A camera's health, judged from signs that do not depend on each other, for each of them can lie alone."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edged.capture.view import USUAL
from edged.model import Sign

if TYPE_CHECKING:
    from edged.capture.settings import HealthSettings
    from edged.capture.view import View, ViewWatch
    from edged.model import Frame, Packet

_KEY_FRAME = 90.0  # seconds to wait for the first while packets come: smart codecs send one a minute
_RECURRING = 32  # contents that are remembered: an encoder makes a handful of one frozen picture, the same in each GOP
_LULL = 5.0  # seconds without a change, after which changes are counted anew: some cameras send a picture a second
_BRIGHT = 99.5  # percentile: a lamp post alone does not make a night picture bright, sensor noise even less


@dataclass(frozen=True, kw_only=True, slots=True)
class Vitals:
    """What was observed since a camera was opened; times are mono, None for never.

    A picture may arrive long after it was taken: libav holds the last one of a silent stream back until its time-out.
    """

    opened: float
    frame: float | None = None  # the newest frame arrived
    packet: float | None = None  # the newest packet was handed to the recorder
    first: float | None = None  # the first frame arrived
    changed: float | None = None  # a frame differed from those before
    changes: int = 0  # how often that was so, since it was not for a while
    lively: float | None = None  # that is since then
    bright: float | None = None  # a frame was not dark
    view: View = USUAL
    frame_taken: float | None = None  # when the newest frame was taken
    packet_taken: float | None = None  # likewise
    error: str = ""  # the exception that ended it
    ended: bool = False


def delivers(vitals: Vitals, *, was_frozen: bool) -> bool:
    """Return whether pictures come and are recorded; after a frozen picture, only when they really change again.

    An encoder that starts anew makes several contents of a picture that is still the same, so a few prove nothing.
    """
    return vitals.frame is not None and vitals.packet is not None and vitals.changes > _RECURRING * was_frozen


def last_good(vitals: Vitals, signs: frozenset[Sign] = frozenset()) -> float | None:
    """Return when the last good picture was taken, of a camera with these signs; None without any."""
    times = [vitals.frame_taken, vitals.packet_taken, vitals.changed if Sign.FROZEN in signs else None]
    return min((time for time in times if time is not None), default=None)


def back_since(vitals: Vitals, lost: float, *, was_frozen: bool) -> float:
    """Return when the first picture came after pictures were lost at `lost`, of a camera that delivers again.

    After a frozen picture it is the first that differed: a new opening may have begun with the frozen one.
    """
    seen = (vitals.lively, vitals.frame) if was_frozen else (vitals.first, vitals.frame)
    times = [time for time in seen if time is not None and time > lost]
    return min(times, default=lost)


def hopeless(vitals: Vitals, settings: HealthSettings, signs: frozenset[Sign], now: float) -> bool:
    """Return whether to open an ill camera anew, rather than wait whether it goes on by itself."""
    if signs & {Sign.EXCEPTION, Sign.ENDED, Sign.FROZEN}:
        return True
    if vitals.packet is None or now - vitals.packet > settings.stuck:
        return True
    if vitals.frame is None:
        return now - vitals.opened > _KEY_FRAME
    return now - vitals.frame > settings.stuck


def judge(vitals: Vitals, settings: HealthSettings, *, sensor: bool, now: float) -> tuple[frozenset[Sign], str]:
    """Return the signs of illness and, for a person, what they mean; no signs and "" of a healthy camera.

    `sensor` says that a real sensor makes the pictures: its noise never repeats, so identical ones are frozen.
    """
    if vitals.error:
        return frozenset({Sign.EXCEPTION}), vitals.error
    if vitals.ended:
        return frozenset({Sign.ENDED}), "the stream has ended"
    found: dict[Sign, str] = {}
    if (age := _silence(vitals.frame, vitals, settings, now)) is not None:
        found[Sign.NO_FRAMES] = f"no picture for {age:.0f} s"
    if (age := _silence(vitals.packet, vitals, settings, now)) is not None:
        found[Sign.NO_PACKETS] = f"nothing to record for {age:.0f} s"
    if not found:
        found = _look(vitals, settings, sensor=sensor, now=now)
    return frozenset(found), ", ".join(found.values())


def _silence(newest: float | None, vitals: Vitals, settings: HealthSettings, now: float) -> float | None:
    if newest is None:
        age = now - vitals.opened
        return age if age > settings.first_picture else None
    return now - newest if now - newest > settings.silence else None


def _look(vitals: Vitals, settings: HealthSettings, *, sensor: bool, now: float) -> dict[Sign, str]:
    """Judge the picture itself. A dark one may well be identical for hours, so it is not called frozen."""
    if vitals.frame is None:
        return {}
    dark = now - (vitals.bright if vitals.bright is not None else vitals.opened)
    if dark > settings.dark:
        return {Sign.DARK: f"the picture has been dark for {dark:.0f} s"}
    frozen = now - (vitals.changed if vitals.changed is not None else vitals.opened)
    if sensor and 0 < settings.frozen < frozen:
        return {Sign.FROZEN: f"the picture has been frozen for {frozen:.0f} s"}
    other = now - vitals.view.since if vitals.view.since is not None else 0.0
    if sensor and 0 < settings.covered < other:
        if vitals.view.flat:
            return {Sign.COVERED: f"the camera has been covered for {other:.0f} s"}
        return {Sign.MOVED: f"the camera has looked elsewhere for {other:.0f} s"}
    return {}


class Observer:
    """Keeps the vitals of one opening: told of each packet and frame by the camera's thread, read by the loop."""

    def __init__(self, settings: HealthSettings, opened: float, view: ViewWatch) -> None:
        self._settings = settings
        self._view = view
        self._opened = opened
        self._frame: float | None = None
        self._packet: float | None = None
        self._frame_taken: float | None = None
        self._packet_taken: float | None = None
        self._first: float | None = None
        self._changed: float | None = None
        self._changes = 0
        self._lively: float | None = None
        self._bright: float | None = None
        self._contents: deque[int] = deque(maxlen=_RECURRING)
        self.error = ""
        self.ended = False

    def adopt(self, settings: HealthSettings) -> None:
        """Call dark what these settings do, from the next frame on."""
        self._settings = settings

    def packet(self, packet: Packet, now: float) -> None:
        """Note that a packet was handed to the recorder."""
        self._packet, self._packet_taken = now, min(now, packet.mono)

    def frame(self, frame: Frame, now: float) -> None:
        """Note a frame: whether it differs from those before, whether it is dark, and what it looks at."""
        content = zlib.crc32(np.ascontiguousarray(frame.luma).data)
        if content not in self._contents:
            self._contents.append(content)
            if self._changed is None or now - self._changed > _LULL:
                self._lively, self._changes = now, 0
            self._changed = now
            self._changes += 1
        if np.percentile(frame.luma[::4, ::4], _BRIGHT) > self._settings.dark_level:
            self._bright = now
            self._view.see(frame.luma, now)
        self._frame, self._frame_taken = now, min(now, frame.mono)
        self._first = now if self._first is None else self._first

    def vitals(self) -> Vitals:
        """Return what was observed so far."""
        return Vitals(
            opened=self._opened,
            frame=self._frame,
            packet=self._packet,
            frame_taken=self._frame_taken,
            packet_taken=self._packet_taken,
            first=self._first,
            changed=self._changed,
            changes=self._changes,
            lively=self._lively,
            bright=self._bright,
            view=self._view.view,
            error=self.error,
            ended=self.ended,
        )
