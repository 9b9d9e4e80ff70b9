"""One opening of a camera on a thread of its own, which is abandoned when it hangs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import traceback
from typing import TYPE_CHECKING

import structlog

from edged.base.errors import CameraError
from edged.capture.health import Observer
from edged.model import Packet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edged.base.clock import Clock
    from edged.capture.camera import Camera
    from edged.capture.health import Vitals
    from edged.capture.settings import HealthSettings
    from edged.capture.view import ViewWatch
    from edged.model import Frame

log = structlog.get_logger(__name__)

_PATIENCE = 0.5  # seconds after which a thread that waits for detection looks whether it was abandoned


class Reader:
    """Opens `camera`, reads it to its end and closes it, all on one daemon thread.

    A blocking call into a driver or a library can't be interrupted, so a hung thread is left behind:
    after `abandon` nothing it may still deliver goes anywhere, and if it ever wakes it closes its camera.
    `on_packet` is called on the thread, `on_frame` and `on_end` on the event loop; with `waits` the thread
    reads on only when the frame before has been taken.
    """

    def __init__(
        self,
        camera: Camera,
        name: str,
        settings: HealthSettings,
        clock: Clock,
        *,
        on_packet: Callable[[Packet], None],
        on_frame: Callable[[Frame], Awaitable[None]],
        on_end: Callable[[], None],
        waits: bool,
        view: ViewWatch,
    ) -> None:
        self._camera = camera
        self._name = name
        self._clock = clock
        self._on_packet = on_packet
        self._on_frame = on_frame
        self._on_end = on_end
        self._waits = waits
        self._loop = asyncio.get_running_loop()
        self._observer = Observer(settings, clock.mono(), view)
        self._lock = threading.Lock()
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def adopt(self, settings: HealthSettings) -> None:
        """Observe by other settings from the next frame on."""
        self._observer.adopt(settings)

    def vitals(self) -> Vitals:
        """Return what was observed so far."""
        return self._observer.vitals()

    def abandon(self) -> None:
        """Let nothing more through; the thread ends as soon as it can."""
        with self._lock:
            self._abandoned = True

    def join(self, seconds: float) -> bool:
        """Wait for the thread at most `seconds`; return whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._camera.open()
            self._pump()
            self._observer.ended = True
        except CameraError as error:
            self._observer.error = str(error)
        except Exception as error:  # noqa: BLE001 -- a camera's thread is a border: drivers and libraries raise anything
            self._observer.error = _place(error)  # without its text, which may show a URL with its password
        finally:
            self._close()
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._end)

    def _close(self) -> None:
        try:
            self._camera.close()
        except Exception as error:  # noqa: BLE001 -- the same border; the device will show at the next opening
            log.warning("camera not closed cleanly", camera=self._name, error=_place(error))

    def _pump(self) -> None:
        for item in self._camera.read():
            with self._lock:
                if self._abandoned:
                    return
                if isinstance(item, Packet):
                    self._on_packet(item)
                    self._observer.packet(item, self._clock.mono())
                    continue
            self._observer.frame(item, self._clock.mono())
            self._hand_over(item)

    def _hand_over(self, frame: Frame) -> None:
        handing = self._deliver(frame)
        try:
            future = asyncio.run_coroutine_threadsafe(handing, self._loop)
        except RuntimeError:  # the loop is closed: a thread left behind woke after the end
            handing.close()
            return
        while self._waits and not self._abandoned:
            with contextlib.suppress(TimeoutError):
                future.result(_PATIENCE)
                return
        if self._abandoned:
            future.cancel()

    async def _deliver(self, frame: Frame) -> None:
        if not self._abandoned:
            await self._on_frame(frame)

    def _end(self) -> None:
        if not self._abandoned:
            self._on_end()


def _place(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {last.filename}:{last.lineno}"
