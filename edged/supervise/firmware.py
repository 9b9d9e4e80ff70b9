"""What a Raspberry Pi's firmware tells of its power and its heat: a weak supply corrupts cards and hangs cameras.

The flags are those of `vcgencmd get_throttled`, read where the kernel shows them, which needs no privilege.
Source: Raspberry Pi documentation, "vcgencmd"; the kernel's driver raspberrypi-hwmon reads the same word.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from edged.base.pulse import Pulse

log = structlog.get_logger(__name__)

THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
TEMPERATURE = Path("/sys/class/thermal/thermal_zone0/temp")
_LOOK = 10.0  # seconds
_PAST = 16  # a flag that much higher says that it was so since the machine's start
_MILLI = 1000

_NOW = {
    0: "The supply's voltage is too low. Use the supply made for this Pi and a short, thick cable",
    1: "The processor is slowed down for its heat or its supply",
    2: "The processor is throttled for its heat or its supply",
    3: "The processor is near its limit of heat. Give it air or a heat sink",
}
_BEFORE = {
    0: "The supply's voltage was too low since the start. Use the supply made for this Pi and a short, thick cable",
    2: "The processor was throttled since the start, for its heat or its supply",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Firmware:
    """The firmware's flags, and the processor's temperature in degrees Celsius where it is known."""

    flags: int
    temperature: float | None

    @property
    def undervoltage(self) -> bool:
        """Whether the supply's voltage is too low now."""
        return bool(self.flags & 1)

    @property
    def throttled(self) -> bool:
        """Whether the processor is slowed down now."""
        return bool(self.flags & 0b1110)


def warnings(firmware: Firmware) -> tuple[str, ...]:
    """Return what is amiss, now or since the machine's start, as sentences without their full stop."""
    now = [text for bit, text in _NOW.items() if firmware.flags >> bit & 1]
    past = [
        text for bit, text in _BEFORE.items() if firmware.flags >> (bit + _PAST) & 1 and not firmware.flags >> bit & 1
    ]
    return tuple(now + past)


class FirmwareWatch:
    """Looks at the firmware now and then; `newest` is what it told last, None on a machine that is no Pi."""

    def __init__(self, throttled: Path = THROTTLED, temperature: Path = TEMPERATURE) -> None:
        self._throttled = throttled
        self._temperature = temperature
        self.newest: Firmware | None = None

    async def run(self, pulse: Pulse) -> None:
        """Look until cancelled."""
        while True:
            await self.step()
            pulse.beat()
            await asyncio.sleep(_LOOK)

    async def step(self) -> None:
        """Look once, and log what is newly amiss."""
        before = warnings(self.newest) if self.newest is not None else ()
        self.newest = await asyncio.to_thread(self._look)
        for text in warnings(self.newest) if self.newest is not None else ():
            if text not in before:
                log.warning("power or heat", reason=text)

    def _look(self) -> Firmware | None:
        try:
            flags = int(self._throttled.read_text(), 16)
        except (OSError, ValueError):
            return None
        try:
            temperature = int(self._temperature.read_text()) / _MILLI
        except (OSError, ValueError):
            temperature = None
        return Firmware(flags=flags, temperature=temperature)
