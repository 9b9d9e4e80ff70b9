"""Hostile input: configurations, messages, requests, and videos that were made to hurt their reader."""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edged.base.clock import SystemClock
from edged.base.config import load
from edged.base.errors import CameraError, ConfigError
from edged.capture.settings import CameraSettings
from edged.capture.stream import StreamCamera
from edged.receiver.app import serve
from edged.receiver.settings import ReceiverConfig
from edged.record.mp4 import contents
from edged.settings import DeviceConfig
from edged.supervise.http import StatusServer
from edged.supervise.settings import HttpSettings, SuperviseSettings
from edged.wire import faults, heartbeat, manifest, receipt
from tests.capture.clips import make_clip, read_all
from tests.receiver.raw import Wire
from tests.record.test_mp4 import ends, sample
from tests.supervise.samples import MemoryBoard

if TYPE_CHECKING:
    from tests.simloop import SimClock, Simulate

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = [
    (DeviceConfig, (REPOSITORY / "config/edged.toml").read_text().replace("\n#", "\n")),
    (ReceiverConfig, (REPOSITORY / "config/receiver.toml").read_text().replace("\n#", "\n")),
]

# ------------------------------------------------------------------------------------------------- configuration

DEVICE = "[device]\nname = 'x'\n"
HOSTILE = [
    (b"a = " + b"[" * 5000, "nested too deeply"),
    (b"a = " + b"{a=" * 3000, "nested too deeply"),
    (b"a = " + b"9" * 5000, "not valid TOML"),
    (b"\xff\xfe", "not valid TOML"),
    (b"name = '\x00'", "not valid TOML"),
    ((DEVICE + "state = '~nobody-at-all/x'").encode(), "device.state: .* whom this machine does not know"),
    ((DEVICE + 'state = "/tmp/\\u0000"').encode(), "device.state: .* is no path"),
    ((DEVICE + "[push]\nheartbeat = '99999999d'").encode(), "push.heartbeat: .* more than 100 years"),
    ((DEVICE + f"[outbox]\nquota = '{'9' * 400}GB'").encode(), "outbox.quota: .* larger than anything"),
    ((DEVICE + "timezone = '../../etc/passwd'").encode(), "timezone"),
    ((DEVICE + "timezone = '" + "a" * 5000 + "'").encode(), "timezone"),
]


@pytest.mark.parametrize(("text", "words"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_configuration_is_told_in_one_sentence(tmp_path: Path, text: bytes, words: str) -> None:
    """What no person would write is refused like a typing mistake, and not by a traceback."""
    path = tmp_path / "edged.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=words):
        load(path, DeviceConfig)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), which=st.sampled_from(EXAMPLES))
def test_a_spoiled_configuration_loads_or_is_refused(
    tmp_path: Path, data: st.DataObject, which: tuple[type[DeviceConfig | ReceiverConfig], str]
) -> None:
    """Whatever is cut out of a configuration and put in its place, the loader says what is wrong, or takes it."""
    section, text = which
    at = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.integers(0, 40))
    path = tmp_path / "spoiled.toml"
    path.write_text(text[:at] + data.draw(st.text(max_size=20)) + text[at + gone :], encoding="utf-8")
    with contextlib.suppress(ConfigError):
        load(path, section)


# ------------------------------------------------------------------------------------------------- the wire's readers

BRACKETS = [b'{"x":' + b"[" * 3000, b'{"x":' + b'{"a":' * 1000, b'{"x":' + b"[" * 2000 + b"]" * 2000 + b"}"]


@pytest.mark.parametrize("body", BRACKETS, ids=range(len(BRACKETS)))
def test_thousands_of_brackets_are_no_message(body: bytes) -> None:
    """Nesting that would exhaust the reader's stack is refused like any other nonsense."""
    with pytest.raises(faults.FaultError):
        heartbeat.parse(body)
    with pytest.raises(faults.FaultError):
        manifest.parse(body)
    with pytest.raises(receipt.BadReceiptError):
        receipt.from_json(body[:4000])
    assert heartbeat.answer_from_json(body) is None
    assert faults.from_json(409, body).fault is faults.OFFSET


# ------------------------------------------------------------------------------------------------- requests without end

