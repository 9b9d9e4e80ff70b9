"""Virtual cameras on libcamera, for tests that need the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
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

    def order(self, what: str, camera: str) -> Path:
        """Have a camera do something until it is let: stall, be stuck, be unplugged or dark; note stamps or tuning."""
        path = self.folder / f"{what}-{camera}"
        path.touch()
        return path

    def let(self, what: str, camera: str) -> None:
        """Have it no longer do that."""
        (self.folder / f"{what}-{camera}").unlink()

    def connect(self, *names: str) -> None:
        """Have libcamera find these cameras the next time it looks."""
        cameras = {name: _camera(self.folder / name, name) for name in names}
        (self.folder / "cameras.yaml").write_text(f"%YAML 1.1\n---\n{json.dumps(cameras)}\n")  # YAML can read JSON

    def luma(self, camera: str, number: int) -> np.ndarray:
        """Return a picture's luma as it is in the stream, uint8, as high and wide as the sensor's."""
        return _luma(self.folder / camera / f"{number}.jpg")

    def number(self, camera: str, luma: np.ndarray) -> int:
        """Return which of the camera's pictures this is, by its luma of any size."""
        drawn = _round(self.folder / camera)
        return int(np.argmin(np.abs(drawn - _small(luma)).mean(axis=(1, 2))))

    def picture(self, camera: str, number: int) -> np.ndarray:
        """Return a picture, BGR, uint8, as high and wide as the sensor's: as it would look on a screen."""
        image = cv2.imread(str(self.folder / camera / f"{number}.jpg"))
        assert image is not None
        return _seen(image)


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
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{libcamera}",
        "LIBCAMERA_VIRTUAL_CONFIG": str(tmp_path / "cameras.yaml"),
        "LIBCAMERA_VIRTUAL_ORDERS": str(tmp_path),
        "LIBCAMERA_LOG_LEVELS": "*:ERROR",
    }
    pi = VirtualPi(folder=tmp_path, environment=environment)
    pi.connect("front", "back")
    return pi


def _camera(pictures: Path, name: str) -> dict[str, object]:
    return {
        "supported_formats": [{"width": _SIZE[0], "height": _SIZE[1], "frame_rates": [30]}],
        "frames": {"path": f"{pictures}/"},
        "location": "CameraLocationFront" if name == "front" else "CameraLocationBack",
        "model": f"virtual_{name}",
    }


def _draw(folder: Path, seed: int) -> None:
    """Draw a round of pictures: a block that crosses a soft, coloured background, at another place in each."""
    folder.mkdir()
    tones = np.random.default_rng(seed).integers(60, 180, (18, 32, 3), dtype=np.uint8)
    background = cv2.resize(tones, _SIZE, interpolation=cv2.INTER_CUBIC)
    for number in range(PICTURES):
        image = background.copy()
        left = number * _SIZE[0] // PICTURES
        cv2.rectangle(image, (left, 260), (left + 100, 460), (20, 20, 20) if number % 2 else (235, 235, 235), -1)
        cv2.imwrite(str(folder / f"{number}.jpg"), image)


def _seen(image: np.ndarray) -> np.ndarray:
    """Return how a picture looks whose numbers the virtual camera gives out as a camera of 720 lines does.

    In a JPEG Y, U and V are by BT.601 and full range (JFIF); the stream's are taken for BT.709's in limited range.
    """
    y, v, u = (plane.astype(float) for plane in cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)))
    y, u, v = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
    planes = (y + 1.8556 * u, y - 0.1873 * u - 0.4681 * v, y + 1.5748 * v)  # ITU-R BT.709, item 3
    return np.asarray(cv2.merge(planes).clip(0, 255).round(), dtype=np.uint8)


@cache
def _luma(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image


@cache
def _round(folder: Path) -> np.ndarray:
    return np.stack([_small(_luma(folder / f"{number}.jpg")) for number in range(PICTURES)])


def _small(luma: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(luma, (64, 36), interpolation=cv2.INTER_AREA), dtype=np.int16)
