"""./scripts/install on a bare Debian: what it makes, what a second run does, what ./scripts/uninstall leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.container import lab
from tests.container.sources import Sources

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(900)  # the first time a Debian is made, and the wheels are fetched

_CONFIG = """
[device]
name = "shop-1"

[cameras.door]
source = "synthetic"
size = "320x240"
rate = 5.0
"""
# What Raspberry Pi OS has in its archive, as far as an installation meets it: the cameras are those of a file, and
# numpy comes along.
_PICAMERA2 = """
import json
import pathlib

_SENSORS = pathlib.Path("/run/sensors.json")


class Picamera2:
    @staticmethod
    def global_camera_info():
        return json.loads(_SENSORS.read_text()) if _SENSORS.exists() else []

    def __init__(self, *_, **__):
        raise RuntimeError("Camera __init__ sequence did not complete.")
"""
_CONTROL = """Package: python3-picamera2
Version: 0.3.30-1
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: a stand-in
"""
_ARCHIVE = """
    python3 -m zipfile -e /wheels/numpy-*.whl /tmp/package/usr/lib/python3/dist-packages
    mkdir /srv/raspberrypi
    cd /srv/raspberrypi
    dpkg-deb -Znone -b /tmp/package picamera2.deb
    { dpkg-deb -f picamera2.deb; echo Filename: ./picamera2.deb; echo Size: $(stat -c %s picamera2.deb)
      echo SHA256: $(sha256sum picamera2.deb | cut -d' ' -f1); } >Packages
    rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
    echo 'deb [trusted=yes] file:/srv/raspberrypi ./' >/etc/apt/sources.list.d/raspi.list
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Where this module's copies lie."""
    return Sources(folder=tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def box(sources: Sources) -> Iterator[lab.Box]:
    """A bare Debian that finds the locked wheels, and sees no network."""
    base = lab.debian()
    binds = [f"{sources.folder}:/sources:ro", f"{lab.wheels(base)}:/wheels:ro"]
    environment = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
    with lab.boot(base, binds=binds, environment=environment) as box:
        yield box


@pytest.fixture(scope="module")
def first(box: lab.Box, sources: Sources) -> tuple[str, subprocess.CompletedProcess[str]]:
    """The first version's scripts, and what their first installation said, for somebody with a strict umask."""
    box.put("/tmp/package/DEBIAN/control", _CONTROL)
    box.put("/tmp/package/usr/lib/python3/dist-packages/picamera2/__init__.py", _PICAMERA2)
    box.sh(_ARCHIVE)
    scripts = sources.make("first")
    return scripts, box.sh(f"umask 077; {scripts}/install")


def test_without_a_camera_all_is_installed_and_the_service_waits(
    box: lab.Box, first: tuple[str, subprocess.CompletedProcess[str]]
) -> None:
    """Where no camera is found nothing can run yet: the person is told what to do next, and nothing fails."""
    assert "no camera was found" in first[1].stderr
    assert "nothing is configured yet, so edged.service waits. Next: sudo edged setup" in first[1].stderr
    assert not box.exists("/etc/edged/edged.toml")
    assert box.run("systemctl", "is-enabled", "edged.service").stdout == "enabled\n"
    assert box.run("systemctl", "start", "edged.service").returncode == 0
    assert box.unit("edged.service", "ActiveState") == "inactive"
    assert box.run("edged", "--version").stdout.startswith("edged ")
    assert box.sh("id -nG edged; id -nG edged-receiver").stdout == "edged video\nedged-receiver\n"
    assert box.sh("systemctl --failed --plain --no-legend").stdout == ""


def test_a_camera_is_found_written_down_and_watched(
    box: lab.Box, first: tuple[str, subprocess.CompletedProcess[str]]
) -> None:
    """On Raspberry Pi OS picamera2 comes from its archive, and what it finds is configured; then the service runs."""
    box.put("/run/sensors.json", '[{"Model": "imx708", "Num": 0, "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}]')
    said = box.run(f"{first[0]}/install").stderr
    assert "camera pi-camera: picamera 0" in said
    assert "edged check:" in said
    assert "edged.service: well after" in said
    assert "include-system-site-packages = true" in box.read("/opt/edged/current/pyvenv.cfg")
    assert "[cameras.pi-camera]\n" in box.read("/etc/edged/edged.toml")
    assert box.sh("stat -c %a:%U:%G /etc/edged/edged.toml").stdout == "640:root:edged\n"
    process = box.unit("edged.service", "MainPID")
    assert box.run("ps", "-o", "user=", "-p", process).stdout.strip() == "edged"
    assert box.sh("stat -c %a:%U /var/lib/edged /opt/edged/current/").stdout == "700:edged\n755:root\n"
    assert box.sh("find /opt/edged/releases -perm /022 ! -type l -print -quit").stdout == ""
    waiting = box.sh("systemctl list-unit-files 'edged*' --state=enabled --no-legend").stdout.split()
    assert {name for name in waiting if name.endswith((".timer", ".path"))} == {"edged-act.path", "edged-ensure.timer"}
    assert box.run("systemctl", "is-active", "edged-act.path", "edged-ensure.timer").stdout == "active\nactive\n"


def test_a_second_run_changes_and_restarts_nothing(
    box: lab.Box, first: tuple[str, subprocess.CompletedProcess[str]]
) -> None:
    """The service's very process goes on, and no file is written."""
    look = "find /opt/edged /usr/local /etc/systemd /etc/edged -printf '%p %T@ %i\\n' | sort"
    process, before = box.unit("edged.service", "MainPID"), box.sh(look).stdout
    assert "was installed already: nothing was restarted" in box.run(f"{first[0]}/install").stderr
    assert box.unit("edged.service", "MainPID") == process
    assert box.sh(look).stdout == before


def test_two_at_once_are_refused(box: lab.Box, first: tuple[str, subprocess.CompletedProcess[str]]) -> None:
    """The second one says why it ends."""
    done = box.run("flock", "/run/edged-install.lock", f"{first[0]}/install", check=False)
    assert (done.returncode, "another installation is under way" in done.stderr) == (1, True)


def test_a_receiver_is_installed_beside_it(box: lab.Box, first: tuple[str, subprocess.CompletedProcess[str]]) -> None:
    """The receiver's configuration has the address that was named, and its service answers as its own user."""
    box.run(f"{first[0]}/install", "--receiver", "http://127.0.0.1:8378")
    assert 'public_url = "http://127.0.0.1:8378"' in box.read("/etc/edged/receiver.toml")
    assert box.sh("stat -c %a:%U:%G /etc/edged/receiver.toml").stdout == "640:root:edged-receiver\n"
    assert box.unit("edged-receiver.service", "ActiveState") == "active"
    assert box.run("systemctl", "is-enabled", "edged-receiver.service").stdout == "enabled\n"
    key = box.run("runuser", "-u", "edged-receiver", "--", "edged", "receive", "device", "add", "shop-1").stdout
    assert len(key.strip()) > 20


def test_what_uninstall_leaves_and_says(box: lab.Box, first: tuple[str, subprocess.CompletedProcess[str]]) -> None:
    """Programs, units and links go; configuration and recordings stay until purged, undelivered ones even then."""
    scripts, _ = first
    box.put("/etc/edged/edged.toml", _CONFIG)
    box.run("systemctl", "restart", "edged.service")
    box.wait(lambda: box.run("edged", "record", "door", "--for", "2", check=False).returncode == 0, "a recording")
    box.wait(lambda: box.sh("ls /var/lib/edged/clips/*/*/part-*.mp4", check=False).returncode == 0, "a clip")
    refused = box.run(f"{scripts}/uninstall", "--purge", check=False)
    assert (refused.returncode, box.unit("edged.service", "ActiveState")) == (1, "active")
    assert "not proven to be anywhere else; /var/lib/edged-receiver may be the only place" in refused.stderr
    assert "nothing was removed" in refused.stderr
    said = box.run(f"{scripts}/uninstall").stderr
    assert "left: /var/lib/edged: what the device has kept" in said
    assert "files are not proven to be anywhere else" in said
    assert (
        box.sh("ls -d /opt/edged /usr/local/bin/edged /usr/local/lib/systemd/system/edged*", check=False).stdout == ""
    )
    assert box.sh("systemctl list-unit-files 'edged*' --no-legend || systemctl --failed --no-legend").stdout == ""
    assert box.exists("/var/lib/edged/outbox.db")
    assert box.exists("/etc/edged/edged.toml")
    refused = box.run(f"{scripts}/uninstall", "--purge", check=False)
    assert (refused.returncode, "nobody can tell whether" in refused.stderr) == (1, True)
    box.run(f"{scripts}/uninstall", "--purge", "--lose-clips")
    left = box.sh("find / -xdev \\( -name '*edged*' -o -nouser \\) ! -path '/sources*' ! -path '/run/*'")
    assert left.stdout == ""
    assert box.run("id", "edged", check=False).returncode == 1
