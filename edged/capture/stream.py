"""The backend for everything that PyAV demuxes: RTSP and other network streams, USB cameras, files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.base.errors import CameraError
from edged.capture.demux import Demuxer
from edged.capture.source import display_name, open_source
from edged.capture.substream import SubStream
from edged.capture.timeline import FileTimeline, LiveTimeline
from edged.capture.tracks import track_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edged.base.clock import Clock
    from edged.capture.settings import CameraSettings
    from edged.capture.source import Source
    from edged.capture.timeline import Timeline
    from edged.model import Frame, Packet


class StreamCamera:
    """A camera read through PyAV. With a sub-stream, frames come from it and nothing else is decoded."""

    def __init__(
        self, name: str, settings: CameraSettings, *, password: str, clock: Clock, epochs: Iterator[int]
    ) -> None:
        self._name = name
        self._settings = settings
        self._password = password
        self._clock = clock
        self._epochs = epochs
        self._source: Source | None = None
        self._substream: SubStream | None = None

    def open(self) -> None:
        """Open the source; CameraError says why it can't be."""
        self._source = open_source(self._settings, self._settings.url, self._password)
        if self._settings.substream:
            self._substream = SubStream(
                self._name, self._settings, password=self._password, clock=self._clock, epochs=self._epochs
            )

    def read(self) -> Iterator[Packet | Frame]:
        """Yield packets and frames until the source ends; CameraError when it breaks off."""
        if self._source is None:
            raise CameraError(f"{display_name(self._settings.url)} is not open")
        track = track_for(self._name, self._source.stream, self._settings, self._timeline(), self._epochs)
        demuxer = Demuxer(self._source, self._clock, self._settings.patience)
        while True:
            for raw in demuxer.packets():
                if self._substream is not None:
                    yield from self._substream.frames()
                analyse = self._substream is None or not self._substream.alive()
                yield from track.feed(raw, analyse=analyse)
            yield from track.drain()
            if not self._settings.loop:
                return
            demuxer.rewind()

    def close(self) -> None:
        """Close the source."""
        if self._substream is not None:
            self._substream.close()
        if self._source is not None:
            self._source.container.close()
        self._source = self._substream = None

    def _timeline(self) -> Timeline:
        if self._settings.is_file:
            return FileTimeline(self._clock, paced=self._settings.speed == "real")
        return LiveTimeline(self._clock)
