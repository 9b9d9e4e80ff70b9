"""A camera on loopback that breaks in every way that cameras do: MPEG-TS over TCP, drawn, encoded and sent live.

What it does is known to itself alone: `runs` tells when pictures worth seeing went out, against which a device's gap
ledger can be held.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import av
import numpy as np

from edged.base.clock import SystemClock
from edged.base.config import Duration
from edged.capture.scene import Scene
from edged.capture.settings import SyntheticSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Fault = Literal[
    "",
    "hang",  # the connection stays, and nothing comes any more
    "refuse",  # nobody listens
    "end",  # each connection ends after a moment
    "garbage",  # bytes without a meaning
    "sound",  # only the sound goes on
    "frozen",  # the same picture, encoded anew each time
    "black",
    "covered",  # a grey without a thing in it, and the sensor's noise
    "damage",  # some bytes are others
    "slow",  # one picture a second
    "jumping",  # the clock of the stamps jumps by hours, forward and back
    "standing",  # the stamps stand still
    "returning",  # the stamps go back by half a second, again and again
]
SPOILT = frozenset({"frozen", "damage"})  # what is seen then is worth nothing, or nobody can say

_now = SystemClock().mono
_TICKS = 90_000  # a second in MPEG-TS
_PACKET = 188
_LATE = 0.5  # seconds: pictures that a busy machine is so late with are left out
_BREAK = 1.5  # seconds between two pictures of one run
_LIVE = {"flush_packets": "1", "max_interleave_delta": "1"}  # nothing is held back
_SOUND = 8000  # samples a second
_SAMPLES = 1024  # of a frame of AAC
_X265 = "log-level=none:keyint=10:bframes=0:pools=none:frame-threads=1:scenecut=0"
_ENCODERS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency", "g": "10"},
    "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": _X265},
}


@dataclass(kw_only=True, slots=True)
class Run:
    """Good pictures on one connection, on the machine's monotonic clock: when the first came, the newest was taken."""

    start: float
    end: float