HALVES = [
    (b"GET /probe HTTP/1.1\r\nHost: a\r\nX: ", 75.0, b""),
    (b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\na=1", 120.0, b"HTTP/1.1 408"),
    (b"POST /heartbeat HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", 120.0, b"HTTP/1.1 408"),
]


@pytest.mark.parametrize(("half", "after", "begins"), HALVES, ids=range(len(HALVES)))
def test_a_request_that_never_ends_is_given_up(
    simulate: Simulate, state_dir: Path, half: bytes, after: float, begins: bytes
) -> None:
    """A receiver keeps neither a half head nor a body that was announced and does not come."""

    async def scene(clock: SimClock) -> None:
        config = ReceiverConfig(state=state_dir, public_url="http://127.0.0.1:1", listen="127.0.0.1:0")
        async with serve(config, clock) as receiver:
            began = clock.mono()
            wire = await Wire.open(receiver.port)
            await wire.send(half)
            answer = await wire.answer()
            await wire.close()
            assert answer.startswith(begins)
            assert after - 1 <= clock.mono() - began < after + 10

    simulate(scene)


# ------------------------------------------------------------------------------------------------- the device's page

PLAIN = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
TO_THE_PAGE = [
    b"\x16\x03\x01\x02\x00\x01",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n",
    b"GET /\xff\xfe" + PLAIN + b"\r\n",
    b"GET /incidents/%ff%ed%a0%80" + PLAIN + b"\r\n",
    b"GET /incidents/" + b"a" * 9000 + PLAIN + b"\r\n",
    b"GET /media/clip/..%2f..%2fedged.mp4" + PLAIN + b"\r\n",
    b"GET /pictures/%00.jpg" + PLAIN + b"\r\n",
    b"GET /static/..%2fhttp.py" + PLAIN + b"\r\n",
    b"GET /events?incident=%ff" + PLAIN + b"\r\n",
    b"GET /health" + PLAIN + b"If-Modified-Since: Mon, 01 Jan 99999999999999 00:00:00 GMT\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: \xff\r\nConnection: close\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    b"POST /health" + PLAIN + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("asked", TO_THE_PAGE, ids=range(len(TO_THE_PAGE)))
async def test_nonsense_asked_of_the_devices_page(caplog: pytest.LogCaptureFixture, asked: bytes) -> None:
    """It is refused as the client's mistake, and fills no log with stacks."""
    server = StatusServer(MemoryBoard(), HttpSettings(listen="127.0.0.1:0"), SuperviseSettings())
    await server.start()
    wire = await Wire.open(int(server.address.rpartition(":")[2]))
    await wire.send(asked)
    answer = await wire.answer()
    await wire.close()
    await server.stop()
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# ------------------------------------------------------------------------------------------------- hostile video


def whole_clip(folder: Path) -> bytes:
    """Return a small clip as a camera's file."""
    return make_clip(folder / "whole.mp4", frames=20).read_bytes()


def of_file(path: Path) -> CameraSettings:
    """Return the settings of a camera that reads the file at `path` as fast as it can."""
    return CameraSettings(url=str(path), speed="full")


def test_a_title_that_is_no_text_costs_no_picture(tmp_path: Path) -> None:
    """Cameras name their streams in all kinds of alphabets; the pictures are taken all the same."""
    clip = whole_clip(tmp_path)
    path = tmp_path / "titled.mp4"
    path.write_bytes(clip.replace(b"VideoHandler", b"Video\xff\xfe\x80\xffler"))
    assert path.read_bytes() != clip
    packets, _ = read_all(of_file(path))
    assert packets


def test_video_of_an_unknown_kind_is_told(tmp_path: Path) -> None:
    """A stream that nothing here can decode is a sentence about the camera."""
    path = tmp_path / "unknown.mp4"
    path.write_bytes(whole_clip(tmp_path).replace(b"avc1", b"\x00\xff\x01\x02"))
    camera = StreamCamera("door", of_file(path), password="", clock=SystemClock(), epochs=itertools.count(1))
    with pytest.raises(CameraError, match="of a kind that is not known here"):
        camera.open()


def box(kind: bytes, content: bytes) -> bytes:
    """Return an MP4 box."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def test_a_clip_of_empty_samples_is_not_believed() -> None:
    """A fragment of a hundred bytes that claims a hundred thousand samples: a small file of them filled the memory."""
    samples = box(b"trun", struct.pack(">IIi", 1, 100_000, 0))  # no sizes: the default of tfhd, none
    head = box(b"tfhd", struct.pack(">III", 16, 1, 0)) + box(b"tfdt", struct.pack(">II", 0, 0))
    length = len(box(b"moof", box(b"traf", head + samples)))
    run = box(b"trun", struct.pack(">IIi", 1, 100_000, length + 8))
    bomb = (box(b"moof", box(b"traf", head + run)) + box(b"mdat", b"")) * 3
    whole, _ = sample()
    data = whole[: ends(whole)[0]] + bomb
    assert contents(io.BytesIO(data), len(data)).fragments == 0


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_spoiled_video_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever stands in a file, its reader passes on what is whole, or says that it can't read it."""
    folder = tmp_path_factory.mktemp("video")
    clip = whole_clip(folder)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(clip)))
        gone = data.draw(st.integers(0, 30))
        clip = clip[:at] + data.draw(st.binary(max_size=30)) + clip[at + gone :]
    path = folder / "spoiled.mp4"
    path.write_bytes(clip)
    with contextlib.suppress(CameraError):
        read_all(of_file(path))
