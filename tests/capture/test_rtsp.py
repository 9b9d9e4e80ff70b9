from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from edged.base.clock import SystemClock
from edged.base.config import Duration
from edged.base.errors import CameraError
from edged.base.handover import Latest
from edged.base.pulse import Pulse
from edged.capture.backend import backend
from edged.capture.loop import CaptureLoop
from edged.capture.settings import CameraSettings
from edged.capture.source import display_name, open_source, with_password
from tests.capture.clips import make_clip
from tests.capture.test_loop import Ledger, no_reset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from edged.model import Frame, Packet

SERVER = Path(__file__).parents[1] / "rtsp_server.py"
PYTHON = "/usr/bin/python3"  # the one that Debian's GStreamer bindings belong to


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute with a key frame every two seconds."""
    path = tmp_path_factory.mktemp("rtsp") / "a.mp4"
    return make_clip(path, frames=600, options={"tune": "zerolatency", "preset": "ultrafast", "g": "20"})


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of a smaller picture in HEVC with B-frames."""
    path = tmp_path_factory.mktemp("rtsp") / "b.mp4"
    options = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=20:bframes=2"}
    return make_clip(path, "libx265", size=(80, 60), frames=600, options=options)


@asynccontextmanager
async def serving(port: int, codec: str, path: Path, *login: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the RTSP server until the block ends."""
    server = await asyncio.create_subprocess_exec(
        PYTHON, str(SERVER), str(port), codec, str(path), *login, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    assert await server.stdout.readline() == b"ready\n"
    try:
        yield server
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


class Watched:
    """A capture loop on a real stream, with what it gave."""

    def __init__(self, settings: CameraSettings, password: str = "") -> None:
        self.clock = SystemClock()
        self.ledger = Ledger()
        self.packets: list[Packet] = []
        self.frames: list[Frame] = []
        self._place: Latest[Frame] = Latest()
        self.loop = CaptureLoop(
            "cam",
            backend("cam", settings, password=password, clock=self.clock),
            settings,
            self.clock,
            on_packet=self.packets.append,
            frames=self._place,
            open_gap=self.ledger.open_gap,
            close_gap=self.ledger.close_gap,
            ask_reset=no_reset,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Watched]:
        """Run it until the block ends."""
        pulse = Pulse("cam", 60.0, self.clock)
        tasks = [asyncio.create_task(self.loop.run(pulse)), asyncio.create_task(self._collect())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.loop.stop()

    async def until(self, true: Callable[[], bool], seconds: float) -> None:
        """Wait until something is true; TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.02)

    def well(self) -> bool:
        """Return whether pictures come."""
        return self.loop.health.delivering

    def ill(self) -> bool:
        """Return whether an outage is noticed."""
        return not self.loop.health.delivering

    async def _collect(self) -> None:
        while True:
            self.frames.append(await self._place.get())


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_the_first_picture_of_a_stream_is_a_key_frame_and_comes_at_once(
    clip: Path, free_port: int, transport: Literal["tcp", "udp"]
) -> None:
    """The key frame read while the stream was probed is there: recording and analysis begin with it."""
    async with serving(free_port, "h264", clip):
        watched = Watched(CameraSettings(url=f"rtsp://127.0.0.1:{free_port}/cam", transport=transport))
        async with watched.running():
            await watched.until(lambda: len(watched.frames) >= 10, 10)
    first = watched.packets[0]
    assert first.key
    assert (first.stream.codec, first.stream.width, first.stream.height) == ("h264", 160, 120)
    assert first.stream.extradata
    assert (watched.frames[0].pts - first.pts) * first.stream.time_base < 1.0  # the next key frame is two seconds off
    assert [packet.dts for packet in watched.packets] == sorted({packet.dts for packet in watched.packets})
    assert {packet.stream.epoch for packet in watched.packets} == {1}
    assert watched.ledger.entries == []


async def test_a_stopped_server_is_noticed_and_its_return_too(clip: Path, free_port: int) -> None:
    """SIGSTOP is noticed within 10 s, the stream is back within 3 s of SIGCONT and the ladder's wait: one gap."""
    async with serving(free_port, "h264", clip) as server:
        watched = Watched(CameraSettings(url=f"rtsp://127.0.0.1:{free_port}/cam"))
        async with watched.running():
            await watched.until(watched.well, 10)
            server.send_signal(signal.SIGSTOP)
            stopped = watched.clock.mono()
            await watched.until(watched.ill, 10)
            await watched.until(lambda: watched.loop.health.rung > 0, 10)
            server.send_signal(signal.SIGCONT)
            await watched.until(watched.well, 1 + 3)  # the first rung waits 1 s
            back = watched.clock.mono()
    ((start, end, reason),) = watched.ledger.entries
    assert isinstance(start, float)
    assert isinstance(end, float)
    assert abs(start - stopped) < 2.0
    assert back - 2.0 < end <= back
    assert reason in {"no picture for 5 s", f"rtsp://127.0.0.1:{free_port}/cam did not answer in time"}
    assert len({packet.stream.epoch for packet in watched.packets}) == 2


