"""The Pi camera's backend on the real libcamera and the real picamera2, with virtual sensors."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest

from edged.base.config import parse
from edged.capture.pisettings import controls
from edged.capture.settings import CameraSettings
from edged.model import Frame, Packet, Sensor
from tests.capture.test_picamera import FakeEncoder, FakeManager, FakeMapped, FakePi, PiClass
from tests.libcamera.conftest import PICTURES, ROOT

if TYPE_CHECKING:
    import os

    from tests.libcamera.conftest import VirtualPi

pytestmark = pytest.mark.timeout(180)  # importing and starting all of this takes seconds, more on a busy machine

_CHILD = (sys.executable, "-m", "tests.libcamera.child")
_SETTINGS: dict[str, Any] = {"source": "picamera", "size": "1280x720", "rate": 10.0}


def _child(box: VirtualPi, *words: str | os.PathLike[str]) -> Any:
    """Run the child to its end and return what it told last."""
    done = subprocess.run([*_CHILD, *words], env=box.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


def _read(box: VirtualPi, seconds: float, **settings: Any) -> tuple[list[Packet], list[Frame]]:
    """Return what a camera gave in so many seconds."""
    target = box.folder / "taken"
    _child(box, "read", json.dumps({**_SETTINGS, **settings}), str(seconds), target)
    taken = pickle.loads(target.read_bytes())
    return [item for item in taken if isinstance(item, Packet)], [item for item in taken if isinstance(item, Frame)]


def _decoded(packets: list[Packet]) -> dict[int, np.ndarray]:
    """Return the luma of each packet's picture by its pts."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    decoder.extradata = packets[0].stream.extradata
    pictures = {}
    for packet in packets:
        sent = av.Packet(packet.data)
        sent.pts = sent.dts = packet.pts
        for picture in decoder.decode(sent):
            pictures[int(picture.pts or 0)] = picture.to_ndarray()[: picture.height]
    return pictures


@pytest.mark.parametrize("size", ["1280x720", "1000x600"])
def test_pictures_and_packets_are_in_step(virtual_pi: VirtualPi, size: str) -> None:
    """A frame shows the very picture that the packet of the same time stamp holds, and no picture is left out.

    A size that is no multiple of 64 has lines with something between them, as on the Pi; nothing of it is seen.
    """
    packets, frames = _read(virtual_pi, 3.0, size=size)
    assert packets[0].key
    assert len(frames) > 5
    pictures = _decoded(packets)
    for frame in frames:
        assert frame.pts in pictures  # its packet came before it
        assert virtual_pi.number("front", frame.luma) == virtual_pi.number("front", pictures[frame.pts])
        assert frame.luma[:, -4:].max() < 250
    shown = [virtual_pi.number("front", luma) for _, luma in sorted(pictures.items())]
    assert all(after == (before + 1) % PICTURES for before, after in pairwise(shown))


def test_what_the_sensor_is_told_shows_in_what_it_tells(virtual_pi: VirtualPi) -> None:
    """Rate, exposure and gain reach the sensor and come back in its metadata, key frames at the distance asked for."""
    told = {"shutter": "8ms", "gain": 2.0}
    packets, frames = _read(virtual_pi, 3.0, rate=20.0, keyframes="500ms", pi=told)
    apart = float(np.median(np.diff([packet.pts for packet in packets])))
    assert 45_000 < apart < 150_000  # asked for 50,000 us; its own pace is 33,333, and a busy machine is late
    keys = [number for number, packet in enumerate(packets) if packet.key]
    assert {after - before for before, after in pairwise(keys)} <= set(range(2, 11))  # 10; fewer when late
    assert {frame.sensor for frame in frames[3:]} == {Sensor(lux=120.0, exposure=0.008, gain=2.0, temperature=41.5)}


def test_every_control_reaches_libcamera(virtual_pi: VirtualPi) -> None:
    """White balance, noise, focus, HDR and the rest come back as they were told; the virtual camera has them all."""
    section = {"ev": -1.0, "white": "cloudy", "noise": "high_quality", "hdr": "night", "focus": "manual"}
    settings = {**_SETTINGS, "pi": {**section, "distance": 0.5}}
    found = _child(virtual_pi, "metadata", json.dumps(settings))
    asked = controls(parse(settings, CameraSettings).pi, 10.0)
    del asked["FrameDurationLimits"]
    assert len(asked) == 6
    assert {name: found.get(name) for name in asked} == asked
    assert found["FrameDuration"] == 100_000


def test_low_light_slows_the_rate_and_not_the_key_frames(virtual_pi: VirtualPi) -> None:
    """In the dark exposure may last as long as `night_rate` allows; key frames keep their distance in seconds."""
    virtual_pi.order("dark", "front")
    packets, frames = _read(virtual_pi, 5.0, rate=20.0, analysis_rate=20.0, pi={"night_rate": 5.0})
    stamps = [packet.pts for packet in packets[1:]]
    assert 190_000 < np.median(np.diff(stamps)) < 400_000
    assert {(frame.sensor.exposure, frame.sensor.lux) for frame in frames if frame.sensor} == {(0.2, 1.5)}
    keys = [packet.pts for packet in packets if packet.key]
    assert len(keys) > 2
    assert max(np.diff(keys)) < 3_000_000  # a second; 20 pictures, by which encoders count, are four


