"""A USB device's power switched off and on, through the kernel's own files below /sys.

Source: Linux, Documentation/ABI/testing/sysfs-bus-usb: `portX/disable` (since 6.0; switches the port's power, where the
hub can) and `authorized` (the device is let go and enumerated anew; its power stays).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edged.base.clock import Clock

DEVICES = Path("/sys/bus/usb/devices")

_BACK = 15.0  # seconds within which a device answers again
_LOOK = 0.1


class UsbError(Exception):
    """A device can't be reset; the text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Switch:
    """What is written to: `file` takes `off` and `on`, as the kernel has it. `device` is there while it answers."""

    file: Path
    off: str
    on: str
    device: Path


def reset(names: Sequence[str], method: str, seconds: float, clock: Clock, devices: Path = DEVICES) -> str:
    """Switch the devices off for so long and on again; return what was done. UsbError says what can't be.

    `names` are ports or identities, and `method` is as the settings have them. Whatever happens in between, what was
    switched off is switched on again.
    """
    switches = [find(name, method, devices) for name in names]
    done: list[Switch] = []
    try:
        for switch in switches:
            done.append(switch)
            _write(switch.file, switch.off)
        time.sleep(seconds)
    finally:
        refused = [error for switch in done if (error := _try_on(switch))]
    if refused:
        raise UsbError("; ".join(refused))
    what = "power off" if switches[0].file.name == "disable" else "let go"
    missing = _wait(switches, clock)
    back = f"but nothing answers at {', '.join(missing)}" if missing else "and it is back"
    return f"{what} for {seconds:g} s, {back}"


def find(name: str, method: str, devices: Path = DEVICES) -> Switch:
    """Return the switch of a port or device; UsbError if there is none."""
    port = _port_of(name, devices) if ":" in name else name
    device = devices / port
    if method != "authorize":
        for file in devices.glob(_disable(port)):
            return Switch(file=file, off="1", on="0", device=device)
        if method == "power":
            raise UsbError(f"the kernel can't switch the power of port {port}: it has no such port, or is before 6.0")
    file = device / "authorized"
    if not file.exists():
        raise UsbError(f"there is no device at {port}")
    return Switch(file=file, off="0", on="1", device=device)


def _disable(port: str) -> str:
    """Return the pattern of a port's file: "1-1.3" is port 3 of hub 1-1, "1-2" is port 2 of bus 1 itself."""
    hub, dot, number = port.rpartition(".")
    if dot:
        return f"{hub}:*.0/{hub}-port{number}/disable"
    bus, _, number = port.partition("-")
    return f"{bus}-0:*.0/usb{bus}-port{number}/disable"


def _port_of(identity: str, devices: Path) -> str:
    """Return where the device is that says that it is "VENDOR:PRODUCT" or "VENDOR:PRODUCT:SERIAL"."""
    vendor, product, *serial = identity.split(":", 2)
    wanted = {"idVendor": vendor, "idProduct": product} | ({"serial": serial[0]} if serial else {})
    found = [
        device.name
        for device in sorted(devices.glob("*-*"))
        if all(_read(device / file) == value for file, value in wanted.items())
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsbError(f"{len(found)} devices are {identity} ({', '.join(found)}): name the port or the serial number")
    raise UsbError(f"no device is {identity} now: name its port instead, which stays when it falls off the bus")


def _wait(switches: Sequence[Switch], clock: Clock) -> list[str]:
    """Return which devices do not answer in time."""
    end = clock.mono() + _BACK
    while True:
        missing = [switch.device.name for switch in switches if not (switch.device / "idVendor").exists()]
        if not missing or clock.mono() >= end:
            return missing
        time.sleep(_LOOK)


def _try_on(switch: Switch) -> str:
    try:
        _write(switch.file, switch.on)
    except UsbError as error:
        return str(error)
    return ""


def _write(file: Path, value: str) -> None:
    try:
        with file.open("r+b", buffering=0) as handle:  # never makes a file: what is gone meanwhile is an error
            handle.write(value.encode())
    except OSError as error:
        raise UsbError(f"{file}: {error.strerror}") from error


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