async def test_a_server_that_was_killed_and_comes_again(clip: Path, free_port: int) -> None:
    """The end of the stream is an outage at once, and the new server is found within 3 s and the ladder's wait."""
    watched = Watched(CameraSettings(url=f"rtsp://127.0.0.1:{free_port}/cam"))
    async with contextlib.AsyncExitStack() as first:  # it listens before the camera is opened, however long it starts
        server = await first.enter_async_context(serving(free_port, "h264", clip))
        async with watched.running():
            await watched.until(watched.well, 10)
            server.kill()
            await watched.until(watched.ill, 5)
            await first.aclose()
            async with serving(free_port, "h264", clip):
                await watched.until(watched.well, 1 + 3)
                await watched.loop.stop()
    assert len(watched.ledger.entries) == 1
    assert watched.ledger.entries[0][2] == "the stream has ended"


async def test_with_a_substream_nothing_else_is_decoded(clip: Path, small: Path, free_port: int) -> None:
    """Packets are the main stream's, frames the sub-stream's, and both are dated on the same clock."""
    async with serving(free_port, "h264", clip), _also(small) as substream:
        watched = Watched(CameraSettings(url=f"rtsp://127.0.0.1:{free_port}/cam", substream=substream))
        async with watched.running():
            await watched.until(lambda: sum(f.luma.shape == (60, 80) for f in watched.frames) >= 10, 10)
            count = len(watched.frames)
            await watched.until(lambda: len(watched.frames) >= count + 8, 10)
            frames, packets = watched.frames[count:], list(watched.packets)
    assert {frame.luma.shape for frame in frames} == {(60, 80)}
    assert {packet.stream.width for packet in packets} == {160}
    assert not {frame.epoch for frame in frames} & {packet.stream.epoch for packet in packets}
    assert abs(frames[-1].mono - packets[-1].mono) < 2.0


async def test_without_its_substream_the_main_stream_is_analysed(clip: Path, free_port: int) -> None:
    """A sub-stream that can't be opened costs neither recording nor detection."""
    async with serving(free_port, "h264", clip):
        settings = CameraSettings(
            url=f"rtsp://127.0.0.1:{free_port}/cam", substream=f"rtsp://127.0.0.1:{free_port}/missing"
        )
        watched = Watched(settings)
        async with watched.running():
            await watched.until(lambda: len(watched.frames) >= 10, 10)
            assert watched.well()
    assert {frame.luma.shape for frame in watched.frames} == {(120, 160)}


@asynccontextmanager
async def _also(path: Path) -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    async with serving(port, "h265", path):
        yield f"rtsp://127.0.0.1:{port}/cam"


async def test_user_and_password_are_sent_and_never_shown(small: Path, free_port: int) -> None:
    """The right password opens the stream; a wrong one is told as such, without either."""
    url = f"rtsp://cam@127.0.0.1:{free_port}/cam"
    async with serving(free_port, "h265", small, "cam", "p@ss/w:rd"):
        settings = CameraSettings(url=url)
        source = await asyncio.to_thread(open_source, settings, url, "p@ss/w:rd")
        assert source.stream.codec_context.name == "hevc"
        await asyncio.to_thread(source.container.close)
        with pytest.raises(CameraError, match="refuses the user or the password") as caught:
            await asyncio.to_thread(open_source, settings, url, "hunter2")
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None


async def test_a_mute_server_and_a_closed_port_are_told_apart(free_port: int) -> None:
    """A server that accepts and says nothing is given up in time; a closed port at once; neither shows a password."""
    url = f"rtsp://cam@127.0.0.1:{free_port}/cam"
    settings = CameraSettings(url=url, open_timeout=Duration(0.5), read_timeout=Duration(0.5))
    with pytest.raises(CameraError, match="Connection refused") as refused:
        await asyncio.to_thread(open_source, settings, url, "hunter2")
    with socket.create_server(("127.0.0.1", free_port)), pytest.raises(CameraError) as mute:
        await asyncio.to_thread(open_source, settings, url, "hunter2")
    assert "hunter2" not in f"{refused.value}{mute.value}"
    assert "cam@" not in f"{refused.value}{mute.value}"


def test_names_for_messages_hide_user_password_and_query() -> None:
    """What is shown of a URL is where it leads."""
    assert display_name("rtsp://u:p@10.0.0.2:554/live?token=x") == "rtsp://10.0.0.2:554/live"
    assert display_name("/dev/video0") == "/dev/video0"
    assert with_password("rtsp://u@h:1/x?a=b", "p@/") == "rtsp://u:p%40%2F@h:1/x?a=b"
    assert with_password("rtsp://h/x", "p") == "rtsp://h/x"
    assert with_password("/dev/video0", "") == "/dev/video0"
