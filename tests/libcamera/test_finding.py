"""`edged setup` on the real libcamera and picamera2: virtual sensors are found, seen and configured."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edged.settings import load_device
from tests.libcamera.conftest import ROOT

if TYPE_CHECKING:
    from tests.libcamera.conftest import VirtualPi

pytestmark = pytest.mark.timeout(180)


def setup(pi: VirtualPi, *arguments: str) -> str:
    """Run `edged setup` and return what it prints."""
    # every interpreter starts with what makes picamera2 work on this machine, the one that is asked for sensors, too
    (pi.folder / "site").mkdir(exist_ok=True)
    (pi.folder / "site" / "sitecustomize.py").write_text("import virtual_pi\n")
    environment = {**pi.environment, "PYTHONPATH": f"{pi.folder / 'site'}:{pi.environment['PYTHONPATH']}"}
    command = [sys.executable, "-c", "from edged.cli import main; main()", "setup", *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sensors_are_found_and_seen(virtual_pi: VirtualPi) -> None:
    """Both are listed by their model, and what each sees is a picture of it."""
    folder = virtual_pi.folder / "pictures"
    told = json.loads(setup(virtual_pi, "--found", "--json", "--pictures", str(folder)))
    sensors = [each for each in told["cameras"] if each["kind"] == "pi"]
    assert [(each["name"], each["url"]) for each in sensors] == [("virtual_front", "0"), ("virtual_back", "1")]
    for sensor, camera in zip(sensors, ("front", "back"), strict=True):
        picture = cv2.imread(sensor["picture"])
        assert picture is not None
        top = slice(0, 250)  # above the block that moves
        assert np.abs(picture[top].astype(int) - virtual_pi.picture(camera, 0)[top]).mean() < 8


def test_sensors_are_configured(virtual_pi: VirtualPi) -> None:
    """A new box needs no more than `edged setup --yes`."""
    path = virtual_pi.folder / "etc" / "edged.toml"
    assert "camera pi-camera-2: picamera 1" in setup(virtual_pi, "--yes", "--config", str(path))
    pis = {name: each.url for name, each in load_device(path).cameras.items() if each.source == "picamera"}
    assert pis == {"pi-camera": "0", "pi-camera-2": "1"}
