"""Virtual cameras on libcamera, for tests that need the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
PICTURES = 12
_SIZE = (1280, 720)


@dataclass(frozen=True, kw_only=True, slots=True)
class VirtualPi:
    """A folder with virtual cameras: `front` and `back`, each with its own pictures in a round."""

    folder: Path
    environment: dict[str, str]

    def stall(self, camera: str) -> None:
        """Have a camera hang."""
        (self.folder / f"stall-{camera}").touch()

    def resume(self, camera: str) -> None:
        """Have it go on."""
        (self.folder / f"stall-{camera}").unlink()

    def picture(self, camera: str, number: int) -> np.ndarray:
        """Return a picture's luma, uint8, as high and wide as the sensor's."""
        image = cv2.imread(str(self.folder / camera / f"{number}.jpg"), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        return image


@pytest.fixture(scope="session")
def libcamera() -> str:
    """Return the folder with libcamera and picamera2 for the path."""
    build = [str(ROOT / "tests/libcamera/build"), sys.executable, "--find"]
    found = subprocess.run(build, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("libcamera with its virtual camera is not built: run ./scripts/setup --tests, which says why not")
    return found.stdout.strip()


@pytest.fixture
def virtual_pi(libcamera: str, tmp_path: Path) -> VirtualPi:
    """Set two virtual cameras up."""
    for seed, camera in enumerate(("front", "back")):
        _draw(tmp_path / camera, seed)
    rates = [{"width": _SIZE[0], "height": _SIZE[1], "frame_rates": [30]}]
    cameras = {
        camera: {
            "supported_formats": rates,
            "frames": {"path": f"{tmp_path / camera}/"},
            "location": location,
            "model": f"virtual_{camera}",
        }
        for camera, location in (("front", "CameraLocationFront"), ("back", "CameraLocationBack"))
    }
    (tmp_path / "cameras.yaml").write_text(f"%YAML 1.1\n---\n{json.dumps(cameras)}\n")  # YAML can read JSON
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{libcamera}",
        "LIBCAMERA_VIRTUAL_CONFIG": str(tmp_path / "cameras.yaml"),
        "LIBCAMERA_VIRTUAL_STALL": str(tmp_path / "stall"),
        "LIBCAMERA_LOG_LEVELS": "*:ERROR",
    }
    return VirtualPi(folder=tmp_path, environment=environment)


def _draw(folder: Path, seed: int) -> None:
    """Draw a round of pictures: a block that crosses a soft background, at another place in each."""
    folder.mkdir()
    grey = np.random.default_rng(seed).integers(60, 180, (18, 32), dtype=np.uint8)
    background = cv2.cvtColor(cv2.resize(grey, _SIZE, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2BGR)
    for number in range(PICTURES):
        image = background.copy()
        left = number * _SIZE[0] // PICTURES
        cv2.rectangle(image, (left, 260), (left + 100, 460), (20, 20, 20) if number % 2 else (235, 235, 235), -1)
        cv2.imwrite(str(folder / f"{number}.jpg"), image)
