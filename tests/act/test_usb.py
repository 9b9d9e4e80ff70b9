"""A USB device's power by the kernel's files: which one is written, and that nothing stays off."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from edged.act import usb
from edged.act.usb import Bus, UsbError, find, reset
from edged.base.clock import SystemClock
from tests.act.tree import TreeBus, device, port

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "method", "file"),
    [
        ("1-1.3", "auto", "1-1:1.0/1-1-port3/disable"),
        ("1-1.3", "power", "1-1:1.0/1-1-port3/disable"),
        ("1-1.3", "authorize", "1-1.3/authorized"),
        ("2-1", "auto", "2-0:1.0/usb2-port1/disable"),  # of the bus itself
        ("1-1.4", "auto", "1-1:1.0/1-1-port4/disable"),  # nothing is there now: it fell off the bus
        ("3-2", "auto", "3-2/authorized"),  # before Linux 6.0
        ("4-2", "auto", "4-2/authorized"),  # the hub can't: off by its port it would stay away
        ("046d:0825:A7", "auto", "1-1:1.0/1-1-port3/disable"),
        ("1a2b:0001", "authorize", "3-2/authorized"),
    ],
)
def test_the_file_that_switches_a_device(tmp_path: Path, name: str, method: str, file: str) -> None:
    """A port's power where the kernel can switch it, else what lets the device go."""
    assert find(name, method, _tree(tmp_path)).file == tmp_path / file


@pytest.mark.parametrize(
    ("name", "method", "words"),
    [
        ("3-2", "power", "the power of port 3-2 can't be switched: there is no such port of usb3"),
        ("4-2", "power", "the power of port 4-2 can't be switched: hub usb4 says that it can't"),
        ("1-1.4", "authorize", "no device at 1-1.4"),
        ("9-9", "auto", "no device at 9-9"),
        ("046d:0825", "auto", "3 devices are 046d:0825 (1-1.2, 1-1.3, 4-2)"),
        ("dead:beef", "auto", "no device is dead:beef now: name its port"),
    ],
)
def test_what_can_not_be_switched_is_told(tmp_path: Path, name: str, method: str, words: str) -> None:
    """The sentence says what is missing, and what to write instead."""
    bus = _tree(tmp_path)
    with pytest.raises(UsbError) as refused:
        find(name, method, bus)
    assert words in str(refused.value)


def _tree(root: Path) -> Bus:
    device(root, "1-1.2", serial="A6")
    device(root, "1-1.3", serial="A7")
    device(root, "3-2", vendor="1a2b", product="0001")
    for number in (2, 3, 4):
        port(root, "1-1:1.0", f"1-1-port{number}")
    port(root, "2-0:1.0", "usb2-port1")
    device(root, "4-2")
    port(root, "4-0:1.0", "usb4-port2")
    return TreeBus(devices=root, unswitched=frozenset({"usb4"}))


def test_ports_go_off_together_and_on_again(tmp_path: Path) -> None:
    """A hub that switches all of its ports or none cuts the power only while all of them are off."""
    files = [port(tmp_path, "1-1:1.0", f"1-1-port{number}") for number in (1, 2)]
    for number in (1, 2):
        device(tmp_path, f"1-1.{number}")
    seen = threading.Event()

    def watch() -> None:
        while [file.read_text()[0] for file in files] != ["1", "1"]:
            pass
        seen.set()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    assert (
        reset(["1-1.1", "1-1.2"], "auto", 0.5, SystemClock(), TreeBus(devices=tmp_path))
        == "power off for 0.5 s, and it is back"
    )
    assert seen.wait(10)
    assert [file.read_text()[0] for file in files] == ["0", "0"]


def test_what_was_switched_off_is_switched_on_when_another_can_not_be(tmp_path: Path) -> None:
    """The second port is gone meanwhile: the first one does not stay dark for it."""
    first = port(tmp_path, "1-1:1.0", "1-1-port1")
    second = port(tmp_path, "1-1:1.0", "1-1-port2")
    second.unlink()
    second.mkdir()
    with pytest.raises(UsbError, match="1-1-port2/disable: Is a directory"):
        reset(["1-1.1", "1-1.2"], "auto", 0.0, SystemClock(), TreeBus(devices=tmp_path))
    assert first.read_text()[0] == "0"


def test_a_device_that_does_not_come_back_is_told(tmp_path: Path) -> None:
    """The power was reset as asked; that it did not help is part of the answer."""
    port(tmp_path, "1-1:1.0", "1-1-port1")

    class Hurried(SystemClock):
        """Fifteen seconds between two looks."""

        now = 0.0

        def mono(self) -> float:
            self.now += 15.0
            return self.now

    told = reset(["1-1.1"], "auto", 0.0, Hurried(), TreeBus(devices=tmp_path))
    assert told == "power off for 0 s, but nothing answers at 1-1.1"


def test_no_file_is_made_where_the_kernel_has_none(tmp_path: Path) -> None:
    """A device that disappears between look and write is an error, not a new file."""
    with pytest.raises(UsbError, match="No such file"):
        usb._write(tmp_path / "authorized", "0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("bus", "number"), [("1", ""), ("", ""), ("x", "1"), ("1", "2")])
def test_a_hub_that_can_not_be_asked_is_not_switched(tmp_path: Path, bus: str, number: str) -> None:
    """No numbers, no node: then the device is let go, which does no harm."""
    (tmp_path / "busnum").write_text(f"{bus}\n")
    (tmp_path / "devnum").write_text(f"{number}\n")
    assert not Bus(devices=tmp_path, nodes=tmp_path).can_switch(tmp_path)


def test_what_is_no_hub_says_nothing(tmp_path: Path) -> None:
    """A node that takes no such question."""
    (tmp_path / "busnum").write_text("1\n")
    (tmp_path / "devnum").write_text("2\n")
    (tmp_path / "001").mkdir()
    (tmp_path / "001" / "002").touch()
    assert not Bus(devices=tmp_path, nodes=tmp_path).can_switch(tmp_path)
