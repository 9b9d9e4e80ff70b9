"""The recorder: one per camera, it turns the detector's transitions and the camera's packets into files and rows.

Everything that blocks runs on the recorder's own writer thread; stills are decoded beside it, so that neither waits for
the other. What follows for the outbox goes through `Entries`, in its order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from edged.base.clock import stamp_at
from edged.model import EventKind, Incident
from edged.record.entries import Entries
from edged.record.recording import Recording
from edged.record.ring import Ring
from edged.record.snapshot import NoPictureError, still
from edged.record.stills import Stills
from edged.record.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.base.pulse import Pulse
    from edged.model import Event, Packet
    from edged.outbox.nouns import AlertRules
    from edged.outbox.policy import Destinations
    from edged.outbox.spool import Spool
    from edged.outbox.store import Outbox
    from edged.record.ring import Haul
    from edged.record.settings import RecordSettings
    from edged.record.tape import Outcome

log = structlog.get_logger(__name__)
T = TypeVar("T")

_PERIOD = 0.2  # seconds between two visits to the ring while recording: few hops between threads, little delay
_DECODED = 150  # packets at most for one still: a second or two on a Pi
_IDLE = 1.0  # seconds between two steps while nothing is recorded


class Recorder:
    """Records one camera. `offer` belongs to the camera's thread, all else to the event loop."""

    def __init__(
        self,
        camera: str,
        settings: RecordSettings,
        *,
        outbox: Outbox,
        spool: Spool,
        clock: Clock,
        destinations: Destinations,
        rules: AlertRules,
        alerting: Callable[[Incident], str] = lambda _: "",
        has_room: Callable[[], bool] = lambda: True,
        on_commit: Callable[[Incident], None] = lambda _: None,
    ) -> None:
        """Make a recorder; `alerting` says why an incident raises no alert ("" when it does).

        `has_room` is asked before each part (False: snapshots only); `on_commit` is told of each incident entered.
        """
        self.camera = camera
        self._settings = settings
        self._spool = spool
        self._clock = clock
        self._alerting = alerting
        self._has_room = has_room
        self._ring = Ring(horizon=settings.pre_roll + settings.margin, cap=settings.ring, backlog=settings.backlog)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"record-{camera}")
        self._stills = Stills(settings, clock, self._on_writer, self._directory)
        self._entries = Entries(
            camera,
            outbox=outbox,
            clock=clock,
            destinations=destinations,
            rules=rules,
            on_commit=on_commit,
            on_writer=self._on_writer,
        )
        self._job: asyncio.Future[Any] | None = None  # the writer's newest
        self._unwritten: list[Packet] = []  # taken from the ring, not yet with the writer
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._working = asyncio.Lock()
        self._stopped = False
        self._recording: Recording | None = None
        self._successor: Recording | None = None  # a continuation that begins at the next key frame

    @property
    def incident(self) -> Incident | None:
        """The incident that is being recorded."""
        return None if self._recording is None else self._recording.incident

    @property
    def refused(self) -> str:
        """Why the pictures of the incident are not being kept now, "" while they are."""
        return "" if self._recording is None else self._recording.tape.refused

    @property
    def waiting(self) -> int:
        """How many rows the outbox has not taken yet; more than a few for long means that it refuses."""
        return self._entries.waiting

    def adopt(self, destinations: Destinations, rules: AlertRules) -> None:
        """Deliver there, and alert by these rules, what is entered from now on."""
        self._entries.adopt(destinations, rules)

    def offer(self, packet: Packet) -> None:
        """Take the camera's next packet; thread-safe, never blocks for I/O."""
        self._ring.offer(packet)

    async def picture(self, *, newer_than: float, width: int) -> bytes | None:
        """Return the newest key frame as a colour JPEG, None when it is not `newer_than` (mono) or can't be decoded."""
        packets = self._ring.picture(self._clock.mono())[:1]
        return await self._jpeg(packets, width) if packets and packets[0].mono >= newer_than else None

    async def still(self, *, newer_than: float) -> bytes | None:
        """Return the newest picture as a colour JPEG in the stream's own size, None as for `picture`.

        Of a stream with rare key frames it is the newest of these: all since then would have to be decoded.
        """
        packets = self._ring.picture(self._clock.mono())
        if not packets or packets[-1].mono < newer_than:
            return None
        rare = len(packets) > _DECODED
        return await self._jpeg(packets[:1] if rare else packets, packets[0].stream.width)

    async def _jpeg(self, packets: tuple[Packet, ...], width: int) -> bytes | None:
        try:
            picture = await asyncio.to_thread(still, packets, width=width, quality=self._settings.snapshot_quality)
        except NoPictureError:
            return None
        return picture.jpeg

    async def handle(self, event: Event) -> None:
        """Take a transition of this camera's incident machine."""
        self._events.append(event)
        self._wake.set()

    async def run(self, pulse: Pulse) -> None:
        """Repeat `step` until `stop`."""
        while not self._stopped:
            await self.step()
            pulse.beat()

    async def step(self) -> None:
        """Wait for a transition or for the next visit to the ring; then write, and enter what is due."""
        await self._wait()
        async with self._working:
            if not self._stopped:
                await self._take_events()
                await self._record()
                await self._entries.work()

    async def stop(self) -> None:
        """Seal, close and enter everything that is open, once the step under way is done; `run` ends by itself."""
        async with self._working:
            await self._take_events()
            while self._recording is not None:
                await self._finish(self._recording)
            await self._entries.work(urgent=True)
            self._stopped = True
            self._wake.set()
            self._writer.shutdown(wait=False)

    # ------------------------------------------------------------------------------------------------ transitions

    async def _wait(self) -> None:
        self._wake.clear()
        if not self._events:
            # not wait_for: until Python 3.12 it swallows a cancellation that comes together with the event
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE if self._recording is None else _PERIOD):
                    await self._wake.wait()

    async def _take_events(self) -> None:
        while self._events:
            await self._on(self._events[0])
            self._events.popleft()  # only now: a step that is cancelled in between takes it again

    async def _on(self, event: Event) -> None:
        if event.kind is EventKind.OPENED:
            await self._open(event)
            return
        recording = self._of(event.incident)
        if recording is None:
            log.warning("transition of an incident that is not recorded", incident=event.incident, camera=self.camera)
            return
        recording.note_best(event.score, self._ring.picture(event.best))
        if added := recording.add_zones(event.zones):
            self._entries.extend(recording.incident, added)
        if event.kind is EventKind.CLOSED:
            recording.closed = stamp_at(self._clock, event.mono)
            recording.until = max(event.mono, event.keep_until)

    def _of(self, incident: str) -> Recording | None:
        known = (self._recording, self._successor)
        return next((recording for recording in known if recording and recording.incident.id == incident), None)

    async def _open(self, event: Event) -> None:
        follows = self._of(event.continues) if event.continues else None
        while self._recording is not None and self._recording is not follows:
            await self._finish(self._recording)
        if self._recording is None:
            self._ring.tap(event.mono - (0.0 if event.continues else self._settings.pre_roll))
        recording = self._recording_of(event)
        snapshot = await self._stills.first(recording)
        self._entries.open(recording.incident, snapshot)
        if self._recording is None:
            self._recording = recording
        else:
            self._successor = recording

    def _recording_of(self, event: Event) -> Recording:
        incident = Incident(
            id=event.incident,
            camera=self.camera,
            kind=event.cause,
            zones=event.zones,
            opened=stamp_at(self._clock, event.mono),
            continues=event.continues,
        )
        held = "continuation" if event.continues else self._alerting(incident)
        incident = replace(incident, alerting=not held, held=held)
        tape = Tape(
            partial(self._directory, incident),
            incident=incident.id,
            camera=self.camera,
            settings=self._settings,
            clock=self._clock,
            has_room=self._has_room,
        )
        best = self._ring.picture(event.best)
        now = self._clock.mono()
        return Recording(incident=incident, tape=tape, newest=now, heard=now, score=event.score, best=best)

    # ---------------------------------------------------------------------------------------------------- packets

    async def _record(self) -> None:
        recording = self._recording
        if recording is None:
            return
        await self._writer_idle()
        await self._write(recording, self._ring.take())
        await self._stills.late(recording, self._entries.snapshot)
        now = self._clock.mono()
        if recording.silent(now, self._settings.silence):
            recording.paused = True
            await self._on_tape(recording, recording.tape.seal)
        handing_over = self._successor is not None and not recording.paused
        if recording is self._recording and recording.over(now, self._settings.silence) and not handing_over:
            await self._finish(recording)

    async def _write(self, recording: Recording, haul: Haul) -> None:
        """Write what the ring held, up to the post-roll's end or the key frame with which a continuation begins."""
        for hole in haul.holes:
            self._entries.gap(hole.start, hole.end, hole.reason)
        self._unwritten += recording.wanted(haul.packets) if self._successor is None else haul.packets
        cut = len(self._unwritten)
        if self._successor is not None:
            since = self._successor.incident.opened.mono
            cut = next((i for i, packet in enumerate(self._unwritten) if packet.key and packet.mono >= since), cut)
        await self._append(recording, cut)
        if self._successor is not None and self._unwritten:
            recording = await self._close(recording) or recording
            await self._append(recording, len(self._unwritten))

    async def _append(self, recording: Recording, count: int) -> None:
        """Write the first `count` of the packets that wait; with the writer before anything can come between."""
        packets, self._unwritten = self._unwritten[:count], self._unwritten[count:]
        if packets:
            recording.newest, recording.paused = max(recording.newest, packets[-1].mono), False
            recording.heard = self._clock.mono()
            await self._on_tape(recording, partial(recording.tape.write, packets))

    async def _on_tape(self, recording: Recording, work: Callable[[], Sequence[Outcome]]) -> None:
        # the thread leaves the outcomes with the recording: a step cancelled meanwhile does not lose them
        await self._on_writer(lambda: recording.outcomes.extend(work()))
        self._entries.outcomes(recording)

    async def _finish(self, recording: Recording) -> None:
        """Write what still waits and close; a continuation takes over."""
        await self._writer_idle()
        await self._write(recording, self._ring.untap() if self._successor is None else self._ring.take())
        if recording is self._recording:
            await self._close(recording)

    async def _close(self, recording: Recording) -> Recording | None:
        """Seal and close; return the continuation, which is the recording from now on."""
        await self._on_writer(lambda: recording.outcomes.extend(recording.tape.finish()))
        # entered before the last part, which then goes out labelled as the last one
        self._entries.close(recording.incident, recording.closed or stamp_at(self._clock, recording.newest))
        self._entries.outcomes(recording)
        self._recording, self._successor = self._successor, None
        await self._stills.late(recording, self._entries.snapshot, wait=True)
        await self._stills.better(recording, self._entries.snapshot)
        return self._recording

    async def _on_writer(self, work: Callable[[], T]) -> T:
        job = asyncio.get_running_loop().run_in_executor(self._writer, work)
        self._job = job
        return await asyncio.shield(job)

    async def _writer_idle(self) -> None:
        """Wait for the writer, so that packets stay in the ring, where they are bounded, while the disk hangs."""
        if self._job is not None:
            await asyncio.wait((self._job,))

    def _directory(self, incident: Incident) -> Path:
        return self._spool.incident_directory(incident.id, incident.opened.wall)