@pytest.mark.parametrize(
    ("section", "axes"), [({"rotation": 180}, (0, 1)), ({"hflip": True}, (1,)), ({"vflip": True}, (0,))]
)
def test_the_picture_is_turned_and_mirrored(virtual_pi: VirtualPi, section: dict[str, Any], axes: tuple[int]) -> None:
    """What is recorded and what is analysed both show it."""
    packets, frames = _read(virtual_pi, 1.5, pi=section)
    pictures = _decoded(packets)
    for frame in frames:
        for seen in (frame.luma, pictures[frame.pts]):
            upright = np.flip(seen, axes)
            drawn = virtual_pi.luma("front", virtual_pi.number("front", upright))
            fitting = cv2.resize(drawn, upright.shape[::-1], interpolation=cv2.INTER_AREA)
            assert np.abs(upright.astype(int) - fitting).mean() < 3


def test_the_tuning_file_is_there_before_libcamera_looks_for_it(virtual_pi: VirtualPi) -> None:
    """Libcamera reads it when it first looks at the sensors, for all of them, and never again in this process."""
    noted = virtual_pi.order("tuning", "front")
    tuning = virtual_pi.folder / "noir.json"
    tuning.write_text("{}")
    _read(virtual_pi, 0.5, pi={"tuning": str(tuning)})
    assert set(noted.read_text().splitlines()) == {str(tuning)}


def test_the_second_sensor_is_another_camera(virtual_pi: VirtualPi) -> None:
    """A camera is named by its number; each shows its own pictures."""
    _, front = _read(virtual_pi, 1.0, url="0")
    _, back = _read(virtual_pi, 1.0, url="1")
    assert np.abs(front[-1].luma.astype(int) - back[-1].luma).mean() > 5


def test_a_sensor_that_is_not_there_is_refused_and_found_once_it_is(virtual_pi: VirtualPi) -> None:
    """The answer to a number too high is one clear sentence; a camera that comes later needs no new process."""
    virtual_pi.connect("front")
    command = [*_CHILD, "await", json.dumps({**_SETTINGS, "url": "1"})]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=virtual_pi.environment, cwd=ROOT, stdout=pipe, text=True) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline()) == "there is no Pi camera 1; see: rpicam-hello --list-cameras"
        virtual_pi.connect("front", "back")
        assert json.loads(child.stdout.read().splitlines()[-1]) == "open"


@pytest.mark.parametrize("held", [False, True])
def test_opening_again_and_again_leaves_nothing_open(virtual_pi: VirtualPi, *, held: bool) -> None:
    """The ladder opens a camera thousands of times, one that another program holds as well as one that breaks off."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*_CHILD, "hold", "front"], env=virtual_pi.environment, cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline()
        url = str(int(not held))
        counts = _child(virtual_pi, "again", json.dumps({**_SETTINGS, "url": url, "size": "320x240"}), "6")
        holder.communicate("")
    descriptors, threads = zip(*counts, strict=True)
    assert descriptors[-1] <= descriptors[1]
    assert threads[-1] <= threads[1]


def test_a_camera_that_hangs_while_a_picture_is_asked_for_can_be_closed(virtual_pi: VirtualPi) -> None:
    """picamera2's `stop` waits for what is asked for, for ever: it is cancelled first."""
    order = virtual_pi.folder / "stall-front"
    told = _child(virtual_pi, "pending", json.dumps({**_SETTINGS, "read_timeout": "1s"}), order)
    assert told == "the Pi camera gave no picture for 1 s"


def test_a_check_of_a_camera_that_hangs_ends(virtual_pi: VirtualPi) -> None:
    """The command tells that nothing comes and leaves, though picamera2 would like to close the camera at its end."""
    virtual_pi.order("stall", "front")
    config = virtual_pi.folder / "edged.toml"
    config.write_text(
        f'[device]\nname = "pi"\nstate = "{virtual_pi.folder}/state"\n[cameras.front]\nsource = "picamera"\n'
    )
    command = [*_CHILD, "edged", "check", "--config", str(config)]
    done = subprocess.run(command, env=virtual_pi.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the Pi camera gave no picture for 3 s" in done.stdout


def test_the_fake_takes_what_picamera2_takes(virtual_pi: VirtualPi) -> None:
    """Every call that the tests' fake accepts, the real picamera2 accepts, too: its parameters have the same names."""
    real = _child(virtual_pi, "signatures")
    faked: dict[str, Any] = {name: method for name, method in vars(FakePi).items() if name in real}
    faked |= {"Picamera2": PiClass.__call__, "Encoder": FakeEncoder.__init__, "MappedArray": FakeMapped.__init__}
    faked |= {"force_key_frame": FakeEncoder.force_key_frame, "reset": FakeManager.reset}
    faked["global_camera_info"] = PiClass.global_camera_info
    assert real.keys() - {"outputframe"} <= faked.keys()
    for name, method in faked.items():
        taken = set(inspect.signature(method).parameters) - {"self", "config"}
        assert taken <= set(real[name]), name
    assert real["outputframe"] == ["self", "frame", "keyframe", "timestamp", "packet", "audio"]
