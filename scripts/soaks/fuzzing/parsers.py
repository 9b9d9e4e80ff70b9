"""Edged's readers of files and messages, fed with spoiled ones, in a process of their own that may hang or fall.

Run as `python -m scripts.soaks.fuzzing.parsers SEED COUNT FOLDER`: prints a line of JSON for each input that a reader
did not take as it should (it returns, or raises what its docstring names), and last {"done": COUNT, "memory": bytes}.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import resource
import shutil
import sys
import time
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import structlog

from edged.base import config, secret, units, week
from edged.base.clock import SystemClock
from edged.base.errors import CameraError, EdgedError
from edged.capture.settings import CameraSettings
from edged.capture.stream import StreamCamera
from edged.model import Packet, StreamInfo
from edged.outbox import sidecar
from edged.outbox.spool import Spool
from edged.outbox.store import open_outbox
from edged.receiver.settings import ReceiverConfig
from edged.record import mp4, nal
from edged.record.clip import read_label
from edged.record.salvage import salvage
from edged.record.snapshot import NoPictureError, still
from edged.settings import DeviceConfig
from edged.wire import faults, heartbeat, manifest, receipt, signing, tus
from scripts.soaks.fuzzing import requests
from scripts.soaks.fuzzing.mutate import garbage, mutated
from tests.record.footage import packets
from tests.record.stage import DESTINATIONS
from tests.record.test_salvage import crash
from tests.simloop import run_simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SLOW = 10.0  # seconds that one input may take; generous, for the machine may be busy
_HALF, _MOSTLY = 0.5, 0.8  # how often, of 1.0
_HEX = 2000  # characters of an input that are told; all of it is in the folder
_ROOT = Path(__file__).parents[3]


class Bench:
    """The readers, each a method that makes a spoiled input of its own, keeps it in `last`, and reads it."""

    def __init__(self, rng: Random, folder: Path) -> None:
        self.rng = rng
        self.folder = folder
        self.last = b""
        self._units = packets(seconds=3.0)
        self._crashed = folder / "crashed"
        self._crashed.mkdir(mode=0o700)
        run_simulated(lambda clock: crash(clock, self._crashed, seconds=6.0))
        self._clip = next(self._crashed.glob("clips/*/*/part-*")).read_bytes()
        examples = [(_ROOT / "config" / name).read_bytes() for name in ("edged.toml", "receiver.toml")]
        self._examples = [text.replace(b"\n#", b"\n") for text in examples]

    def readers(self) -> Sequence[Callable[[], None]]:
        """Return all of them; those that cost most come least often."""
        cheap = (self.clip, self.units, self.messages, self.texts, self.configuration, self.sidecar)
        return (*cheap * 4, self.picture, self.picture, self.camera, self.spool)

    def clip(self) -> None:
        """A clip that a crash, a card or a person has spoiled."""
        data = self._spoiled(self._clip)
        with contextlib.suppress(mp4.BadFileError):
            read_label(mp4.contents(io.BytesIO(data), len(data)).comment)

    def units(self) -> None:
        """Access units and configuration records of a camera that sends garbage."""
        unit = self.rng.choice(self._units)
        stream = self._stream(
            self._spoiled(unit.stream.extradata) if self.rng.random() < _HALF else unit.stream.extradata
        )
        for read in (nal.in_band_sets, nal.to_annex_b):
            with contextlib.suppress(nal.BadBitstreamError):
                read(stream, self._spoiled(unit.data))
        with contextlib.suppress(nal.BadBitstreamError):
            nal.parameter_sets(stream)

    def picture(self) -> None:
        """A snapshot from packets of which some are spoiled."""
        units = [self._packet(unit) for unit in self._units[: self.rng.randint(1, 10)]]
        with contextlib.suppress(NoPictureError):
            still(units, width=160, quality=80)

    def camera(self) -> None:
        """A source of garbage, demuxed, decoded and passed on."""
        path = self.folder / "source.mp4"
        path.write_bytes(self._spoiled(self._clip))
        settings = CameraSettings(url=str(path), speed="full")
        source = StreamCamera("door", settings, password="", clock=SystemClock(), epochs=iter(range(1, 1000)))
        with contextlib.suppress(CameraError):
            source.open()
            for _ in source.read():
                pass
        source.close()

    def messages(self) -> None:
        """Messages of the wire, as either side reads them."""
        beat = b'{"version":"1","time":1,"synced":true,"boot":"b","sequence":1,"gaps":[]}'
        proof = b'{"key":"k","size":1,"sha256":"' + b"0" * 64 + b'","proof":"signed","issued":1.5,"receiver":"r"}'
        with contextlib.suppress(faults.FaultError):
            manifest.parse(self._spoiled(requests.msg(self.rng)))
        with contextlib.suppress(faults.FaultError):
            heartbeat.parse(self._spoiled(beat))
        with contextlib.suppress(receipt.BadReceiptError):
            receipt.verify(receipt.from_json(self._spoiled(proof)), "key")
        heartbeat.answer_from_json(self._spoiled(b'{"time": 1.5, "sequence": 4}'))
        faults.from_json(409, self._spoiled(b'{"error": "offset", "text": "t", "detail": "d", "retry": true}'))

    def texts(self) -> None:
        """Headers and values of settings."""
        readers: Sequence[tuple[Callable[[str], object], bytes]] = (
            (tus.parse_metadata, b"filename YS50eHQ=,filetype dGV4dC9wbGFpbg==,empty"),
            (signing.parse_authorization, b"Edged device=shop,time=1800000000,signature=" + b"0" * 64),
            (receipt.from_header, b"eyJrZXkiOiAiayJ9"),
            (units.Duration.parse, b"30s"),
            (units.Size.parse, b"20GB"),
            (units.Rate.parse, b"2Mbit/s"),
            (units.Share.parse, b"10%"),
            (week.parse_span, b"mo-fr 08:00-18:00"),
            (
                read_label,
                b'{"incident":"a","camera":"c","part":1,"start":{"wall":1,"mono":1,"boot":"b","synced":true}}',
            ),
        )
        for read, good in readers:
            with contextlib.suppress(ValueError, EdgedError):
                read(self._spoiled(good).decode("utf-8", "surrogateescape"))

    def configuration(self) -> None:
        """A configuration file, and a file that should hold a secret."""
        path = self.folder / "edged.toml"
        path.write_bytes(self._spoiled(self.rng.choice(self._examples)))
        with contextlib.suppress(EdgedError):
            config.load(path, self.rng.choice((DeviceConfig, ReceiverConfig)))
        path.chmod(0o600)
        with contextlib.suppress(EdgedError):
            secret.reveal(secret.Secret("file", str(path)), "key")

    def sidecar(self) -> None:
        """A sidecar, read as if the database were lost."""
        (written,) = self._crashed.glob("clips/*/*/incident.json")
        with contextlib.suppress(sidecar.BadSidecarError):
            sidecar.from_json(self._spoiled(written.read_bytes()), self.folder)

    def spool(self) -> None:
        """A state directory with some files spoiled, opened as the next run does, with its database or without."""
        state = self.folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(self._crashed, state)
        held = sorted(path for path in state.glob("clips/*/*/*") if path.is_file())
        for path in self.rng.sample(held, self.rng.randint(1, len(held))):
            path.write_bytes(self._spoiled(path.read_bytes()))
        if self.rng.random() < _MOSTLY:
            for path in state.glob("outbox.db*"):
                path.unlink()
        asyncio.run(_salvaged(state))

    def _spoiled(self, good: bytes) -> bytes:
        self.last = mutated(self.rng, good, (self._clip, good)) if self.rng.random() < _MOSTLY else garbage(self.rng)
        return self.last

    def _stream(self, extradata: bytes) -> StreamInfo:
        codec = self.rng.choice(("h264", "hevc"))
        whole = Fraction(1, 1000)
        return StreamInfo(
            camera="c", epoch=1, codec=codec, extradata=extradata, width=160, height=96, time_base=whole, rate=10.0
        )

    def _packet(self, unit: Packet) -> Packet:
        data = self._spoiled(unit.data) if self.rng.random() < _HALF else unit.data
        return Packet(
            stream=unit.stream, data=data, pts=unit.pts, dts=unit.dts, duration=unit.duration, key=unit.key, mono=0.0
        )


async def _salvaged(state: Path) -> None:
    outbox = await open_outbox(state / "outbox.db", SystemClock())
    try:
        await salvage(outbox, Spool(state), DESTINATIONS)
        for incident in await outbox.incidents():
            await sidecar.refresh(outbox, incident.id)
    finally:
        await outbox.close()


def main(
    seed: int,
    count: int,
    folder: Path,
    readers_of: Callable[[Bench], Sequence[Callable[[], None]]] = Bench.readers,
) -> None:
    """Read `count` inputs."""
    bench = Bench(Random(seed), folder)
    readers = readers_of(bench)
    for number in range(count):
        read = bench.rng.choice(readers)
        began, wrong = time.monotonic(), ""
        try:
            read()
        except Exception as error:  # noqa: BLE001 -- whatever a reader does not announce is what is looked for
            wrong = f"{type(error).__name__}: {error}"[:300]
        if time.monotonic() - began > _SLOW:
            wrong = wrong or f"it took {time.monotonic() - began:.0f} s"
        if wrong:
            (folder / f"input-{number}").write_bytes(bench.last)
            print(json.dumps({"reader": read.__name__, "wrong": wrong, "input": bench.last.hex()[:_HEX]}), flush=True)
    print(json.dumps({"done": count, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    logging.disable()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
