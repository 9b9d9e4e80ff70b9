from __future__ import annotations

import contextlib
import socket
import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import numpy as np
import pytest

from edged.base.clock import SystemClock
from edged.base.errors import CameraError
from edged.capture.decoder import luma_plane, picture_size
from edged.capture.settings import CameraSettings
from tests.capture.clips import RATE, SIZE, make_clip, picture, read_all

if TYPE_CHECKING:
    from pathlib import Path

    from av.video.codeccontext import VideoCodecContext

    from edged.model import Frame, Packet

B_FRAMES = {"x264-params": "bframes=2:b-adapt=0:b-pyramid=none:scenecut=0:keyint=10"}


def full(path: Path, *, loop: bool = False, analysis_rate: float = 100.0) -> CameraSettings:
    """Settings of a file read at full speed."""
    return CameraSettings(url=str(path), speed="full", loop=loop, analysis_rate=analysis_rate)


def decoded(packets: list[Packet]) -> list[tuple[int, float]]:
    """Decode packets as a recorder's reader would: pts and mean difference from what was drawn, in order shown."""
    info = packets[0].stream
    context = cast("VideoCodecContext", av.CodecContext.create(info.codec, "r"))
    context.extradata = info.extradata
    shown = []
    for packet in packets:
        raw = av.Packet(packet.data)
        raw.pts, raw.dts, raw.time_base = packet.pts, packet.dts, info.time_base
        shown += context.decode(raw)
    shown += context.decode(None)
    return [
        (frame.pts or 0, float(np.abs(luma_plane(frame).astype(int) - luma_plane(picture(number))).mean()))
        for number, frame in enumerate(shown)
    ]


def assert_frames_match(frames: list[Frame], packets: list[Packet]) -> None:
    """Each frame has the pts, the epoch and the time of one packet."""
    of_packets = {(packet.stream.epoch, packet.pts): packet.mono for packet in packets}
    for frame in frames:
        assert of_packets[frame.epoch, frame.pts] == pytest.approx(frame.mono)


@pytest.mark.parametrize(
    ("codec", "name", "options"),
    [
        ("libx264", "h264", B_FRAMES),
        ("libx264", "h264", {"tune": "zerolatency", "g": "10"}),
        ("libx265", "hevc", {"x265-params": "log-level=none:keyint=10:bframes=3"}),
    ],
)
def test_h264_and_hevc_are_copied(tmp_path: Path, codec: str, name: str, options: dict[str, str]) -> None:
    """Packets are the file's own bytes with stamps and key frames, and decode to what was drawn; each has its frame."""
    path = make_clip(tmp_path / "a.mp4", codec, options=options)
    packets, frames = read_all(full(path))
    with av.open(str(path)) as container:
        raw = [(bytes(packet), packet.is_keyframe) for packet in container.demux(video=0) if packet.size]
    assert [(packet.data, packet.key) for packet in packets] == raw
    assert {(p.stream.codec, p.stream.width, p.stream.height, p.stream.epoch) for p in packets} == {(name, *SIZE, 1)}
    assert [packet.dts for packet in packets] == sorted({packet.dts for packet in packets})
    shown = decoded(packets)
    assert len(shown) == 40
    assert max(error for _, error in shown) < 5.0
    assert_frames_match(frames, packets)


def test_b_frames_do_not_disturb_the_order_of_frames(tmp_path: Path) -> None:
    """Frames come in the order shown, a picture's time apart, and all of them when the analysis wants all."""
    _, frames = read_all(full(make_clip(tmp_path / "a.mp4", options=B_FRAMES)))
    steps = np.diff([frame.mono for frame in frames])
    assert len(frames) == 40
    assert np.allclose(steps, 1 / RATE)


def test_pictures_that_no_other_needs_are_not_decoded_while_the_rest_is_enough(tmp_path: Path) -> None:
    """At three pictures a second the reference frames of a stream with two B-frames between them do."""
    path = make_clip(tmp_path / "a.mp4", options=B_FRAMES, frames=60)
    packets, frames = read_all(full(path, analysis_rate=3.0))
    reference = {packet.pts for packet in packets if packet.data[4] & 0x60}
    assert 15 <= len(frames) <= 21
    assert {frame.pts for frame in frames} <= reference | {packets[0].pts}


def test_all_pictures_are_decoded_where_the_reference_frames_are_too_few(tmp_path: Path) -> None:
    """At five pictures a second the reference frames alone (3.3) do for two seconds, then the others come too."""
    _, frames = read_all(full(make_clip(tmp_path / "a.mp4", options=B_FRAMES, frames=60), analysis_rate=5.0))
    later = [frame.mono - frames[0].mono for frame in frames if frame.mono - frames[0].mono > 2.5]
    assert len(later) >= 16


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt"),
    [("mjpeg", "avi", "yuvj420p"), ("mjpeg", "avi", "yuvj422p"), ("mpeg4", "mp4", "yuv420p"), ("ffv1", "mkv", "gray")],
)
def test_other_codecs_are_encoded_to_h264(tmp_path: Path, codec: str, suffix: str, pix_fmt: str) -> None:
    """Whatever a camera sends is recorded as H.264 with a key frame each second, and looks the same."""
    packets, frames = read_all(full(make_clip(tmp_path / f"a.{suffix}", codec, pix_fmt=pix_fmt)))
    assert {(p.stream.codec, p.stream.epoch) for p in packets} == {("h264", 1)}
    assert packets[0].stream.extradata
    assert [n for n, packet in enumerate(packets) if packet.key] == [0, 10, 20, 30]
    shown = decoded(packets)
    assert len(shown) == len(frames) == 40
    assert max(error for _, error in shown) < 8.0
    assert_frames_match(frames, packets)


