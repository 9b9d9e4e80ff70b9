"""What a camera backend is to the rest of capture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edged.model import Frame, Packet


class Camera(Protocol):
    """One camera from one opening to its end. All calls block and come from one thread, its own."""

    def open(self) -> None:
        """Open the device; CameraError says why it can't be."""
        ...

    def read(self) -> Iterator[Packet | Frame]:
        """Yield what the camera gives until it ends; CameraError when it breaks off.

        A packet comes before the frame of the same picture (equal `pts` and `mono`); frames are not
        more than the analysis rate asks for.
        """
        ...

    def close(self) -> None:
        """Give the device back; harmless when it is not open."""
        ...
