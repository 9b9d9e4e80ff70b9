"""`systemctl reload edged` and the daily look of edged-ensure in a real systemd, as the user edged in the sandbox."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.container import site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.container.lab import Box

pytestmark = pytest.mark.timeout(600)  # the first time a Debian is made, and the wheels are fetched

_SECRET = "/etc/edged/relay"
_MAIL = """
[alerts]
recipients = ["anna@example.org"]
[mail]
sender = "lab@example.org"
relays = [{ host = "127.0.0.1", port = 9, user = "lab", password = { file = "/etc/edged/relay" } }]
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """A site whose device runs."""
    with site.site() as box:
        box.run("systemctl", "start", "edged")
        yield box


def process(box: Box) -> str:
    """Return the daemon's process, while the service is active."""
    assert box.unit("edged", "ActiveState") == "active"
    assert box.unit("edged", "SubState") == "running"
    return box.unit("edged", "MainPID")


def test_a_changed_configuration_is_taken(box: Box) -> None:
    """The reload succeeds, the journal says what was taken, and it is the same process."""
    before = process(box)
    box.put(_SECRET, "hunter2", mode=0o600, owner="edged:edged")
    site.configure(box, rate="2Mbit/s", more=_MAIL)
    box.run("systemctl", "reload", "edged")
    (taken,) = site.events(box, "configuration taken")
    assert re.findall(r"[a-z.]+", taken["EDGED_TAKEN"]) == [
        "alerts.recipients",
        "mail.relays",
        "mail.sender",
        "push.rate",
    ]
    assert taken["PRIORITY"] == "6"
    assert process(box) == before
    box.run("systemctl", "reload", "edged")
    assert len(site.events(box, "configuration unchanged")) == 1


def test_a_broken_configuration_is_refused(box: Box) -> None:
    """The reload fails with every mistake in the journal, `systemctl status` shows it, and the service goes on."""
    before = process(box)
    site.configure(box, rate="fast", more='[log]\nlevel = "loud"\n')
    done = box.run("systemctl", "reload", "edged", check=False)
    assert done.returncode == 1
    assert "Job for edged.service failed" in done.stderr
    (refused,) = site.events(box, "configuration refused")
    assert refused["PRIORITY"] == "3"
    for mistake in ("push.rate: 'fast' is no number with a unit", "log.level: 'loud' is none of"):
        assert mistake in refused["EDGED_MISTAKES"]
    shown = box.run("systemctl", "status", "--no-pager", "edged").stdout
    assert "Active: active (running)" in shown
    assert "push.rate: 'fast' is no number with a unit" in shown
    assert process(box) == before
    assert "push.rate" in site.health(box)["subsystems"]["configuration"]["reasons"][0]
    box.put("/etc/edged/edged.toml", "this is [ no TOML")
    assert box.run("systemctl", "reload", "edged", check=False).returncode == 1
    assert "is not valid TOML" in site.events(box, "configuration refused")[-1]["EDGED_MISTAKES"]
    assert process(box) == before


def test_what_needs_a_restart_is_named(box: Box) -> None:
    """The reload does not pass for done: it fails, says what it took and what it did not, and nothing stops."""
    before = process(box)
    site.configure(box, rate="3Mbit/s", more='[record]\npre_roll = "6s"\n')
    done = box.run("systemctl", "reload", "edged", check=False)
    assert done.returncode == 1
    said = [entry["MESSAGE"] for entry in box.journal("-u", "edged")]
    assert "needs a restart: record.pre_roll" in said
    assert process(box) == before
    box.run("systemctl", "restart", "edged")
    box.run("systemctl", "reload", "edged")
    assert process(box) != before


def test_a_signal_does_as_well(box: Box) -> None:
    """SIGHUP has systemd see a reload that comes and goes, and takes what has changed."""
    before = process(box)
    site.configure(box, rate="4Mbit/s", more='[record]\npre_roll = "6s"\n')
    known = len(site.events(box, "configuration taken"))
    box.run("systemctl", "kill", "--kill-whom=main", "--signal=HUP", "edged")
    box.wait(lambda: len(site.events(box, "configuration taken")) > known, "the signal was heard")
    box.wait(lambda: box.unit("edged", "SubState") == "running", "systemd sees the reload's end")
    assert process(box) == before


def test_the_timer_is_there_and_its_look_goes_through_the_daemon(box: Box) -> None:
    """It starts with the machine; with nothing recorded everything is safe, and the journal says so."""
    assert box.run("systemctl", "is-enabled", "edged-ensure.timer").stdout == "enabled\n"
    assert box.unit("edged-ensure.timer", "ActiveState") == "active"
    assert box.unit("edged-ensure.timer", "NextElapseUSecRealtime") != ""
    box.run("systemctl", "start", "edged-ensure.service")
    (safe,) = site.events(box, "everything is safe", "edged-ensure")
    assert (safe["PRIORITY"], safe["EDGED_FILES"]) == ("6", "0")
    assert box.unit("edged-ensure", "Result") == "success"


def test_what_needs_a_person_is_a_warning_and_no_failure(box: Box) -> None:
    """Clips that wait for a release: exit code 1 is told, and counts as success; with and without a daemon."""
    site.configure(box, more='upload = "manual"\n')
    assert box.run("systemctl", "reload", "edged", check=False).returncode == 1  # the pre-roll is another again
    box.run("runuser", "-u", "edged", "--", "edged", "record", "door", "--for", "2s")
    box.wait(lambda: site.events(box, "clip sealed"), "the recording is sealed")
    box.run("systemctl", "start", "edged-ensure.service")
    with_daemon = site.events(box, "needs a person", "edged-ensure")[-1]
    assert with_daemon["PRIORITY"] == "4"
    assert with_daemon["EDGED_WHY"].startswith("waits for its release: edged outbox retry ")
    box.run("systemctl", "stop", "edged")
    box.run("systemctl", "start", "edged-ensure.service")
    assert len(site.events(box, "needs a person", "edged-ensure")) == 2
    assert site.events(box, "not everything is safe yet", "edged-ensure")[-1]["EDGED_RUNNING"].lower() == "false"
    assert (box.unit("edged-ensure", "Result"), box.unit("edged-ensure", "ExecMainStatus")) == ("success", "1")
    owners = box.run("find", "/var/lib/edged", "!", "-user", "edged").stdout
    assert owners == ""
    box.run("systemctl", "start", "edged")
    assert site.health(box)["subsystems"]["configuration"]["reasons"] == []
