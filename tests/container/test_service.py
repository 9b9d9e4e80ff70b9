"""edged.service and edged-receiver.service in a real systemd: start, watchdog, kill, ordered stop, rest and return."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.container.site import configure, drop_in, events, health, sabotaged, site, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.container.lab import Box

pytestmark = pytest.mark.timeout(600)  # the first one has the tree made
_BYTES = 3_000_000
_RATE = "4Mbit/s"  # six seconds
_SLACK = 400_000  # bytes of the device's other requests, and of those that were on the way at the kill


@pytest.fixture
def box() -> Iterator[Box]:
    """A site whose line is slow."""
    with site(rate=_RATE) as box:
        yield box


def test_it_is_active_once_it_is_ready(box: Box) -> None:
    """Systemd takes neither program for started before it said so, and shows its line on how things are."""
    start(box)
    assert box.unit("edged", "Type") == box.unit("edged-receiver", "Type") == "notify"
    assert box.run("systemctl", "is-active", "edged", "edged-receiver").stdout == "active\nactive\n"
    told = [entry["MESSAGE"] for entry in box.journal("-u", "edged")]
    assert told.index(next(text for text in told if text.startswith("edged runs"))) < told.index(
        next(text for text in told if text.startswith("Started edged.service"))
    )
    assert box.unit("edged", "WatchdogUSec") == "30s"


@pytest.mark.parametrize("fault", ["killed", "wedged"])
def test_an_upload_and_an_incident_go_on_after_a_restart(box: Box, fault: str) -> None:
    """Killed, or its event loop wedged and aborted by the watchdog: what arrived is not sent again, nothing is lost."""
    if fault == "wedged":
        sabotaged(box)
    start(box)
    _upload(box)
    incident = _record(box)
    box.wait(lambda: _arrived(box) > _BYTES // 3, "a third has arrived")
    pid = box.unit("edged", "MainPID")
    box.run("systemctl", "kill", "--kill-whom=main", f"--signal={'KILL' if fault == 'killed' else 'USR1'}", "edged")
    box.wait(lambda: box.unit("edged", "NRestarts") == "1", "systemd starts it anew")
    had = _arrived(box)
    box.wait(lambda: box.unit("edged", "ActiveState") == "active", "it is ready again")
    box.wait(lambda: any(entry["EDGED_KIND"] == "document" for entry in events(box, "delivered")), "the upload ends")
    assert health(box)["bytes_sent"] < _BYTES - had + _SLACK
    box.wait(lambda: any(entry["EDGED_KIND"] == "clip" for entry in events(box, "delivered")), "the clip arrives")
    (closed,) = events(box, "incident closed after a crash")
    assert closed["EDGED_INCIDENT"] == incident
    assert box.unit("edged", "MainPID") != pid
    assert any("Watchdog timeout" in entry["MESSAGE"] for entry in box.journal("-u", "edged")) is (fault == "wedged")
    assert _stored(box) == _of_device(box)


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_an_upload_goes_on_after_the_receiver_s_restart(box: Box, signal: str) -> None:
    """Killed, or stopped dead so that its watchdog ends it: it is started anew and takes the rest."""
    with drop_in(box, "edged-receiver.service", "[Service]\nWatchdogSec=4s\n"):
        box.run("systemctl", "restart", "edged-receiver")
        start(box)
        _upload(box)
        box.wait(lambda: _arrived(box) > _BYTES // 3, "a third has arrived")
        box.run("systemctl", "kill", "--kill-whom=main", f"--signal={signal}", "edged-receiver")
        box.wait(lambda: box.unit("edged-receiver", "NRestarts") == "1", "systemd starts it anew")
        box.wait(lambda: events(box, "delivered"), "the upload ends", limit=180)
    assert health(box)["bytes_sent"] < _BYTES + _SLACK
    assert len(events(box, "file stored", unit="edged-receiver")) == 1
    assert _stored(box) == _of_device(box)


def test_an_ordered_stop_seals_what_is_open_and_ends_by_itself(box: Box) -> None:
    """In mid-incident and mid-upload: STOPPING is told, the clip is whole, nothing is killed, the next start clean."""
    start(box)
    _upload(box)
    incident = _record(box)
    box.wait(lambda: 0 < _arrived(box) < _BYTES, "the upload is under way")
    box.run("systemctl", "log-level", "debug")
    box.run("systemctl", "stop", "edged")
    box.run("systemctl", "log-level", "info")
    assert [box.unit("edged", name) for name in ("Result", "ExecMainCode", "ExecMainStatus")] == ["success", "1", "0"]
    told = [entry["MESSAGE"] for entry in box.journal("-u", "edged")]
    assert any("STOPPING=1" in text for text in told)
    assert not [text for text in told if "SIGKILL" in text or "timed out" in text]
    assert [entry["EDGED_INCIDENT"] for entry in events(box, "clip sealed")] == [incident]
    found = box.run("runuser", "-u", "edged", "--", "edged", "fsck", check=False)
    assert found.returncode == 0, found.stdout
    start(box)
    box.wait(lambda: len(_stored(box)) == len(_of_device(box)) == 3, "snapshot, clip and upload arrive")
    assert not events(box, "clip salvaged")
    assert not events(box, "incident closed after a crash")


def test_when_its_starts_are_used_up_it_rests_and_comes_back(box: Box) -> None:
    """A broken configuration ends in a rest, not in a dead box: mended meanwhile, it runs again without a hand."""
    configure(box, more="[nonsense]\n")
    with (
        drop_in(box, "edged.service", "[Unit]\nStartLimitBurst=3\n[Service]\nRestartSec=100ms\n"),
        drop_in(box, "edged-again.timer", "[Timer]\nOnActiveSec=\nOnActiveSec=3s\nAccuracySec=100ms\n"),
    ):
        box.run("systemctl", "start", "edged", check=False)
        box.wait(lambda: box.unit("edged", "ActiveState") == "failed", "its starts are used up")
        assert box.unit("edged-again.timer", "ActiveState") == "active"
        assert any("nonsense" in entry["MESSAGE"] for entry in box.journal("-u", "edged"))
        configure(box)
        box.wait(lambda: box.unit("edged", "ActiveState") == "active", "it is back after its rest")


def test_the_hardware_watchdog_s_drop_in_is_one_that_systemd_takes(box: Box) -> None:
    """It is installed beside the program, and copied to its place it sets what it says."""
    (path,) = box.sh("ls /opt/edged/current/systemd/system.conf.d/*.conf").stdout.split()
    box.run("install", "-D", path, "/etc/systemd/system.conf.d/watchdog.conf")
    box.run("systemctl", "daemon-reexec")
    assert box.run("systemctl", "show", "-p", "RuntimeWatchdogUSec").stdout == "RuntimeWatchdogUSec=14s\n"


def _upload(box: Box) -> None:
    box.sh(f"head -c {_BYTES} /dev/urandom >/srv/film; edged enqueue /srv/film")


def _record(box: Box) -> str:
    """Have an incident recorded by hand that stays open; return its id."""
    said = box.run("edged", "record", "door", "--for", "5min").stdout
    box.wait(lambda: events(box, "incident opened"), "the incident is open")
    return said.split()[-1]


def _arrived(box: Box) -> int:
    """Return the bytes of the largest unfinished upload at the receiver."""
    sizes = box.sh("find /var/lib/edged-receiver/partial -type f -printf '%s\\n'").stdout.split()
    return max(map(int, sizes), default=0)


def _stored(box: Box) -> set[str]:
    """Return the hashes of what the receiver has."""
    return set(box.sh("find /var/lib/edged-receiver/blobs -type f -printf '%f\\n'").stdout.split())


def _of_device(box: Box) -> set[str]:
    """Return the hashes of what the device has to send."""
    files = "find /var/lib/edged/clips /var/lib/edged/documents -type f ! -name '*.json'"
    return {line.split()[0] for line in box.sh(f"{files} -exec sha256sum {{}} +").stdout.splitlines()}
