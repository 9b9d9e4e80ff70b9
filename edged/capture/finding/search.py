"""All cameras that can be found, each kind asked at the same time; a kind that fails keeps the others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edged.base.errors import CameraError
from edged.capture.finding.discovery import network_cameras
from edged.capture.finding.sensors import pi_cameras
from edged.capture.finding.v4l2 import usb_cameras

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from edged.capture.finding.found import Found


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What was found, and a sentence on each way that failed."""

    cameras: tuple[Found, ...]
    problems: tuple[str, ...] = ()


async def find() -> Findings:
    """Look for sensors, USB cameras and network cameras; takes some seconds."""
    return await gathered([asyncio.to_thread(pi_cameras), asyncio.to_thread(usb_cameras), network_cameras()])


async def gathered(ways: Sequence[Awaitable[list[Found]]]) -> Findings:
    """Return what the ways find, in their order."""
    cameras: list[Found] = []
    problems: list[str] = []
    for result in await asyncio.gather(*ways, return_exceptions=True):
        if isinstance(result, CameraError | OSError):
            problems.append(str(result))
        elif isinstance(result, BaseException):
            raise result
        else:
            cameras += result
    return Findings(cameras=tuple(cameras), problems=tuple(problems))
