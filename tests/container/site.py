"""A site in a box: the receiver on loopback, a device that watches a drawn scene, and how to see what they did."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from tests.container import lab

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.container.lab import Box

SABOTEUR = "/opt/lab/sabotage.py"
KEY = "/etc/edged/receiver.key"
_KEY = f'{{ file = "{KEY}" }}'
_URL = "http://127.0.0.1:8378"
_DEVICE = """
[device]
name = "lab"
timezone = "Europe/Berlin"
[outbox]
warn_share = "0%"
critical_share = "0%"
critical_free = "100MB"
"""
_CAMERA = """
[cameras.door]
source = "synthetic"
size = "320x180"
synthetic = { walks = [], lamps = [] }
"""
_LINE = """
[receiver]
url = "{url}"
device = "lab"
key = {key}
reply_timeout = "5s"
[push]
rate = "{rate}"
"""


@contextlib.contextmanager
def site(*, rate: str = "100Mbit/s", binds: Sequence[str] = ()) -> Iterator[Box]:
    """Boot a box where edged is installed, with limits that bind; the receiver runs, the device is only configured.

    The device may send `rate`; `binds` as `lab.boot` has it.
    """
    with lab.boot(lab.installed(), binds=binds) as box:
        box.enforce()
        box.wait(lambda: box.unit("edged-receiver", "ActiveState") == "active", "the receiver is ready")
        box.put(KEY, add_device(box), mode=0o600, owner="edged:edged")
        configure(box, rate=rate)
        yield box


def start(box: Box) -> None:
    """Start the device, and wait until its camera delivers."""
    box.run("systemctl", "start", "edged")
    box.wait(lambda: box.unit("edged", "StatusText").startswith("1 of 1 cameras"), "its camera delivers")


def configure(
    box: Box, *, camera: str = _CAMERA, rate: str = "100Mbit/s", url: str = _URL, key: str = _KEY, more: str = ""
) -> None:
    """Write the device's configuration; `url` is the receiver's, `key` says where the device's key is."""
    box.put("/etc/edged/edged.toml", _DEVICE + camera + _LINE.format(url=url, key=key, rate=rate) + more)


def add_device(box: Box, name: str = "lab") -> str:
    """Make the receiver know a device, and return its key."""
    as_receiver = ("runuser", "-u", "edged-receiver", "--")
    return box.run(*as_receiver, "edged", "receive", "device", "add", name).stdout.strip()


@contextlib.contextmanager
def drop_in(box: Box, unit: str, text: str) -> Iterator[None]:
    """Have `text` change a unit, as `systemctl edit --runtime` would."""
    path = f"/run/systemd/system/{unit}.d/lab.conf"
    box.put(path, text)
    box.run("systemctl", "daemon-reload")
    yield
    box.run("rm", path)
    box.run("systemctl", "daemon-reload")


def sabotaged(box: Box, *, order: str = "wedge", watchdog: str = "4s") -> None:
    """Have the service run with a saboteur inside, who obeys SIGUSR1, in the same sandbox with another watchdog."""
    source = lab.REPOSITORY / "scripts" / "soaks" / "sabotage.py"
    box.put(SABOTEUR, source.read_text(encoding="utf-8"))
    box.put("/opt/lab/order", order)
    run = f"/opt/edged/current/bin/python -P {SABOTEUR} run"
    text = f"[Service]\nEnvironment=SABOTAGE=/opt/lab/order\nExecStart=\nExecStart={run}\nWatchdogSec={watchdog}\n"
    box.put("/run/systemd/system/edged.service.d/sabotage.conf", text)
    box.run("systemctl", "daemon-reload")


def health(box: Box) -> dict[str, Any]:
    """Return what the device's /health says."""
    script = "import urllib.request as u, urllib.error as e\ntry: r = u.urlopen('http://127.0.0.1:8377/health')\n"
    script += "except e.HTTPError as answer: r = answer\nprint(r.read().decode())"
    found: dict[str, Any] = json.loads(box.run("python3", "-c", script).stdout)
    return found


def events(box: Box, event: str, unit: str = "edged") -> list[dict[str, Any]]:
    """Return the journal's entries of one kind of event."""
    return [entry for entry in box.journal("-u", unit) if entry.get("EDGED_EVENT") == event]
