"""A box that boots without a network, which comes later."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.container import lab
from tests.container.site import configure, events, health, site

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)  # the first one has the tree made
_KEPT = {"etc": "/etc/edged", "device": "/var/lib/edged", "receiver": "/var/lib/edged-receiver"}


def test_a_box_that_boots_without_a_network_records_and_sends_once_it_is_there(tmp_path: Path) -> None:
    """It is ready with nothing but loopback, and what waits goes out once the receiver has name and address."""
    subprocess.run(["cp", "-a", lab.installed() / "etc/edged", tmp_path / "etc"], check=True)
    for name in ("device", "receiver"):
        (tmp_path / name).mkdir()
    binds = [f"{tmp_path / name}:{place}" for name, place in _KEPT.items()]
    with site(binds=binds) as box:  # what is configured here lies on the card of the box that boots below
        configure(box, url="http://receiver.lab:8378")
        box.put("/etc/edged/receiver.toml", 'listen = "0.0.0.0:8378"\n' + box.read("/etc/edged/receiver.toml"))
        box.run("systemctl", "stop", "edged-receiver")
    with lab.boot(lab.installed(), binds=binds) as box:
        box.wait(lambda: box.unit("edged", "ActiveState") == "active", "it is ready")
        box.wait(lambda: box.unit("edged", "StatusText").startswith("1 of 1 cameras"), "its camera delivers")
        box.run("edged", "record", "door", "--for", "1s")
        box.wait(lambda: events(box, "incident closed"), "the incident is recorded")
        assert health(box)["link"] == "down"
        assert not events(box, "delivered")
        box.sh("ip address add 10.99.0.1/32 dev lo; echo 10.99.0.1 receiver.lab >>/etc/hosts")
        box.wait(lambda: len(events(box, "delivered")) == 2, "snapshot and clip arrive", limit=180)
        assert health(box)["link"] == "up"
        assert len(events(box, "file stored", unit="edged-receiver")) == 2
        assert box.unit("edged", "NRestarts") == "0"
