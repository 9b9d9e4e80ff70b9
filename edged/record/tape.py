"""One incident's clip: packets in, parts out. Decides where a part ends and what follows a disk error.

A part ends at a key frame: when the next group of pictures (GOP) would make it longer than allowed (as long as the last
GOP was; a camera with rare key frames makes longer parts), and when the stream changes in a way that one header can't
describe. Used by one thread, the recorder's writer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import stamp_at
from edged.record.clip import DiskFile, Label, Part, PlainFile, Sealed
from edged.record.nal import BadBitstreamError
from edged.record.names import part_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.model import Packet
    from edged.record.settings import RecordSettings

log = structlog.get_logger(__name__)

NO_ROOM = "the disk is critically full: snapshots only"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """Pictures from `start` to `end` (mono) that should be in the clip and are not."""

    start: float
    end: float
    bytes: int
    reason: str


Outcome = Sealed | Lost


class Tape:
    """Writes the parts of one incident. All methods block on the disk; `directory` makes and returns their place."""

    def __init__(
        self,
        directory: Callable[[], Path],
        *,
        incident: str,
        camera: str,
        settings: RecordSettings,
        clock: Clock,
        has_room: Callable[[], bool] = lambda: True,
        make_file: Callable[[Path], PlainFile] = DiskFile,
    ) -> None:
        self._directory = directory
        self._incident = incident
        self._camera = camera
        self._settings = settings
        self._clock = clock
        self._has_room = has_room
        self._make_file = make_file
        self._part: Part | None = None
        self._number = 1
        self._epoch = -1
        self._key = 0.0  # mono of the last key frame
        self._refused_at = self._paused_until = float("-inf")  # mono: the last disk error, and how long it counts
        self._missing: Lost | None = None
        self._done: list[Outcome] = []

    @property
    def refused(self) -> str:
        """Why pictures are missed at present, "" while they are not; any thread may ask."""
        missing = self._missing
        return "" if missing is None else missing.reason

    def write(self, packets: Iterable[Packet]) -> list[Outcome]:
        """Append packets in decoding order; return the parts that were sealed and what was lost on the way."""
        packet = None
        for packet in packets:
            self._take(packet)
        if self._part is not None and packet is not None:
            try:
                self._part.sync()
            except OSError as error:
                self._cut(self._part, packet, error)
        return self._outcomes()

    def seal(self) -> list[Outcome]:
        """Seal the open part, if any; the next key frame begins another one."""
        if self._part is not None:
            self._seal(self._part)
        return self._outcomes()

    def finish(self) -> list[Outcome]:
        """Seal the open part and tell of losses not yet told."""
        if self._part is not None:
            self._seal(self._part)
        self._found()
        return self._outcomes()

    def _outcomes(self) -> list[Outcome]:
        done, self._done = self._done, []
        return done

    def _take(self, packet: Packet) -> None:
        if self._part is not None and self._ends_before(self._part, packet):
            self._seal(self._part)
        if self._part is None:
            self._part = self._begin(packet)
        if self._part is None:
            return
        if packet.key:
            self._key = packet.mono
        try:
            self._part.write(packet)
        except OSError as error:
            self._cut(self._part, packet, error)
        except BadBitstreamError as error:
            self._seal(self._part)
            self._miss(packet, str(error))

    def _ends_before(self, part: Part, packet: Packet) -> bool:
        if packet.stream.epoch != self._epoch:
            return True
        if not packet.key:
            return False
        if not self._has_room():
            return True
        try:
            same = part.continues_with(packet)
        except BadBitstreamError:
            return True
        return not same or part.seconds + (packet.mono - self._key) > self._settings.part

    def _begin(self, packet: Packet) -> Part | None:
        """Begin a part if `packet` can begin one, and note what is missed if not."""
        if not packet.key:
            if self._missing is not None:
                self._miss(packet, self._missing.reason)
            return None
        if packet.mono < self._paused_until and self._missing is not None:
            self._miss(packet, self._missing.reason)
            return None
        if not self._has_room():
            self._miss(packet, NO_ROOM)
            return None
        try:
            part = self._open(packet)
        except BadBitstreamError as error:
            self._miss(packet, str(error))
            return None
        except OSError as error:
            self._refused(packet, error)
            return None
        self._found()
        self._epoch = packet.stream.epoch
        return part

    def _open(self, packet: Packet) -> Part:
        while True:
            label = Label(
                incident=self._incident,
                camera=self._camera,
                part=self._number,
                start=stamp_at(self._clock, packet.mono),
            )
            path = self._directory() / part_name(self._number)
            try:
                return Part(path, packet, label, fragment=self._settings.fragment, make_file=self._make_file)
            except FileExistsError:
                self._number += 1

    def _seal(self, part: Part) -> None:
        self._part = None
        try:
            self._done.append(part.seal())
        except OSError as error:
            self._keep(part, part.label.start.mono + part.seconds, error)
        self._number += 1

    def _cut(self, part: Part, packet: Packet, error: OSError) -> None:
        self._part = None
        self._keep(part, packet.mono, error)
        self._number += 1
        self._refused(packet, error)

    def _keep(self, part: Part, until: float, error: OSError) -> None:
        """Seal what was synced of a part that the disk refused to go on with; enter the rest as lost."""
        log.error("clip part cut short", incident=self._incident, camera=self._camera, error=_sentence(error))
        try:
            kept = part.cut()
        except OSError:
            kept = None  # salvage will look at it when the disk is well again
        if kept is not None:
            self._done.append(kept)
        start = kept.end if kept is not None else part.label.start.mono
        if until > start:
            self._done.append(Lost(start=start, end=until, bytes=0, reason=_sentence(error)))

    def _refused(self, packet: Packet, error: OSError) -> None:
        # after a first error the next part is tried at once: one that fails, too, begins the pause
        pause, before = self._settings.pause_after_error, self._refused_at
        self._refused_at = packet.mono
        if packet.mono - before < pause:
            self._paused_until = packet.mono + pause
        self._miss(packet, _sentence(error))

    def _miss(self, packet: Packet, reason: str) -> None:
        missing = self._missing
        if missing is not None and packet.mono - missing.start >= self._settings.part:
            self._found()  # a crash must not take a long loss out of the ledger
            missing = replace(missing, start=missing.end, bytes=0)
        self._missing = Lost(
            start=packet.mono if missing is None else missing.start,
            end=packet.mono + float(packet.duration * packet.stream.time_base),
            bytes=len(packet.data) + (0 if missing is None else missing.bytes),
            reason=reason if missing is None else missing.reason,
        )

    def _found(self) -> None:
        if self._missing is not None:
            self._done.append(self._missing)
            self._missing = None


def _sentence(error: OSError) -> str:
    return f"the disk refused: {error.strerror or error}"
