"""A camera that was found, before it is configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One camera: what it calls itself, and what `[cameras.NAME]` would say of it."""

    kind: Literal["pi", "usb", "network"]
    name: str
    url: str = ""  # as `url` takes it; "" for a network camera, whose streams are told after a login
    service: str = ""  # of a network camera: the address of its ONVIF service
    size: str = ""  # to ask of it; "" where the default fits or the camera brings its own
    formats: tuple[str, ...] = ()  # what it gives, as V4L2's four characters, or modes of the sensor

    @property
    def what(self) -> str:
        """Return its kind, for people."""
        return {"pi": "Pi camera", "usb": "USB camera", "network": "network camera"}[self.kind]

    @property
    def source(self) -> Literal["picamera", "stream"]:
        """Return the `source` that fits it."""
        return "picamera" if self.kind == "pi" else "stream"
