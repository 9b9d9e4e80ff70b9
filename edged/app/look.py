"""A look through a camera, for `edged check` and `edged setup`: what it gives, and how its picture is."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from edged.base.clock import SystemClock
from edged.base.errors import CameraError
from edged.base.secret import reveal
from edged.capture.backend import backend
from edged.model import Frame, Packet
from edged.record.snapshot import NoPictureError, Still, still

if TYPE_CHECKING:
    from collections.abc import Callable

    from edged.base.clock import Clock
    from edged.capture.camera import Camera
    from edged.settings import CameraSection

T = TypeVar("T")

_WAIT = 20.0  # seconds for the first packet and picture
_WIDEST, _QUALITY = 1280, 85


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a camera gave: the stream's codec and size, and the packets from the last key frame on."""

    codec: str
    width: int
    height: int
    seconds: float  # from the start of opening to the first picture
    packets: tuple[Packet, ...]

    @property
    def text(self) -> str:
        """The stream in a few words."""
        return f"{self.width}x{self.height} {self.codec}, first picture after {self.seconds:.1f} s"

    def picture(self) -> Still:
        """Return the last picture as a JPEG; CameraError when it can't be decoded."""
        try:
            return still(self.packets, width=_WIDEST, quality=_QUALITY)
        except NoPictureError as error:
            raise CameraError(str(error)) from error


async def look_at(name: str, section: CameraSection, *, settle: float = 0.0) -> Look:
    """Open the camera, and read it until it gave a packet and a picture, and `settle` seconds more.

    A sensor's exposure takes a moment to find the light. CameraError when nothing comes, ConfigError without its
    password.
    """
    password = await asyncio.to_thread(reveal, section.password, f"cameras.{name}.password")
    clock = SystemClock()
    camera = backend(name, section, password=password, clock=clock)(count(1))
    try:
        async with asyncio.timeout(_WAIT + settle):
            return await on_daemon_thread(lambda: _through(camera, settle, clock))
    except TimeoutError:
        raise CameraError(f"gives no picture within {_WAIT:g} s") from None


def _through(camera: Camera, settle: float, clock: Clock) -> Look:
    started = clock.mono()
    packets: list[Packet] = []
    seen: float | None = None
    try:
        camera.open()
        for got in camera.read():
            if isinstance(got, Packet):
                if got.key:
                    packets.clear()
                if got.key or packets:  # nothing can be decoded before the first key frame
                    packets.append(got)
            elif isinstance(got, Frame):
                seen = clock.mono() if seen is None else seen
            if seen is not None and packets and clock.mono() - seen >= settle:
                break
    except CameraError:
        if seen is None or not packets:  # what it gave before it broke off is shown all the same
            raise
    finally:
        camera.close()
    if seen is None or not packets:
        raise CameraError("ended before it gave a picture")
    stream = packets[-1].stream
    return Look(
        codec=stream.codec, width=stream.width, height=stream.height, seconds=seen - started, packets=tuple(packets)
    )


async def on_daemon_thread(work: Callable[[], T]) -> T:
    """Run `work` on a thread that may hang for ever without keeping the process alive."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | Exception) -> None:
        if done.done():
            return
        if isinstance(result, Exception):
            done.set_exception(result)
        else:
            done.set_result(result)

    def run() -> None:
        try:
            result: T | Exception = work()
        except Exception as error:  # noqa: BLE001 -- handed over to the waiting coroutine, which raises it
            result = error
        with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop has ended
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, daemon=True, name="look").start()
    return await done
