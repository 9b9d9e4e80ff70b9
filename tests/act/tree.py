"""A tree of files in the shape of /sys/bus/usb/devices, as one hub with cameras shows itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edged.act.usb import Bus

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeBus(Bus):
    """A bus whose hubs can be asked without a node: all of them switch power but `unswitched`."""

    unswitched: frozenset[str] = field(default_factory=frozenset)

    def can_switch(self, hub: Path) -> bool:
        """Return what the hub would say."""
        return hub.name not in self.unswitched


def device(root: Path, name: str, *, vendor: str = "046d", product: str = "0825", serial: str = "") -> Path:
    """Add a device."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "idVendor").write_text(f"{vendor}\n")
    (folder / "idProduct").write_text(f"{product}\n")
    (folder / "authorized").write_text("1\n")
    if serial:
        (folder / "serial").write_text(f"{serial}\n")
    return folder


def port(root: Path, interface: str, name: str) -> Path:
    """Add a port that the kernel can switch; return its file."""
    folder = root / interface / name
    folder.mkdir(parents=True)
    (folder / "disable").write_text("0\n")
    return folder / "disable"
