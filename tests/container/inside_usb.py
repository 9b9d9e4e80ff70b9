"""What runs inside the virtual machine: whoever is edged asks for resets of real USB devices, and watches them go.

Prints one JSON object a line; the test outside reads them from the serial port. At the end the machine is rebooted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

DEVICES = Path("/sys/bus/usb/devices")
ANSWERS = Path("/run/edged-act/answers.json")
ASK = "/run/edged/ask"
TABLET = "0627:0001"  # what QEMU's devices say that they are

_CONFIG = """
[reset.switched]
usb = ["{switched}"]
off = "1s"
[reset.plain]
usb = ["{tablet}:{serial}"]
off = "1s"
[reboot]
allowed = true
"""
_CLOCK = "from edged.base.clock import SystemClock as C, _kernel_clock_state as s; print(C().synced(), s())"


def tell(what: str, **facts: object) -> None:
    """Print a line for the test outside."""
    print(json.dumps({"what": what} | facts), flush=True)  # noqa: T201 -- the serial port is its only way out


def main() -> None:
    """Run every scene."""
    switched, beside, plain = sorted(path.name for path in DEVICES.glob("*-*") if _identity(path) == TABLET)
    tell("devices", switched=switched, beside=beside, plain=plain)
    config = _CONFIG.format(switched=switched, tablet=TABLET, serial=_read(DEVICES / plain / "serial"))
    Path("/etc/edged/act.toml").write_text(config, encoding="utf-8")
    _reset("switched", switched, beside)
    _reset("plain", plain, beside)
    for unit in ("edged.service", "edged.service.d/clock.conf"):
        tell(f"clock {unit}", said=_clock(unit))
    _ask("reboot")
    time.sleep(300)


def _reset(camera: str, name: str, neighbour: str) -> None:
    """Ask for a reset, and tell what became of the device meanwhile, and of the one beside it."""
    device, gone, over = DEVICES / name, set[str](), threading.Event()
    before, beside = _read(device / "devnum"), _read(DEVICES / neighbour / "devnum")

    def watch() -> None:
        while not over.is_set():
            parts = {"device": device, "interface": device / f"{name}:1.0"}
            gone.update(part for part, path in parts.items() if not path.exists())

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    answer = _ask(f"reset-{camera}")
    over.set()
    watching.join()
    tell(
        camera,
        answer=answer,
        gone=sorted(gone),
        back=(device / f"{name}:1.0").exists(),
        anew=_read(device / "devnum") != before,
        untouched=_read(DEVICES / neighbour / "devnum") == beside,
    )


def _ask(name: str) -> str:
    """Ask as edged does, and return the answer; of a reboot none comes."""
    identity = os.urandom(16).hex()
    put = f"umask 077; mkdir -p {ASK}; chmod 770 {ASK}; printf '{identity}\\nin the machine\\n' >{ASK}/.x"
    put += f"; chmod 640 {ASK}/.x; mv {ASK}/.x {ASK}/{name}"
    subprocess.run(["install", "-d", "-m", "710", "-o", "edged", "-g", "edged", "/run/edged"], check=True)
    subprocess.run(["setpriv", "--reuid=edged", "--regid=edged", "--clear-groups", "sh", "-c", put], check=True)
    end = time.perf_counter() + 120.0
    while time.perf_counter() < end:
        answer = json.loads(_read(ANSWERS) or "{}").get(name)
        if answer is not None and answer["id"] == identity:
            return f"{answer['outcome']}: {answer['text']}"
        time.sleep(0.05)
    return "no answer"


def _clock(unit: str) -> str:
    """Return what the product says of the clock in a service's own sandbox."""
    folder = Path("/opt/edged/current/systemd")
    lines = [line for path in ("edged.service", unit) for line in (folder / path).read_text().splitlines()]
    sandbox = [line for line in lines if line.startswith(("SystemCall", "ProtectClock", "NoNewPrivileges", "Capab"))]
    options = [part for line in sandbox for part in ("-p", line)]
    command = ["systemd-run", "-q", "--wait", "--pipe", *options, sys.executable, "-I", "-c", _CLOCK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip()


def _identity(device: Path) -> str:
    return f"{_read(device / 'idVendor')}:{_read(device / 'idProduct')}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
