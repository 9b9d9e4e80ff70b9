"""One camera's three stages, wired: capture hands packets to the recorder and frames to the detector."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edged.base.handover import Latest
from edged.base.secret import reveal
from edged.capture.backend import backend
from edged.capture.loop import CaptureLoop
from edged.detect.loop import DetectLoop
from edged.record.loop import Recorder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edged.base.clock import Clock
    from edged.model import Frame, Incident, Packet
    from edged.outbox.nouns import AlertRules
    from edged.outbox.policy import Destinations
    from edged.outbox.spool import Spool
    from edged.outbox.store import Outbox
    from edged.record.settings import RecordSettings
    from edged.settings import CameraSection


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What all cameras share."""

    outbox: Outbox
    spool: Spool
    clock: Clock
    record: RecordSettings
    destinations: Destinations
    rules: AlertRules
    why_silent: Callable[[Incident], str]
    has_room: Callable[[], bool]
    ask_reset: Callable[[str, str], Awaitable[None]]  # of a camera's power, for a reason


class Eye:
    """One camera of the device."""

    def __init__(self, name: str, settings: CameraSection, around: Surroundings) -> None:
        self.name = name
        self.settings = settings
        self.frames: Latest[Frame] = Latest()
        self.stream = ""  # "1920x1080 h264" as the newest packet tells
        self.recorder = Recorder(
            name,
            around.record,
            outbox=around.outbox,
            spool=around.spool,
            clock=around.clock,
            destinations=around.destinations,
            rules=around.rules,
            alerting=around.why_silent,
            has_room=around.has_room,
        )
        self.detector = DetectLoop(name, settings.detect, around.clock, self.frames, self.recorder.handle)
        self.capture = CaptureLoop(
            name,
            backend(name, settings, password=reveal(settings.password, f"cameras.{name}.password"), clock=around.clock),
            settings,
            around.clock,
            on_packet=self._take,
            frames=self.frames,
            open_gap=around.outbox.open_gap,
            close_gap=around.outbox.close_gap,
            ask_reset=partial(around.ask_reset, name),
        )

    def adopt(self, settings: CameraSection, destinations: Destinations, rules: AlertRules) -> None:
        """Watch, deliver and alert by other settings from now on; the camera itself goes on as it was opened."""
        self.settings = settings
        self.capture.adopt(settings.health)
        self.detector.adopt(settings.detect)
        self.recorder.adopt(destinations, rules)

    def _take(self, packet: Packet) -> None:
        if packet.key:
            self.stream = f"{packet.stream.width}x{packet.stream.height} {packet.stream.codec}"
        self.recorder.offer(packet)
