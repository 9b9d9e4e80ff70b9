"""Upgrades as they go wrong: whatever the new version does, and whenever the installation is killed, edged runs."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.container import lab
from tests.container.sources import Sources

if TYPE_CHECKING:
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
_NEVER_READY = """
def run(config):
    import time
    time.sleep(3600)
"""
_ENDS_SOON = """
_run = run
def run(config):
    import os, threading
    threading.Timer(2.0, os._exit, [9]).start()
    return _run(config)
"""
_NEWER_SCHEMA = """
_schema = schema
def schema():
    known = _schema()
    return Schema(steps=(*known.steps, "CREATE TABLE fresh (id INTEGER PRIMARY KEY) STRICT;"), check=known.check)
"""
_WANTS_MORE = """
from edged.base.errors import Mistake
_load_device = load_device
def load_device(path):
    raise ConfigError((Mistake(key="device.colour", text="is missing"),))
"""
_DROP_IN = """
[Service]
Nice=3
ExecStart=
ExecStart=/usr/bin/env SITE=shop /opt/edged/current/bin/edged run --config /etc/edged/edged.toml
"""
_VERSION = (
    "import sqlite3; print(sqlite3.connect('/var/lib/edged/outbox.db').execute('PRAGMA user_version').fetchone()[0])"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A box on which the first version runs, and copies of the sources of others."""

    box: lab.Box
    sources: Sources

    def install(self, scripts: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an installation to its end."""
        return self.box.run(f"{scripts}/install", *arguments, check=False)

    def process(self) -> str:
        """Return the service's process id, of one that is active."""
        assert self.box.unit("edged.service", "ActiveState") == "active"
        return self.box.unit("edged.service", "MainPID")

    def lasting(self) -> str:
        """Return what a restart of the machine would start: the release and its units, with their times."""
        return self.box.sh("readlink /opt/edged/current; find /usr/local/lib/systemd -printf '%p %T@\\n' | sort").stdout

    def incidents(self) -> set[str]:
        """Return the ids of the incidents that the running edged knows."""
        shown = json.loads(self.box.run("edged", "incidents", "list", "--json").stdout)
        return {row["id"] for row in shown["incidents"]}

    def schema(self) -> int:
        """Return the version of the device's database."""
        return int(self.box.run("runuser", "-u", "edged", "--", "python3", "-c", _VERSION).stdout)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A box on which these very sources are installed and run."""
    sources = Sources(folder=tmp_path_factory.mktemp("sources"))
    binds = [f"{sources.folder}:/sources:ro"]
    with lab.boot(lab.installed(), binds=binds, environment={"PIP_NO_INDEX": "1"}) as box:
        box.put("/etc/edged/edged.toml", _CONFIG)
        box.run("systemctl", "start", "edged.service")
        sources.make("same")
        yield Site(box=box, sources=sources)


@pytest.fixture
def before(site: Site) -> str:
    """What a restart of the machine would start before the test; that runs."""
    site.process()
    return site.lasting()


def _still(site: Site, before: str, done: subprocess.CompletedProcess[str]) -> None:
    """Assert that an installation failed with a word and left everything as it was."""
    assert done.returncode == 1, done.stderr
    assert site.lasting() == before
    assert site.box.sh("ls -A /run/systemd/system | grep edged || true").stdout == ""
    assert site.box.exists("/opt/edged/upgrade.json") is False
    site.process()


@pytest.mark.parametrize(
    ("text", "said"),
    [("def run(config):\n    raise RuntimeError('worn out')\n", "worn out"), (_NEVER_READY, "it is activating")],
    ids=["raises", "unready"],
)
def test_a_version_that_does_not_become_well_is_rolled_back(site: Site, before: str, text: str, said: str) -> None:
    """Its own last words are shown, and the former version runs again."""
    done = site.install(site.sources.make(said.replace(" ", "-"), app__daemon=text), "--patience", "6")
    _still(site, before, done)
    assert said in done.stderr
    assert "runs again" in done.stderr


def test_a_configuration_that_the_new_version_refuses_stops_nothing(site: Site, before: str) -> None:
    """The mistake is named before anything is switched: the very process goes on."""
    process = site.process()
    done = site.install(site.sources.make("fussy", settings=_WANTS_MORE))
    _still(site, before, done)
    assert "device.colour: is missing" in done.stderr
    assert site.process() == process


def test_without_packages_and_without_a_network_nothing_is_touched(site: Site, before: str) -> None:
    """The program of the failed command tells why; the half of a release is gone."""
    process, scripts = site.process(), site.sources.make("other-lock")
    site.sources.append("other-lock", "requirements/runtime.txt", "\n# another lock\n")
    releases = site.box.run("ls", "/opt/edged/releases").stdout
    done = site.install(scripts)
    _still(site, before, done)
    assert "can't be built; nothing that runs was changed" in done.stderr
    assert site.process() == process
    assert site.box.run("ls", "/opt/edged/releases").stdout == releases


def _killed(site: Site, before: str, scripts: str, mark: str) -> None:
    """Kill an installation once a command succeeds; what lasts is as it was."""
    with subprocess.Popen(site.box.command(f"{scripts}/install"), stderr=subprocess.DEVNULL):
        site.box.wait(lambda: site.box.sh(mark, check=False).returncode == 0, mark, limit=300)
        site.box.sh("kill -9 $(pgrep -f 'scripts[.]installing[.]install')")
    assert site.lasting() == before


def test_killed_while_it_builds(site: Site, before: str) -> None:
    """The service goes on; the next installation removes the half of a release."""
    process = site.process()
    _killed(site, before, site.sources.make("half", "0.3.0"), "ls /opt/edged/releases/0.3.0*/bin/python")
    assert site.process() == process
    assert site.install("/sources/same/scripts").returncode == 0
    assert "0.3.0" not in site.box.run("ls", "/opt/edged/releases").stdout


_ON_TRIAL = """
    ls /opt/edged/upgrade.json /run/systemd/system/edged.service
    [ "$(systemctl is-active edged.service)" = activating ]
"""


def test_killed_while_the_new_version_is_on_trial(site: Site, before: str) -> None:
    """The next installation goes back to the former version, before anything else."""
    _killed(site, before, site.sources.make("trial", "0.3.1", app__daemon=_NEVER_READY), _ON_TRIAL)
    done = site.install("/sources/same/scripts")
    assert (done.returncode, "going back to" in done.stderr) == (0, True), done.stderr
    assert "0.3.1" not in site.box.run("ls", "/opt/edged/releases").stdout
    assert site.box.sh("ls -A /run/systemd/system | grep edged || true").stdout == ""
    site.process()


def test_the_power_goes_while_the_new_version_is_on_trial(site: Site, before: str) -> None:
    """The machine starts with the former version, and the next installation leaves that alone."""
    _killed(site, before, site.sources.make("dark", "0.3.2", app__daemon=_NEVER_READY), _ON_TRIAL)
    site.box.sh("rm /run/systemd/system/edged*; systemctl daemon-reload; systemctl restart edged edged-receiver")
    process = site.process()
    done = site.install("/sources/same/scripts")
    assert (done.returncode, site.process()) == (0, process), done.stderr
    assert not site.box.exists("/opt/edged/upgrade.json")


def test_a_new_version_takes_over_and_keeps_all(site: Site, before: str) -> None:
    """Configuration, recordings and what a person has set stay; the version before is kept."""
    record = ("edged", "record", "door", "--for", "1")
    site.box.wait(lambda: site.box.run(*record, check=False).returncode == 0, "a recording")
    site.box.put("/etc/systemd/system/edged.service.d/site.conf", _DROP_IN)
    site.box.run("systemctl", "daemon-reload")
    old, release = site.process(), before.splitlines()[0]
    done = site.install(site.sources.make("second", "0.1.1"))
    assert done.returncode == 0, done.stderr
    assert site.process() != old
    assert site.box.run("edged", "--version").stdout == "edged 0.1.1\n"
    assert site.box.unit("edged.service", "Nice") == "3"
    assert site.box.read("/etc/edged/edged.toml") == _CONFIG
    assert site.incidents()
    assert site.box.exists(release)
    assert site.box.sh("ls -A /run/systemd/system | grep edged || true").stdout == ""


def test_without_a_start_what_runs_goes_on(site: Site, before: str) -> None:
    """The new version is the active one, and the person is told how to have it run."""
    process = site.process()
    done = site.install(site.sources.make("later", "0.1.2"), "--no-start")
    assert (done.returncode, site.process()) == (0, process), done.stderr
    assert "edged.service still runs the former version. Next: sudo systemctl restart edged.service" in done.stderr
    assert site.box.run("edged", "--version").stdout == "edged 0.1.2\n"
    site.box.run("systemctl", "restart", "edged.service")


def test_a_newer_database_is_given_back_when_its_version_fails(site: Site, before: str) -> None:
    """The former version reads it again, and knows what it knew; what the newer one wrote is kept beside."""
    known = site.incidents()
    scripts = site.sources.make("newer-broken", outbox__opening=_NEWER_SCHEMA, app__daemon=_ENDS_SOON)
    done = site.install(scripts, "--patience", "10")
    assert done.returncode == 1, done.stderr
    assert site.schema() == 1
    assert known <= site.incidents()
    assert site.box.exists("/var/lib/edged/outbox.db.newer")
    assert set(site.box.sh("stat -c %U:%a /var/lib/edged/outbox.db*").stdout.split()) == {"edged:600"}
    assert not site.box.sh("ls /var/lib/edged/*.before-*", check=False).stdout
    done = site.install(site.sources.make("newer", "0.2.0", outbox__opening=_NEWER_SCHEMA))
    assert (done.returncode, site.schema()) == (0, 2), done.stderr
    kept = site.box.run("ls", "/opt/edged/releases").stdout.split()
    assert [f"/opt/edged/releases/{name}" for name in kept if not name.startswith("0.2.0")] == before.splitlines()[:1]
    done = site.install("/sources/same/scripts")
    assert done.returncode == 1
    assert "is of a newer edged: schema 2" in done.stderr
    assert site.box.run("edged", "--version").stdout == "edged 0.2.0\n"
