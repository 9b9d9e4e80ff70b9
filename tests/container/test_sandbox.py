"""What the units shut in and out: secrets, files, memory and devices, in a real systemd."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.container.relay import LOGIN, relay
from tests.container.site import KEY, configure, drop_in, events, sabotaged, site, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.container.lab import Box

pytestmark = pytest.mark.timeout(600)  # the first one has the tree made

_CREDENTIALS = """
[Service]
LoadCredential=smtp:/root/smtp
LoadCredentialEncrypted=receiver:/etc/edged/receiver.cred
"""
_MAIL = """
[alerts]
recipients = ["owner@example.org"]
[mail]
sender = "alerts@example.org"
[[mail.relays]]
host = "localhost"
port = {port}
user = "{login}"
password = {{ credential = "smtp" }}
ca_file = "/etc/edged/relay.pem"
"""
_SEARCH = "grep -raslFf - /proc/[0-9]*/cmdline /proc/[0-9]*/environ /var/lib/edged /run/edged /var/log /tmp"
_DEVICES = "Character devices:\n 81 video4linux\n510 dma_heap\n511 media\n\nBlock devices:\n  7 loop\n"
# Written by a process of the service's own, within its sandbox: how each file can be opened.
_LOOK = """
import errno, json, sys
def opened(path):
    try:
        open(path, "rb+", buffering=0).close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "opened"
json.dump({path: opened(path) for path in sys.argv[2:]}, open(sys.argv[1], "w"))
"""


@pytest.fixture
def box() -> Iterator[Box]:
    """A site whose device is only configured."""
    with site() as box:
        yield box


def test_credentials_reach_edged_and_nobody_else(box: Box, tmp_path: Path) -> None:
    """A plain and an encrypted one are used for real, in a mail's login and an upload, and are to be seen nowhere."""
    password, key = secrets.token_urlsafe(24), box.read(KEY).strip()
    box.put("/root/smtp", password, mode=0o600)
    box.run("systemd-creds", "encrypt", "--name=receiver", KEY, "/etc/edged/receiver.cred")
    box.run("shred", "-u", KEY)
    with relay(box, password, tmp_path) as (port, mails), drop_in(box, "edged.service", _CREDENTIALS):
        configure(box, key='{ credential = "receiver" }', more=_MAIL.format(port=port, login=LOGIN))
        start(box)
        box.run("edged", "record", "door", "--for", "1s")
        box.wait(lambda: any(entry["EDGED_KIND"] == "clip" for entry in events(box, "delivered")), "the clip arrives")
        box.wait(lambda: mails() == [LOGIN], "the mail arrives")
        for secret in (password, key):
            for looking in ("systemctl show edged", "systemctl status edged", "journalctl", "edged outbox list"):
                assert secret not in box.sh(looking).stdout
            assert box.run("sh", "-c", _SEARCH, input=secret, check=False).stdout == ""
        place = "/run/credentials/edged.service/smtp"
        assert box.read(place) == password
        assert box.run("runuser", "-u", "nobody", "--", "cat", place, check=False).returncode != 0


def test_nothing_is_open_to_others_and_nothing_is_written_elsewhere(box: Box) -> None:
    """State and secrets are the service's alone, and all it writes lies in its state and run-time directories.

    What a person wants it to send and it can't see is refused with the reason.
    """
    box.sh("touch /srv/before; echo secret >/srv/film; sleep 0.1")
    start(box)
    box.put("/tmp/film", "out of its sight")
    assert "user edged, sees nothing in /home and /tmp" in box.run("edged", "enqueue", "/tmp/film", check=False).stderr
    box.sh("edged enqueue /srv/film; edged record door --for 1s")
    box.wait(lambda: len(events(box, "delivered")) == 3, "film, snapshot and clip arrive")
    box.run("systemctl", "stop", "edged")
    assert box.run("stat", "-c", "%a %U:%G", "/var/lib/edged", "/var/lib/edged-receiver").stdout.splitlines() == [
        "700 edged:edged",
        "700 edged-receiver:edged-receiver",
    ]
    modes = box.sh("find /var/lib/edged /var/lib/edged-receiver -type f -printf '%m\\n' -o -type s -printf '%m\\n'")
    assert set(modes.stdout.split()) == {"600"}
    written = "find / -xdev -newer /srv/before ! -type d ( -user edged -o -user edged-receiver )".replace("(", "\\(")
    found = box.sh(written.replace(" )", " \\)")).stdout.split()
    assert found
    assert not [path for path in found if not path.startswith(("/var/lib/edged/", "/var/lib/edged-receiver/"))]
    for path in ("/var/lib/edged/outbox.db", "/var/lib/edged-receiver/receiver.db", KEY):
        assert box.run("runuser", "-u", "nobody", "--", "cat", path, check=False).returncode != 0


def test_a_leak_ends_at_the_limit_and_costs_nothing(box: Box) -> None:
    """The kernel kills edged before the box runs out of memory; systemd tells and starts it anew, the clip is kept."""
    sabotaged(box, order="leak", watchdog="60s")
    start(box)
    said = box.run("edged", "record", "door", "--for", "5min").stdout
    box.wait(lambda: events(box, "incident opened"), "the incident is open")
    limit = int(box.unit("edged", "MemoryMax"))
    box.run("systemctl", "kill", "--kill-whom=main", "--signal=USR1", "edged")
    most = [0]

    def grown() -> bool:
        most.append(int(box.unit("edged", "MemoryCurrent").replace("[not set]", "0")))
        return box.unit("edged", "NRestarts") == "1"

    box.wait(grown, "it is killed and started anew", limit=120)
    assert max(most) <= limit == 400 * 2**20
    entries = [entry["MESSAGE"] for entry in box.journal("-u", "edged", "-t", "systemd")]
    assert any("status=9/KILL" in text for text in entries), entries
    box.wait(lambda: any(entry["EDGED_KIND"] == "clip" for entry in events(box, "delivered")), "the clip arrives")
    assert [entry["EDGED_INCIDENT"] for entry in events(box, "incident closed after a crash")] == [said.split()[-1]]


def test_cameras_can_be_opened_and_no_other_device(box: Box) -> None:
    """Nodes of cameras pass the service's device rules and its group; a disk's does not, whoever owns it.

    No camera's driver need be there: such a node answers ENXIO, once the rules let it be asked. The rules name classes
    of devices, which systemd looks up in /proc/devices.
    """
    expected = {
        "/dev/video7": "ENXIO",
        "/dev/media7": "ENXIO",
        "/dev/heap7": "ENXIO",
        "/dev/loop7": "EPERM",
        "/dev/port": "EPERM",
        "/dev/null": "opened",
        "/srv/open": "EROFS",
        "/root/smtp": "EACCES",
    }
    box.put("/srv/devices", _DEVICES)
    box.sh("""
        install -m 666 /dev/null /srv/open
        mknod -m 660 /dev/video7 c 81 7
        chgrp video /dev/video7
        mknod -m 666 /dev/media7 c 511 7
        mknod -m 666 /dev/heap7 c 510 7
        mknod -m 666 /dev/loop7 b 7 7
        mknod -m 666 /dev/port c 1 4
        mount --bind /srv/devices /proc/devices
    """)
    box.put("/opt/lab/look.py", _LOOK)
    look = f"/opt/edged/current/bin/python /opt/lab/look.py /var/lib/edged/look {' '.join(expected)}"
    with drop_in(box, "edged.service", f"[Service]\nExecStartPre={look}\n"):
        start(box)
    assert json.loads(box.read("/var/lib/edged/look")) == expected