class Feeder:
    """The camera. `fault` may be set at any time; `size` and `codec` are changed in mid-stream, too.

    A figure crosses the view for 2 of `period` seconds. `runs` are the times of which good pictures were sent without a
    break, `open` is how many connections there are.
    """

    def __init__(self, seed: int = 1, *, period: float = 8.0, rate: float = 10.0) -> None:
        self.fault: Fault = ""
        self.size = (320, 180)
        self.codec = "libx264"
        self.runs: list[Run] = []
        self.open = 0
        self.rate = rate
        self._scenes: dict[tuple[int, int], Scene] = {}
        self._settings = SyntheticSettings(
            seed=seed, period=Duration(period), walks=(1.0,), walk=Duration(2.0), lamps=(), noise=2.0
        )
        self._rng = Random(seed)
        self._began = _now()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._listener: socket.socket | None = None
        self.port = 0
        self._listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it can be read."""
        return f"tcp://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection."""
        self._over.set()
        self._thread.join()
        while self.open:
            time.sleep(0.01)

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        listener.settimeout(0.05)
        self.port, self._listener = listener.getsockname()[1], listener

    def _accept(self) -> None:
        while not self._over.is_set():
            if self.fault == "refuse":
                if self._listener is not None:
                    self._listener.close()
                    self._listener = None
                self._over.wait(0.05)
                continue
            if self._listener is None:
                self._listen()
            assert self._listener is not None
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                connection.settimeout(0.5)
                self.open += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        if self._listener is not None:
            self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                self._feed(connection)
        finally:
            with self._lock:
                self.open -= 1

    def _feed(self, connection: socket.socket) -> None:
        sender, began, number = _Sender(self.codec, self.size, self.rate), _now(), 0
        run: Run | None = None
        while not self._over.is_set() and self.fault != "refuse":
            number += 1
            while _now() - (began + number / self.rate) > _LATE:  # as a camera does, whose line is too slow
                number += 1
                sender.skip()
            if (wait := began + number / self.rate - _now()) > 0:
                self._over.wait(wait)
            if (sender.codec, sender.size) != (self.codec, self.size):
                run = run if sender.codec == self.codec else None  # nobody reads it on before opening the camera anew
                sender = _Sender(self.codec, self.size, self.rate, number)
            fault = self.fault
            if fault == "end" and number > self.rate:
                return
            if fault == "hang" or (fault == "slow" and number % round(self.rate)):
                sender.skip()
                _peek(connection)
                continue
            if fault == "garbage":
                sender.skip()
                connection.sendall(self._rng.randbytes(4000))
                continue
            picture = None if fault == "sound" else self._picture(fault)
            data = self._spoilt(sender.send(picture), fault, number)
            connection.sendall(data)
            if picture is not None and fault not in SPOILT:
                run = self._went(run, began + number / self.rate)

    def _went(self, run: Run | None, due: float) -> Run:
        """Note that the good picture of `due` went out, as one more of `run` or as the first of another.

        It is stamped with when it was due; a busy machine may have sent it later.
        """
        if run is None or due - run.end > _BREAK:
            run = Run(start=max(due, _now()), end=due)
            self.runs.append(run)
        run.end = due
        return run

    def _picture(self, fault: Fault) -> NDArray[np.uint8]:
        scene = self._scenes.get(self.size)
        if scene is None:
            scene = self._scenes[self.size] = Scene(self._settings, *self.size)
        seconds = 0.0 if fault == "frozen" else _now() - self._began
        if fault in {"black", "covered"}:
            noise = np.random.default_rng(self._rng.randrange(1 << 30)).integers(0, 3, self.size[::-1], np.uint8)
            return noise + np.uint8(16 if fault == "black" else 110)
        return scene.draw(round(seconds * self.rate), seconds)

    def _spoilt(self, data: bytes, fault: Fault, number: int) -> bytes:
        if fault == "damage" and data:
            spoilt = bytearray(data)
            for _ in range(3):
                spoilt[self._rng.randrange(len(spoilt))] = self._rng.randrange(256)
            return bytes(spoilt)
        hours = 3600 * _TICKS * (1 + number // 20 % 3)
        match fault:
            case "jumping":
                return restamped(data, lambda pts: pts + hours)
            case "standing":
                return restamped(data, lambda _: 5 * _TICKS)
            case "returning":
                return restamped(data, lambda pts: pts - _TICKS // 2 * (number // 5 % 2))
        return data


class _Sender:
    """One run of a codec and a size: pictures and sound in, MPEG-TS out."""

    def __init__(self, codec: str, size: tuple[int, int], rate: float, number: int = 0) -> None:
        self.codec = codec
        self.size = size
        self._out = _Out()
        self._container = av.open(cast("Any", self._out), "w", format="mpegts", options=_LIVE)
        self._video = cast("Any", self._container.add_stream(codec, rate=round(rate), options=_ENCODERS[codec]))
        self._video.width, self._video.height = size
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.thread_count = 1
        self._audio = cast("Any", self._container.add_stream("aac", rate=_SOUND, layout="mono"))
        self._number = number
        self._rate = rate
        self._samples = round(number / rate * _SOUND)

    def skip(self) -> None:
        """Let a picture's time pass without a picture."""
        self._number += 1
        self._samples = max(self._samples, round(self._number / self._rate * _SOUND))

    def send(self, luma: NDArray[np.uint8] | None) -> bytes:
        """Return the bytes of the next picture, or of none, and of its time's sound."""
        if luma is not None:
            colour = np.full((luma.shape[0] // 2, luma.shape[1]), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.vstack((luma, colour)), format="yuv420p")
            frame.pts, frame.time_base = self._number, Fraction(1, round(self._rate))
            self._container.mux(self._video.encode(frame))
        self._number += 1
        while self._samples < self._number / self._rate * _SOUND:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, _SAMPLES), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts, silence.time_base = _SOUND, self._samples, Fraction(1, _SOUND)
            self._container.mux(self._audio.encode(silence))
            self._samples += _SAMPLES
        return self._out.taken()


class _Out:
    """A file that a muxer writes to."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        """Take what is written."""
        self._data += data
        return len(data)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        data, self._data = bytes(self._data), bytearray()
        return data


def restamped(data: bytes, change: Callable[[int], int]) -> bytes:
    """Return whole MPEG-TS packets with the presentation time of each picture changed (ISO/IEC 13818-1, 2.4.3.7)."""
    out = bytearray(data)
    for begin in range(0, len(out) - _PACKET + 1, _PACKET):
        head = begin + 4 + (1 + out[begin + 4] if out[begin + 3] & 0x20 else 0)
        starts = out[begin + 1] & 0x40 and out[head : head + 3] == b"\0\0\1" and out[head + 3] & 0xF0 == 0xE0
        if starts and out[head + 7] & 0x80:
            field = out[head + 9 : head + 14]
            pts = (field[0] >> 1 & 7) << 30 | field[1] << 22 | field[2] >> 1 << 15 | field[3] << 7 | field[4] >> 1
            new = change(pts) % (1 << 33)
            out[head + 9 : head + 14] = bytes(
                (field[0] & 0xF0 | new >> 29 & 0x0E | 1, new >> 22 & 0xFF, new >> 14 & 0xFE | 1, new >> 7 & 0xFF)
            ) + bytes(((new << 1 & 0xFE) | 1,))
    return bytes(out)


def _peek(connection: socket.socket) -> None:
    """Notice that the other side is gone; OSError then."""
    connection.setblocking(False)
    try:
        if connection.recv(1) == b"":
            raise ConnectionResetError
    except BlockingIOError:
        pass
    finally:
        connection.settimeout(0.5)
