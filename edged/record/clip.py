"""One clip part on the disk: plain fragmented MP4 that is playable, synced and hashed at every fragment.

The header comes first and nothing is ever rewritten, so the hash runs along and whatever a crash leaves is a clip up to
its last whole fragment. The muxer (libavformat through PyAV) hands over a fragment's bytes when it is full; then the
file is synced and the state of the hash kept. After a disk error the part is cut back to that point. A file whose sync
failed is never synced again: the kernel may have dropped the pages and would report success (fsyncgate, 2018).

The part's place in its incident is written into the MP4's comment, so that a file says by itself what it is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import av
import av.error
import msgspec
import structlog

from edged.base.clock import Stamp
from edged.base.disk import sync_directory
from edged.record.nal import BadBitstreamError, in_band_sets, is_record, parameter_sets, to_annex_b
from edged.record.timing import TICKS, Retimer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from av.container import InputContainer
    from av.video.stream import VideoStream

    from edged.model import Packet

log = structlog.get_logger(__name__)

_BUFFER = 1 << 18  # bytes that the muxer hands over at once: a usual fragment in few writes


class PlainFile(Protocol):
    """The file operations that a part needs; each raises OSError when the disk refuses."""

    def write(self, data: bytes) -> None:
        """Append all of `data`."""
        ...

    def sync(self) -> None:
        """Return when everything written is on the disk."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file back to `size` bytes."""
        ...

    def close(self) -> None:
        """Close it; never raises what a sync should have."""
        ...


class DiskFile:
    """A new file of mode 0600, its name synced; FileExistsError rather than touch what is there."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor: int | None = os.open(path, flags, 0o600)
        try:
            sync_directory(path.parent)
        except OSError:
            self.close()
            path.unlink()
            raise

    def write(self, data: bytes) -> None:
        """Append all of `data`."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._number(), rest) :]

    def sync(self) -> None:
        """Return when everything written is on the disk."""
        os.fsync(self._number())

    def truncate(self, size: int) -> None:
        """Cut the file back to `size` bytes."""
        os.ftruncate(self._number(), size)

    def close(self) -> None:
        """Close it; nothing happens when it is closed already."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _number(self) -> int:
        if self._descriptor is None:  # its number may be another file's by now, even the database's
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._descriptor


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """What a part's comment says: its incident, its number and when its first picture was taken."""

    incident: str
    camera: str
    part: int
    start: Stamp

    def text(self) -> str:
        """Return the label as the comment's JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))


def read_label(text: str) -> Label | None:
    """Read a part's comment; None when it is not one that edged wrote."""
    try:
        data = json.loads(text)
        start = msgspec.convert(data["start"], Stamp)
        return Label(incident=str(data["incident"]), camera=str(data["camera"]), part=int(data["part"]), start=start)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """A part that will not change any more: its file is synced, closed and named for good."""

    path: Path
    label: Label
    size: int
    sha256: str
    seconds: float
    end: float  # mono of the last picture's end
    codec: str
    width: int
    height: int


