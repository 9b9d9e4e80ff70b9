"""A camera's second, smaller stream, decoded for detection on a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import structlog

from edged.base.errors import CameraError
from edged.capture.demux import Demuxer
from edged.capture.source import open_source
from edged.capture.timeline import LiveTimeline
from edged.capture.tracks import track_for
from edged.model import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edged.base.clock import Clock
    from edged.capture.settings import CameraSettings

log = structlog.get_logger(__name__)

_ALIVE = 3.0  # seconds without a frame after which the main stream is decoded instead
_AGAIN = 30.0  # seconds until a broken sub-stream is tried again
_HELD = 16  # frames between two packets of the main stream; more is a burst of which the newest count


class SubStream:
    """Reads the sub-stream until closed; when it breaks off it is tried again, and meanwhile is not alive."""

    def __init__(
        self, camera: str, settings: CameraSettings, *, password: str, clock: Clock, epochs: Iterator[int]
    ) -> None:
        self._camera = camera
        self._settings = settings
        self._password = password
        self._clock = clock
        self._epochs = epochs
        self._frames: deque[Frame] = deque(maxlen=_HELD)
        self._newest: float | None = None
        self._closed = threading.Event()
        threading.Thread(target=self._run, name=f"{camera} sub-stream", daemon=True).start()

    def alive(self) -> bool:
        """Return whether frames come."""
        return self._newest is not None and self._clock.mono() - self._newest < _ALIVE

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that have come since the last call."""
        while self._frames:
            yield self._frames.popleft()

    def close(self) -> None:
        """Let the thread end as soon as it notices; it closes its stream itself."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._read()
                log.warning("sub-stream ended", camera=self._camera)
            except CameraError as error:
                log.warning("sub-stream lost", camera=self._camera, error=str(error))
            self._closed.wait(_AGAIN)

    def _read(self) -> None:
        source = open_source(self._settings, self._settings.substream, self._password)
        try:
            timeline = LiveTimeline(self._clock)
            track = track_for(self._camera, source.stream, self._settings, timeline, self._epochs)
            for raw in Demuxer(source, self._clock, self._settings.patience).packets():
                if self._closed.is_set():
                    return
                self._keep(item for item in track.feed(raw, analyse=True) if isinstance(item, Frame))
        finally:
            source.container.close()

    def _keep(self, frames: Iterator[Frame]) -> None:
        for frame in frames:
            self._frames.append(frame)
            self._newest = self._clock.mono()
