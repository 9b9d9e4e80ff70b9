"""The privileged helper on real USB devices: of a virtual machine, with its own kernel and systemd and the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.container import lab
from tests.vivid.machine import UnavailableError, run_system

# pointing devices: two at a hub that switches its ports, one at the bus itself, which does not
_DEVICES = (
    *("qemu-xhci,id=bus", "usb-hub,bus=bus.0,port=1,port-power=on"),
    *("usb-tablet,bus=bus.0,port=1.2", "usb-tablet,bus=bus.0,port=1.3", "usb-tablet,bus=bus.0,port=2"),
)
_PYTHON = "/opt/edged/current/bin/python -I"
_WITHOUT = ("edged.service", "edged-receiver.service", "edged-ensure.timer")


@pytest.mark.timeout(900)  # an emulated processor, on a machine that may have other things to do
def test_a_device_is_reset_and_the_machine_rebooted() -> None:
    """By its port's power where the hub can, else let go: it goes and comes back anew, and the one beside it stays.

    The clock: in the service's sandbox the kernel does not tell (-1) and is not believed to have said yes; with the
    drop-in for other time services it tells that it is not synchronised (5).
    """
    script = Path(__file__).with_name("inside_usb.py")
    try:
        told = run_system(lab.installed(), script, _PYTHON, without=_WITHOUT, devices=_DEVICES, seconds=870)
    except UnavailableError as error:
        pytest.skip(f"no virtual machine here: {error}")
    said = {line.pop("what"): line for line in told}
    assert said.pop("devices") == {"switched": "1-1.2", "beside": "1-1.3", "plain": "1-2"}
    assert said == {
        "switched": {
            "answer": "done: power off for 1 s, and it is back",
            "gone": ["device", "interface"],
            "back": True,
            "anew": True,
            "untouched": True,
        },
        "plain": {
            "answer": "done: let go for 1 s, and it is back",
            "gone": ["interface"],
            "back": True,
            "anew": False,
            "untouched": True,
        },
        "clock edged.service": {"said": "False -1"},
        "clock edged.service.d/clock.conf": {"said": "False 5"},
        "restarted": {},
    }
