"""A USB device's power switched off and on, through the kernel's own files below /sys.

Source: Linux, Documentation/ABI/testing/sysfs-bus-usb: `portX/disable` (since 6.0; switches the port's power) and
`authorized` (the device is let go and taken anew; its power stays). A hub that can't switch its ports would leave the
device away for good after the first: nothing tells the kernel that it is still there. So the hub is asked before.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edged.base.clock import Clock

# linux/usbdevice_fs.h: _IOWR('U', 0, struct usbdevfs_ctrltransfer)
_CONTROL = 0xC0185500
_TRANSFER = struct.Struct("@BBHHHIP")
# USB 2.0, 11.24.2.5 and 11.23.2.1 (USB 3.2, 10.16.2.4 and 10.15.2.1): the hub's descriptor and wHubCharacteristics
_FROM_HUB, _GET_DESCRIPTOR, _DESCRIPTORS = 0xA0, 6, (0x2900, 0x2A00)
_CHARACTERISTICS = 3  # its lower byte, after length, type and number of ports
_NOT_SWITCHED = 0b10  # of the bits 0 (each port by itself, or all together) and 1 (none)
_REPLY = 1000  # milliseconds

_BACK = 15.0  # seconds within which a device answers again
_LOOK = 0.1


class UsbError(Exception):
    """A device can't be reset; the text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bus:
    """Where the kernel shows USB: `devices` as files about them, `nodes` to talk to them."""

    devices: Path = Path("/sys/bus/usb/devices")
    nodes: Path = Path("/dev/bus/usb")

    def can_switch(self, hub: Path) -> bool:
        """Return whether a hub says that it can switch its ports' power; a hub that can't be asked can't."""
        numbers = [_read(hub / name) for name in ("busnum", "devnum")]
        if not all(number.isdecimal() for number in numbers):
            return False
        try:
            node = os.open(self.nodes / "/".join(f"{int(number):03}" for number in numbers), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return any(_switches(node, kind) for kind in _DESCRIPTORS)
        finally:
            os.close(node)


def _switches(node: int, kind: int) -> bool:
    """Return whether a hub's descriptor of this kind, of USB 2 or 3, says that it switches power."""
    data = ctypes.create_string_buffer(16)
    asked = _TRANSFER.pack(_FROM_HUB, _GET_DESCRIPTOR, kind, 0, len(data), _REPLY, ctypes.addressof(data))
    try:
        fcntl.ioctl(node, _CONTROL, asked)
    except OSError:
        return False
    return data.raw[1] == kind >> 8 and not data.raw[_CHARACTERISTICS] & _NOT_SWITCHED


@dataclass(frozen=True, kw_only=True, slots=True)
class Switch:
    """What is written to: `file` takes `off` and `on`, as the kernel has it. `device` is there while it answers."""

    file: Path
    off: str
    on: str
    device: Path


def reset(names: Sequence[str], method: str, seconds: float, clock: Clock, bus: Bus) -> str:
    """Switch the devices off for so long and on again; return what was done. UsbError says what can't be.

    `names` are ports or identities, and `method` is as the settings have them. Whatever happens in between, what was
    switched off is switched on again.
    """
    switches = [find(name, method, bus) for name in names]
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


def find(name: str, method: str, bus: Bus) -> Switch:
    """Return the switch of a port or device; UsbError if there is none."""
    port = _port_of(name, bus.devices) if ":" in name else name
    device = bus.devices / port
    if method != "authorize":
        hub, file = _hub(port), next(bus.devices.glob(_disable(port)), None)
        if file is not None and bus.can_switch(bus.devices / hub):
            return Switch(file=file, off="1", on="0", device=device)
        if method == "power":
            why = f"there is no such port of {hub}" if file is None else f"hub {hub} says that it can't"
            raise UsbError(f"the power of port {port} can't be switched: {why}")
    file = device / "authorized"
    if not file.exists():
        raise UsbError(f"there is no device at {port}")
    return Switch(file=file, off="0", on="1", device=device)


def _hub(port: str) -> str:
    """Return the hub of a port: of "1-1.3" it is 1-1, and "1-2" is one of bus 1 itself."""
    hub, dot, _ = port.rpartition(".")
    return hub if dot else f"usb{port.partition('-')[0]}"


def _disable(port: str) -> str:
    """Return the pattern of the file that switches a port's power."""
    hub = _hub(port)
    number = port.removeprefix(hub + ".").rpartition("-")[2]
    interface = hub if "-" in hub else f"{hub.removeprefix('usb')}-0"
    return f"{interface}:*.0/{hub}-port{number}/disable"


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
