"""A root file system that nobody can write to, and one writable directory: the service does all it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.container.site import events, health, site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.container.lab import Box

pytestmark = pytest.mark.timeout(900)  # the first time a Debian is made, and edged installed in it

_STATE = "/var/lib/edged"
# files that somebody may write to, on what file systems are writable: changed since the root became read-only
_CHANGED = """
awk '$4 ~ /^rw/ && $2 !~ "^/(proc|sys|dev/)" {print $2}' /proc/self/mounts | sort -u | while read -r place; do
    find "$place" -xdev -user edged -newer /run/since ! -type d -print
done | sort -u
"""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A site whose root is read-only before the device is started; its state lies on a mount of its own."""
    state, received, logs = (tmp_path_factory.mktemp(name) for name in ("state", "received", "logs"))
    binds = [f"{state}:{_STATE}", f"{received}:/var/lib/edged-receiver", f"{logs}:/var/log"]
    with site(binds=binds) as box:
        box.sh(f'sed -i \'s,^name = "lab",&\\nstate = "{_STATE}"\\nrequire_mount = true,\' /etc/edged/edged.toml')
        box.sh("mount -o remount,bind,ro /; touch /run/since")
        yield box


def test_it_records_and_uploads(box: Box) -> None:
    """From READY to the receipt, and again after a restart; the log has nothing to complain about."""
    assert "Read-only file system" in box.sh("touch /etc/x /opt/x /var/x 2>&1", check=False).stdout
    for number in (1, 2):
        _start(box)
        box.run("runuser", "-u", "edged", "--", "edged", "record", "door", "--for", "2s")
        box.wait(lambda number=number: _clips(box) == number, "the clip has arrived", limit=120)  # type: ignore[misc]
        box.run("systemctl", "stop", "edged")
    assert [
        entry["MESSAGE"] for entry in box.journal("-u", "edged", "-p", "warning", "_SYSTEMD_UNIT=edged.service")
    ] == []
    assert not [entry for entry in box.journal() if "Read-only file system" in str(entry["MESSAGE"])]


def test_it_writes_in_its_state_directory_alone(box: Box) -> None:
    """And in its runtime directory, which is memory: no temporary file, no cache is left elsewhere."""
    _start(box)
    box.run("runuser", "-u", "edged", "--", "edged", "record", "door", "--for", "2s")
    changed = box.sh(_CHANGED).stdout.split()
    assert f"{_STATE}/outbox.db" in changed
    assert "/run/edged/seen.json" in changed
    assert [path for path in changed if not path.startswith((f"{_STATE}/", "/run/edged/"))] == []
    private = box.sh(
        "find /tmp/systemd-private-*-edged.service-* /var/tmp/systemd-private-*-edged.service-* -type f", check=False
    )
    assert private.stdout == ""


def test_its_commands_work(box: Box) -> None:
    """The check of everything, and the lists."""
    _start(box)
    for command in (("check",), ("incidents", "list"), ("outbox", "list"), ("ensure",)):
        done = box.run("runuser", "-u", "edged", "--", "edged", *command, check=False)
        assert done.returncode in {0, 1}, done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def _start(box: Box) -> None:
    """Start the device, and wait until its camera delivers, as `/health` has it."""
    box.run("systemctl", "start", "edged")
    box.wait(lambda: _delivers(box), "its camera delivers")


def _delivers(box: Box) -> bool:
    return box.unit("edged", "ActiveState") == "active" and health(box)["subsystems"]["cameras"]["status"] == "ok"


def _clips(box: Box) -> int:
    return sum(entry["EDGED_KIND"] == "clip" for entry in events(box, "delivered"))
