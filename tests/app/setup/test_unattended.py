"""`edged setup` without questions, as scripts use it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from edged.app.setup.unattended import configure, fresh, lines
from edged.base.errors import EdgedError
from edged.capture.finding.found import Found
from edged.capture.finding.search import Findings
from edged.settings import load_device
from tests.onvif_camera import Channel, OnvifCamera, serve_camera

if TYPE_CHECKING:
    from pathlib import Path

PI = Found(kind="pi", name="imx708", url="0")
USB = Found(kind="usb", name="Webcam", url="/dev/v4l/by-id/usb-webcam", size="640x480", formats=("MJPG", "YUYV"))
NET = Found(kind="network", name="Acme Eye", service="http://192.0.2.7/onvif/device_service")
EDGED = (sys.executable, "-c", "from edged.cli import main; main()", "setup")


def test_what_was_found_is_written_once(tmp_path: Path) -> None:
    """A new file names the box's own cameras; again it adds only what is new, and then nothing."""
    path = tmp_path / "edged.toml"
    assert configure(path, Findings(cameras=(USB, NET)))[-1] == f"written to {path}"
    config = load_device(path)
    assert [(name, each.url, each.size) for name, each in config.cameras.items()] == [
        ("usb-camera", USB.url, "640x480")
    ]
    told = configure(path, Findings(cameras=(PI, USB, NET)))
    assert told == ["camera pi-camera: picamera 0", f"written to {path}, the former one is {path}.bak"]
    assert list(load_device(path).cameras) == ["usb-camera", "pi-camera"]
    before = path.read_bytes()
    told = configure(path, Findings(cameras=(PI, USB, NET)))
    assert told == [f"{path} names every camera that was found: nothing was changed"]
    assert path.read_bytes() == before


def test_without_a_camera_nothing_is_written(tmp_path: Path) -> None:
    """A network camera wants a login, which only a person has."""
    findings = Findings(cameras=(NET,), problems=("libcamera can't be asked: no",))
    with pytest.raises(EdgedError, match="nothing was written") as error:
        configure(tmp_path / "edged.toml", findings)
    assert "network camera: Acme Eye (http://192.0.2.7/onvif/device_service)" in str(error.value)
    assert "not all was seen: libcamera can't be asked: no" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_camera_is_known_by_any_of_its_names(tmp_path: Path) -> None:
    """A link to a device, the first sensor without its number, an address at a camera's host."""
    path = tmp_path / "edged.toml"
    path.write_text(
        '[device]\nname = "a"\n[cameras.a]\nsource = "picamera"\n'
        '[cameras.b]\nurl = "rtsp://u@192.0.2.7:554/x"\n[cameras.c]\nurl = "/dev/video7"\n'
    )
    config = load_device(path)
    seven = Found(kind="usb", name="Seven", url="/dev/../dev/video7")
    assert fresh([PI, USB, NET, seven], config) == [USB]
    assert fresh([PI, USB, NET, seven], None) == [PI, USB, NET, seven]


def test_pictures_and_problems_are_told_with_each_camera() -> None:
    """A person sees where the picture is."""
    told = lines(Findings(cameras=(PI, USB)), {PI: ("picture", "/tmp/pi.jpg")})
    assert told == [
        "Pi camera: imx708 (0)",
        "  picture: /tmp/pi.jpg",
        "USB camera: Webcam (/dev/v4l/by-id/usb-webcam)",
    ]


async def test_the_list_for_scripts_names_network_cameras(tmp_path: Path) -> None:
    """JSON on standard output, nothing else."""
    eye = OnvifCamera(login=("a", "b"), channels=(Channel(token="t", url="rtsp://h/x"),))
    async with serve_camera(eye, discoverable=True):
        program = await asyncio.create_subprocess_exec(*EDGED, "--found", "--json", stdout=subprocess.PIPE)
        out, _ = await program.communicate()
    assert program.returncode == 0
    (seen,) = (each for each in json.loads(out)["cameras"] if each["service"] == eye.service)
    assert (seen["kind"], seen["name"], seen["url"]) == ("network", "Acme Eye E-1", "")


def test_without_a_terminal_questions_are_refused(tmp_path: Path) -> None:
    """A script that forgot an option is told, instead of waiting for ever."""
    done = subprocess.run(
        [*EDGED, "--config", str(tmp_path / "edged.toml")], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "setup asks questions on a terminal; without one say --found or --yes" in done.stderr
    assert list(tmp_path.iterdir()) == []