class Part:
    """A part being written. After an OSError only `cut` may follow."""

    def __init__(
        self,
        path: Path,
        first: Packet,
        label: Label,
        *,
        fragment: float,
        make_file: Callable[[Path], PlainFile] = DiskFile,
    ) -> None:
        """Begin the part with key frame `first`; fragments last `fragment` seconds.

        Raises BadBitstreamError when no decoder could start at `first`, OSError when the disk refuses.
        """
        self.label = label
        self._path = path
        self._codec = first.stream.codec
        self._sets = in_band_sets(first.stream, first.data) or parameter_sets(first.stream)
        self._retimer = Retimer()
        self._seconds = self._whole = self._kept = 0.0  # all, handed to the disk in whole fragments, synced
        template, picture = _probe(first, self._sets)
        self._width, self._height = picture.width, picture.height
        with template:
            self._file = make_file(path)
            self._out = _Hashed(self._file)
            self._muxer = av.open(self._out, "w", format="mp4", options=_options(fragment), buffer_size=_BUFFER)
            self._muxer.metadata["comment"] = label.text()
            self._stream = self._muxer.add_stream_from_template(picture, opaque=True)
        self._stream.time_base = Fraction(1, TICKS)
        if is_record(first.stream.extradata):
            self._stream.codec_context.extradata = first.stream.extradata
        if self._codec == "hevc":
            self._stream.codec_context.codec_tag = "hvc1"  # the one that browsers and Apple play

    @property
    def seconds(self) -> float:
        """How long the part is by now."""
        return self._seconds

    def continues_with(self, packet: Packet) -> bool:
        """Return whether key frame `packet` can be decoded with the parameter sets of this part's header."""
        return in_band_sets(packet.stream, packet.data) in {b"", self._sets}

    def write(self, packet: Packet) -> None:
        """Append a packet; `sync` makes the fragments last that are complete by then.

        Raises OSError from the disk, BadBitstreamError when the packet is damaged.
        """
        time = self._retimer.time(packet)
        unit = av.Packet(packet.data)
        unit.stream, unit.time_base, unit.is_keyframe = self._stream, Fraction(1, TICKS), packet.key
        unit.pts, unit.dts, unit.duration = time.pts, time.dts, time.duration
        before, size = self._seconds, self._out.size
        try:
            self._muxer.mux(unit)
        except av.error.InvalidDataError as error:
            raise BadBitstreamError(f"the muxer refuses a packet: {error}") from error
        self._seconds = (time.dts + time.duration) / TICKS
        if self._out.size > size:
            self._whole = before

    def sync(self) -> None:
        """Make what was written last, if anything is new; OSError from the disk.

        Once for many packets: a disk that takes half a second for it still keeps up with the camera.
        """
        if self._whole > self._kept:
            self._sync(self._whole)

    def seal(self) -> Sealed:
        """Write what the muxer still holds, sync and close; OSError from the disk."""
        self._muxer.close()
        self._sync(self._seconds)  # its name was, when it was made
        self._file.close()
        return self._sealed()

    def cut(self) -> Sealed | None:
        """After an OSError: keep what was synced as a shorter part; None, and no file, when nothing would play.

        What was synced is read back first: it is kept only if the disk holds it still.
        """
        self._out.deaf = True
        with contextlib.suppress(av.error.FFmpegError):  # it still remembers the error
            self._muxer.close()
        if not self._is_held():
            self._kept = 0.0
        if self._kept > 0.0:
            self._file.truncate(self._out.synced)
        self._file.close()
        if self._kept <= 0.0:
            self._path.unlink()
        sync_directory(self._path.parent)  # ext4 and XFS write the truncation's journal entry with it
        return self._sealed() if self._kept > 0.0 else None

    def _is_held(self) -> bool:
        """Return whether the disk gives back what was synced; the pages of a failed write are clean and so dropped."""
        digest, left = hashlib.sha256(), self._out.synced
        try:
            with self._path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                while left and (data := file.read(min(left, _BUFFER))):
                    digest.update(data)
                    left -= len(data)
        except OSError:
            return False
        return digest.hexdigest() == self._out.digest

    def _sync(self, seconds: float) -> None:
        """Make what was written last: the part's first `seconds`."""
        self._out.sync()
        self._kept = seconds
        label = self.label
        log.debug("fragment synced", incident=label.incident, part=label.part, seconds=round(seconds, 3))

    def _sealed(self) -> Sealed:
        return Sealed(
            path=self._path,
            label=self.label,
            size=self._out.synced,
            sha256=self._out.digest,
            seconds=self._kept,
            end=self.label.start.mono + self._kept,
            codec=self._codec,
            width=self._width,
            height=self._height,
        )


class _Hashed:
    """What the muxer writes to: counts and hashes on the way, and remembers both as of the last sync."""

    def __init__(self, file: PlainFile) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = self.synced = 0
        self.digest = self._hash.hexdigest()
        self.deaf = False  # after an error: swallow what the muxer still wants to be rid of

    def write(self, data: bytes) -> int:
        if not self.deaf:
            self._file.write(data)
            self._hash.update(data)
            self.size += len(data)
        return len(data)

    def sync(self) -> None:
        self._file.sync()
        self.synced, self.digest = self.size, self._hash.hexdigest()


def _options(fragment: float) -> dict[str, str]:
    return {
        "movflags": "empty_moov+default_base_moof",
        "frag_duration": str(round(fragment * 1_000_000)),
        "flush_packets": "1",
    }


def _probe(first: Packet, sets: bytes) -> tuple[InputContainer, VideoStream]:
    """Let libavformat read the first picture: it knows profile, size and reordering when the camera does not say."""
    data = sets + to_annex_b(first.stream, first.data)
    try:
        container = av.open(io.BytesIO(data), "r", format=first.stream.codec)
    except av.error.FFmpegError as error:
        raise BadBitstreamError(f"the key frame can't be read: {error}") from error
    picture = container.streams.video[0]
    if not (sets and picture.width and picture.height):
        container.close()
        raise BadBitstreamError("the key frame comes without the parameter sets that a decoder needs")
    return container, picture
