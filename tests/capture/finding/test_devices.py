"""Cameras of this box: which V4L2 nodes are cameras, and what picamera2 says."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest

from edged.base.errors import CameraError
from edged.capture.finding.search import gathered
from edged.capture.finding.sensors import pi_cameras, sensors
from edged.capture.finding.v4l2 import capability, fitting, usb_cameras

if TYPE_CHECKING:
    from pathlib import Path

    from edged.capture.finding.found import Found


def answer(driver: str, own: int, card: str = "a camera") -> bytes:
    """Return what VIDIOC_QUERYCAP gives, of a device whose nodes together can do everything."""
    return struct.pack("<16s32s32sIII12x", driver.encode(), card.encode(), b"usb-0", 0x60000, 0x84A0FFFF, own)


@pytest.mark.parametrize(
    ("driver", "own", "wanted"),
    [
        ("uvcvideo", 0x04200001, True),
        ("uvcvideo", 0x04A00000, False),  # its metadata
        ("vivid", 0x05200001, True),
        ("vivid", 0x05200002, False),  # an output
        ("bcm2835-codec", 0x04204000, False),  # memory to memory, in several planes
        ("bcm2835-isp", 0x04200001, False),  # an output of the Pi's ISP
        ("unicam", 0x25200001, False),  # the raw sensor behind libcamera
        ("rp1-cfe", 0x24A00001, False),
        ("pispbe", 0x24201000, False),
        ("em28xx", 0x05230001, True),  # a video grabber
    ],
)
def test_a_node_says_whether_it_is_a_camera(driver: str, own: int, wanted: bool) -> None:
    """By its own capabilities, not by those of the device it is part of."""
    node = capability(answer(driver, own))
    assert (node.driver, node.card, node.is_camera) == (driver, "a camera", wanted)


def test_an_old_driver_that_has_no_own_capabilities_is_taken_by_the_device_s() -> None:
    """As before Linux 3.3."""
    old = struct.pack("<16s32s32sIII12x", b"uvcvideo", b"x", b"", 0, 0x04000001, 0)
    assert capability(old).is_camera


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ([(640, 480), (1280, 720), (1920, 1080)], ""),
        ([], ""),
        ([(640, 480), (800, 600)], "800x600"),
        ([(1920, 1080), (2560, 1440)], "1920x1080"),
        ([(1600, 1200), (1024, 768), (640, 480)], "640x480"),
        ([(641, 481)], ""),
    ],
)
def test_the_size_is_one_that_the_camera_has(sizes: list[tuple[int, int]], wanted: str) -> None:
    """The default if it has it, else the largest that is not larger, else its smallest."""
    assert fitting(sizes) == wanted


def test_what_is_no_video_device_is_left_out(tmp_path: Path) -> None:
    """Files of the right name, and nodes that have gone."""
    dev, sys_ = tmp_path / "dev", tmp_path / "sys"
    for place in (dev, sys_ / "video0", sys_ / "video1", sys_ / "v4l-subdev0"):
        place.mkdir(parents=True)
    (dev / "video0").write_bytes(b"not a device")
    assert usb_cameras(dev, sys_) == []
    assert usb_cameras(dev, tmp_path / "absent") == []


def test_libcamera_s_usb_cameras_are_v4l2_s() -> None:
    """Numbers stay those of picamera2; what it printed before is not ours."""
    told = [
        {"Model": "imx708_wide", "Id": "/base/axi/pcie@1000120000/rp1/i2c@88000/imx708@1a", "Num": 0},
        {"Model": "UVC", "Id": "/base/axi/pcie@1000120000/rp1/usb@300000-2:1.0-046d:0825", "Num": 1},
        {"Model": "ov5647", "Id": "/base/soc/i2c0mux/i2c@1/ov5647@36", "Num": 2},
    ]
    found = sensors(f"a warning\n{json.dumps(told)}\n")
    assert [(each.name, each.url, each.source) for each in found] == [
        ("imx708_wide", "0", "picamera"),
        ("ov5647", "2", "picamera"),
    ]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("ModuleNotFoundError: No module named 'picamera2'", None),  # no failure: most boxes have none
        ("ModuleNotFoundError: No module named 'libcamera'", "No module named 'libcamera'"),
        ("RuntimeError: Camera frontend has timed out", "Camera frontend has timed out"),
        ("", "ended without a word"),
    ],
)
def test_a_libcamera_that_fails_is_told_by_its_last_words(tmp_path: Path, words: str, wanted: str | None) -> None:
    """Without picamera2 there is just no Pi camera."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ -z "{words}" ] || printf "a line\n%s\n" "{words}" >&2\nexit 1\n')
    python.chmod(0o755)
    if wanted is None:
        assert pi_cameras((str(python),)) == []
        return
    with pytest.raises(CameraError, match=f"libcamera can't be asked: .*{wanted}"):
        pi_cameras((str(python),))


@pytest.mark.parametrize("printed", ["no JSON", "[1]", "{}x", "null"])
def test_what_picamera2_never_says_is_told(tmp_path: Path, printed: str) -> None:
    """Another version of it may print something else."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{printed}'\n")
    python.chmod(0o755)
    with pytest.raises(CameraError, match="what libcamera knows can't be read"):
        pi_cameras((str(python),))


def test_a_device_s_name_is_fit_to_be_shown() -> None:
    """It comes from the device, and a terminal obeys control characters."""
    assert capability(answer("uvcvideo", 1, card="\x1b[2JWeb\ncam")).card == "[2JWebcam"


async def test_a_way_that_fails_keeps_the_others() -> None:
    """One kind's trouble is told and costs only its own cameras."""

    async def fails() -> list[Found]:
        raise CameraError("broken")

    async def finds() -> list[Found]:
        return sensors('[{"Model": "a", "Num": 0}]')

    found = await gathered([fails(), finds()])
    assert (found.problems, [each.name for each in found.cameras]) == (("broken",), ["a"])
