"""A tree of files in the shape of /sys/bus/usb/devices, as one hub with cameras shows itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
