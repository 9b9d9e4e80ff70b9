"""USB cameras: the V4L2 nodes that give pictures by themselves.

A camera has further nodes (metadata), and a Pi has many that are none: encoders, the ISP, and the raw sensor behind
libcamera. What a node is, it says itself (Video4Linux2, VIDIOC_QUERYCAP, VIDIOC_ENUM_FMT, VIDIOC_ENUM_FRAMESIZES).
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edged.capture.finding.found import Found

if TYPE_CHECKING:
    from collections.abc import Iterator


# linux/videodev2.h
_QUERYCAP, _ENUM_FMT, _ENUM_FRAMESIZES = 0x80685600, 0xC0405602, 0xC02C564A
_CAPABILITY = struct.Struct("<16s32s32sIII12x")
_FORMAT = struct.Struct("<III32sII12x")
_FRAMESIZE = struct.Struct("<IIIII24x")
_CAPTURE, _M2M, _M2M_PLANES = 0x1, 0x8000, 0x4000  # not in several planes: libav reads none of these
_BUFFER_CAPTURE = 1
_BY_MEDIA_CONTROLLER = 0x20000000  # V4L2_CAP_IO_MC: part of a pipeline that another program has to set up
_OWN_CAPABILITIES = 0x80000000  # V4L2_CAP_DEVICE_CAPS: what this node can do, not what the whole device can
_DISCRETE = 1
_MOST = 64  # formats or sizes that are asked for: beyond it the driver goes round in circles
_PI_PARTS = re.compile(r"bcm2835-(isp|codec)|unicam|rp1-cfe|pispbe|rpivid|rpi-hevc")

_LINKS = ("by-id", "by-path")
_WANTED = (1280, 720)


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """What a video node says of itself."""

    driver: str
    card: str
    bus: str
    capabilities: int

    @property
    def is_camera(self) -> bool:
        """Whether it gives pictures by itself."""
        if self.capabilities & (_M2M | _M2M_PLANES | _BY_MEDIA_CONTROLLER) or _PI_PARTS.match(self.driver):
            return False
        return bool(self.capabilities & _CAPTURE)


def usb_cameras(dev: Path = Path("/dev"), sys: Path = Path("/sys/class/video4linux")) -> list[Found]:
    """Return the cameras that V4L2 knows, by their lasting names. Blocks for some milliseconds each."""
    names = sorted((path.name for path in _listed(sys) if path.name.startswith("video")), key=_number)
    found = (_camera(dev / name, dev / "v4l") for name in names)
    return [camera for camera in found if camera is not None]


def capability(answer: bytes) -> Node:
    """Return what VIDIOC_QUERYCAP answered."""
    driver, card, bus, _, whole, own = _CAPABILITY.unpack(answer)
    return Node(
        driver=_text(driver), card=_text(card), bus=_text(bus), capabilities=own if whole & _OWN_CAPABILITIES else whole
    )


def fitting(sizes: list[tuple[int, int]]) -> str:
    """Return the size to ask for where the default is not among `sizes`: the largest below it, else the smallest."""
    even = sorted((size for size in sizes if not (size[0] % 2 or size[1] % 2)), key=lambda size: size[0] * size[1])
    if not even or _WANTED in even:
        return ""
    below = [size for size in even if size[0] <= _WANTED[0] and size[1] <= _WANTED[1]]
    width, height = below[-1] if below else even[0]
    return f"{width}x{height}"


def _camera(path: Path, links: Path) -> Found | None:
    try:
        device = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # gone meanwhile, or not for this user
        return None
    try:
        node = capability(fcntl.ioctl(device, _QUERYCAP, bytes(_CAPABILITY.size)))
        formats = list(_formats(device)) if node.is_camera else []
        sizes = [size for _, code in formats for size in _sizes(device, code)]
    except OSError:  # not a V4L2 device after all
        return None
    finally:
        os.close(device)
    if not formats:
        return None
    names = tuple(dict.fromkeys(name for name, _ in formats))
    return Found(kind="usb", name=node.card, url=_lasting(path, links), size=fitting(sizes), formats=names)


def _formats(device: int) -> Iterator[tuple[str, int]]:
    """Yield name and code of each pixel format."""
    for index in range(_MOST):
        try:
            answer = fcntl.ioctl(device, _ENUM_FMT, _FORMAT.pack(index, _BUFFER_CAPTURE, 0, b"", 0, 0))
        except OSError:  # EINVAL: there are no more
            return
        code = _FORMAT.unpack(answer)[4]
        yield _text(struct.pack("<I", code & 0x7FFFFFFF)).strip(), code


def _sizes(device: int, code: int) -> Iterator[tuple[int, int]]:
    with suppress(OSError):  # EINVAL: there are no more, or the driver does not tell
        for index in range(_MOST):
            answer = fcntl.ioctl(device, _ENUM_FRAMESIZES, _FRAMESIZE.pack(index, code, 0, 0, 0))
            _, _, kind, width, height = _FRAMESIZE.unpack(answer)
            if kind != _DISCRETE:  # any size within limits
                return
            yield width, height


def _lasting(path: Path, links: Path) -> str:
    """Return the name that stays when cameras are plugged in another order: two of a kind share the one by id."""
    for kind in _LINKS:
        for link in _listed(links / kind):
            if link.resolve() == path.resolve():
                return str(link)
    return str(path)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _number(name: str) -> int:
    digits = name.removeprefix("video")
    return int(digits) if digits.isdecimal() else 0


def _text(raw: bytes) -> str:
    words = raw.split(b"\0", 1)[0].decode(errors="replace")
    return "".join(letter for letter in words if letter.isprintable())  # a terminal obeys the others