@pytest.mark.parametrize(("codec", "options"), [("libx264", B_FRAMES), ("mjpeg", {})])
def test_a_looped_file_goes_on_without_a_seam(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    """Over three rounds there is one epoch, stamps go on rising at the same pace, and every picture decodes."""
    suffix, pix_fmt = ("mp4", "yuv420p") if codec == "libx264" else ("avi", "yuvj420p")
    path = make_clip(tmp_path / f"a.{suffix}", codec, options=options, pix_fmt=pix_fmt)
    packets, frames = read_all(full(path, loop=True), limit=120)
    assert {packet.stream.epoch for packet in packets} == {1}
    step = 1 / RATE / packets[0].stream.time_base
    assert set(np.diff([packet.dts for packet in packets])) == {step}
    assert set(np.diff(sorted(packet.pts for packet in packets))) == {step}
    assert len(decoded(packets)) == 120
    assert np.allclose(np.diff([frame.mono for frame in frames]), 1 / RATE)


def test_another_resolution_begins_a_new_epoch(tmp_path: Path) -> None:
    """A camera that changes its size in mid-stream is described anew from that key frame on, stamps still rising."""
    options = {"g": "10", "tune": "zerolatency"}
    parts = [make_clip(tmp_path / f"{w}.ts", size=(w, h), options=options) for w, h in ((160, 120), (320, 240))]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    packets, frames = read_all(full(joined))
    epochs = {p.stream.epoch: (p.stream.width, p.stream.height) for p in packets}
    assert list(epochs.values()) == [(160, 120), (320, 240)]
    assert next(p for p in packets if p.stream.width == 320).key
    assert [packet.dts for packet in packets] == sorted({packet.dts for packet in packets})
    assert {frame.luma.shape for frame in frames} == {(120, 160), (207, 277)}
    assert_frames_match(frames, packets)


def test_sound_is_left_out(tmp_path: Path) -> None:
    """A file with sound gives its pictures only."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        for number in range(20):
            container.mux(video.encode(picture(number)))
            container.mux(sound.encode(silence))
        container.mux(video.encode(None))
    packets, _ = read_all(full(path))
    assert len(packets) == 20


def test_ten_bits_a_sample_become_eight(tmp_path: Path) -> None:
    """Frames of 10-bit HEVC have the same brightness as of 8-bit video."""
    options = {"x265-params": "log-level=none:keyint=10"}
    path = make_clip(tmp_path / "a.mp4", "libx265", pix_fmt="yuv420p10le", options=options, frames=12)
    _, frames = read_all(full(path))
    assert frames[0].luma.dtype == np.uint8
    assert abs(float(frames[0].luma.mean()) - float(luma_plane(picture(0)).mean())) < 2.0


def test_at_real_speed_a_second_takes_a_second(tmp_path: Path) -> None:
    """The tenth picture of ten a second comes about a second after the first, and is dated so exactly."""
    clock = SystemClock()
    path = make_clip(tmp_path / "a.mp4", frames=11, options={"tune": "zerolatency"})
    started = clock.mono()
    packets, _ = read_all(CameraSettings(url=str(path)), clock=clock)
    assert clock.mono() - started >= 1.0
    assert packets[10].mono - packets[0].mono == pytest.approx(1.0)


def test_a_damaged_file_gives_what_is_whole(tmp_path: Path) -> None:
    """Noise in the middle of the pictures costs some of them, not the rest."""
    path = make_clip(tmp_path / "a.ts", frames=60, options={"g": "10", "tune": "zerolatency"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(range(200)) * 2
    path.write_bytes(data)
    _, frames = read_all(full(path))
    assert len(frames) >= 40


def test_motion_jpeg_over_http_is_dated_by_its_arrival(tmp_path: Path) -> None:
    """A camera that sends JPEGs without any time, five a second, is recorded at its real pace."""
    jpegs = [
        bytes(packet)
        for number in range(6)
        for packet in _jpeg_encoder().encode(picture(number).reformat(format="yuvj420p"))
    ]
    clock = SystemClock()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_send_jpegs, args=(server, jpegs, 0.2), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/video"
        packets, _ = read_all(CameraSettings(url=url), limit=5, clock=clock)
        thread.join()
    assert {packet.stream.codec for packet in packets} == {"h264"}
    span = (packets[-1].pts - packets[0].pts) * packets[0].stream.time_base
    assert span > 0.5  # libav's own stamps would make it 0.16 s


def _jpeg_encoder() -> VideoCodecContext:
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt, context.time_base = *SIZE, "yuvj420p", Fraction(1, RATE)
    return context


def _send_jpegs(server: socket.socket, jpegs: list[bytes], every: float) -> None:
    """Answer one request with the pictures, parted as cheap cameras do."""
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):  # the reader has seen enough
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n")
        for jpeg in jpegs:
            head = f"--x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            connection.sendall(head.encode() + jpeg + b"\r\n")
            time.sleep(every)


@pytest.mark.parametrize("content", [None, b"", b"this is no video\n" * 50])
def test_what_is_no_video_is_refused_by_its_name(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, empty or something else is told from a broken camera by its message."""
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CameraError, match=r"a\.mp4"):
        read_all(full(path))


def test_a_picture_that_can_not_be_decoded_has_no_size() -> None:
    """The size of rubbish is unknown, not an error."""
    assert picture_size("h264", b"", b"\0\0\0\1\x65rubbish") == (0, 0)
