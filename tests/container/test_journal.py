"""The journal for real: README's lines are run as they stand; a journald that stands still holds nobody up."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.base.kinds import listed
from tests.container import lab
from tests.container.site import configure, events, health, site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.container.lab import Box

pytestmark = pytest.mark.timeout(900)  # the first time a Debian is made, and edged installed in it

_SINK = lab.REPOSITORY / "tests" / "container" / "smtp_sink.py"
# In the yard one person walks by after each start; of the two who are told the relay knows one.
_MORE = """
[cameras.yard]
source = "synthetic"
size = "1280x720"
synthetic = { period = "1h", walks = [4.0], walk = "4s", lamps = [] }
detect = { merge = "1s", post_roll = "500ms" }
[record]
part = "4s"
[alerts]
recipients = ["owner@example.org", "nobody@example.org"]
[mail]
sender = "edged@example.org"
[[mail.relays]]
host = "127.0.0.1"
port = 2525
security = "opportunistic"
"""
# each is worth a line of the log
_ORDERS = """
import socket
for number in range(500):
    with socket.socket(socket.AF_UNIX) as ask:
        ask.connect("/var/lib/edged/control.sock")
        ask.sendall(b'{"command": "arm", "args": {"order": "auto", "camera": null}}\\n')
        assert b"true" in ask.recv(10000)
"""
_ROWS = """
import json, sqlite3, sys
there = sqlite3.connect("file:/var/lib/edged/outbox.db?mode=ro", uri=True)
there.row_factory = sqlite3.Row
print(json.dumps([dict(row) for row in there.execute(sys.argv[1])]))
"""


class Told:
    """What happened in a box, as the device's database has it, and what the journal tells."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.incident: str = self.rows("SELECT id FROM incidents")[0]["id"]

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return what a query finds in the device's database."""
        found: list[dict[str, Any]] = json.loads(self.box.run("python3", "-c", _ROWS, query).stdout)
        return found

    def line(self, about: str, **names: str) -> list[dict[str, Any]]:
        """Run the line of README that is about something, its placeholders replaced; return the entries in order."""
        command = lines()[about]
        for placeholder, name in names.items():
            assert f"={placeholder}" in command
            command = command.replace(f"={placeholder}", f"={name}")
        said = self.box.sh(f"{command} --no-pager -o json").stdout
        return [json.loads(line) for line in said.splitlines()]

    def story(self) -> list[dict[str, Any]]:
        """Return what README's line tells of the incident."""
        return self.line("one incident's whole story", ID=self.incident)


def lines() -> dict[str, str]:
    """Return README's lines by what is said of them."""
    text = (lab.REPOSITORY / "README.md").read_text(encoding="utf-8")
    _, heading, section = text.partition("\n### The journal\n")
    assert heading, "README has a section on the journal"
    found = re.findall(r"^    (journalctl .*?)  +# ([\w ']+)", section.partition("\n#")[0], re.MULTILINE)
    return {about.strip(): command for command, about in found}


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """A box in which somebody walked by, the receiver went away under the upload, and edged was restarted after it."""
    with site() as box:
        configure(box, rate="256kbit/s", more=_MORE)
        box.put("/opt/lab/smtp_sink.py", _SINK.read_text(encoding="utf-8"))
        box.run("systemd-run", "--unit=sink", "python3", "/opt/lab/smtp_sink.py", "2525", "/var/mail/sink")
        box.run("systemctl", "start", "edged")
        box.wait(lambda: _under_way(box), "a clip is on its way", limit=180)
        box.run("systemctl", "stop", "edged-receiver")
        box.wait(lambda: events(box, "delivery put off"), "it has to wait", limit=120)
        box.wait(lambda: events(box, "incident closed"), "the incident is over", limit=120)
        box.run("systemctl", "start", "edged-receiver")
        found = Told(box)

        def done() -> bool:
            return not found.rows("SELECT id FROM deliveries WHERE state = 'pending'")

        box.wait(done, "everything is delivered", limit=240)
        configure(box, more=_MORE.replace("walks = [4.0]", "walks = []"))
        box.run("systemctl", "restart", "edged")
        box.wait(lambda: len(events(box, "gap ended")) >= 2, "the gap of the restart has ended", limit=120)
        box.run("journalctl", "--sync")
        yield found


def test_one_incidents_whole_story(told: Told) -> None:
    """From the first motion to the last receipt, with the receiver's part: nothing is missing, nothing comes twice."""
    story = told.story()
    kinds = [entry["EDGED_EVENT"] for entry in story]
    clips = told.rows("SELECT path, number, size FROM files WHERE what = 'clip' ORDER BY number")
    snapshots = told.rows("SELECT path, size FROM files WHERE what = 'snapshot' ORDER BY number")
    assert kinds[0] == "incident opened"
    assert kinds.count("incident opened") == kinds.count("incident closed") == 1
    assert len(clips) >= 2
    assert [(int(entry["EDGED_PART"]), int(entry["EDGED_BYTES"])) for entry in _of(story, "clip sealed")] == [
        (clip["number"], clip["size"]) for clip in clips
    ]
    assert [int(entry["EDGED_BYTES"]) for entry in _of(story, "snapshot kept")] == [one["size"] for one in snapshots]
    names = sorted(file["path"].rpartition("/")[2] for file in (*clips, *snapshots))
    assert sorted(entry["EDGED_FILE"] for entry in _of(story, "delivered")) == names
    assert {entry["EDGED_PROOF"] for entry in _of(story, "delivered")} == {"signed"}
    sizes = sorted(file["size"] for file in (*clips, *snapshots))
    assert sorted(int(entry["EDGED_BYTES"]) for entry in _of(story, "file stored")) == sizes
    assert kinds.count("upload resumed") >= 1
    assert kinds.count("alert sent") == kinds.count("delivery dead") == 1
    assert {entry["_SYSTEMD_UNIT"] for entry in story} == {"edged.service", "edged-receiver.service"}


def test_what_an_entry_says(told: Told) -> None:
    """Readable by people, with its priority and id; time, program and level are the journal's own and not repeated."""
    story = told.story()
    ((opened,), (closed,), (sent,)) = (
        _of(story, kind) for kind in ("incident opened", "incident closed", "alert sent")
    )
    assert opened["MESSAGE"] == f"incident opened incident={told.incident} camera=yard kind=motion zones= held="
    assert re.fullmatch(rf"incident closed incident={told.incident} camera=yard seconds=\d+\.\d+", closed["MESSAGE"])
    assert (sent["EDGED_DESTINATION"], sent["PRIORITY"]) == ("mail:owner@example.org", "6")
    ids = listed()
    for entry in story:
        assert entry["MESSAGE"].startswith(f"{entry['EDGED_EVENT']} ")
        assert entry["MESSAGE_ID"] == ids[entry["EDGED_EVENT"]]
        assert "None" not in entry["MESSAGE"]


def test_errors_today(told: Told) -> None:
    """The recipient whom the relay refused, and nothing else."""
    (entry,) = told.line("errors today")
    assert (entry["EDGED_EVENT"], entry["EDGED_DESTINATION"]) == ("delivery dead", "mail:nobody@example.org")
    assert "550" in entry["EDGED_ERROR"]
    assert entry["PRIORITY"] == "3"


def test_one_camera(told: Told) -> None:
    """Each camera has its own events alone."""
    yard, door = (told.line("one camera", door=name) for name in ("yard", "door"))
    seen = {"incident opened", "snapshot kept", "clip sealed", "incident closed", "gap begun", "gap ended"}
    assert {entry["EDGED_EVENT"] for entry in yard} == seen
    assert {entry["EDGED_EVENT"] for entry in door} == {"gap begun", "gap ended"}
    assert {entry["EDGED_CAMERA"] for entry in door} == {"door"}


def test_uploads(told: Told) -> None:
    """What became of each upload: delivered once; the one that was cut was put off, and went on where it stopped."""
    entries = told.line("uploads")
    uploads = told.rows("SELECT id FROM deliveries WHERE destination = 'receiver' ORDER BY id")
    delivered = [int(entry["EDGED_DELIVERY"]) for entry in _of(entries, "delivered")]
    assert sorted(delivered) == [row["id"] for row in uploads]
    assert {entry["EDGED_EVENT"] for entry in entries} == {"delivered", "delivery put off", "upload resumed"}
    resumed = _of(entries, "upload resumed")[0]
    assert 0 < int(resumed["EDGED_AT"]) < int(resumed["EDGED_BYTES"])


def test_gaps(told: Told) -> None:
    """The ledger, line by line: the restart was a gap of both cameras."""
    entries = told.line("gaps")
    ledger = told.rows("SELECT id, camera, reason, end_wall - start_wall AS seconds FROM gaps ORDER BY id")
    assert len(ledger) == 2
    for kind in ("gap begun", "gap ended"):
        found = [(int(one["EDGED_GAP"]), one["EDGED_CAMERA"], one["EDGED_REASON"]) for one in _of(entries, kind)]
        assert sorted(found) == [(row["id"], row["camera"], row["reason"]) for row in ledger]
    ended = {int(entry["EDGED_GAP"]): float(entry["EDGED_SECONDS"]) for entry in _of(entries, "gap ended")}
    assert ended == {row["id"]: pytest.approx(row["seconds"], abs=0.1) for row in ledger}


def test_the_catalogue_explains(told: Told) -> None:
    """Journalctl -x says what to do, with the entry's own values."""
    shown = told.box.sh(f"{lines()['errors today']} -x --no-pager").stdout
    assert "Subject: mail:nobody@example.org will not take delivery" in shown
    assert re.search(r'"edged outbox show \d+" tells what it is', shown)


def test_a_frozen_journald_holds_nobody_up(told: Told) -> None:
    """Stopped by SIGSTOP: edged goes on, counts what it could not say, and says so once journald goes on."""
    box = told.box
    arrived = (
        "SELECT 1 FROM deliveries JOIN incidents ON incidents.id = incident WHERE camera = 'door' AND state = 'done'"
    )
    pid = box.unit("systemd-journald", "MainPID")
    box.run("kill", "-STOP", pid)
    try:
        box.put("/opt/lab/orders.py", _ORDERS)
        box.run("python3", "/opt/lab/orders.py")
        dropped = _dropped(box)
        assert dropped > 0
        box.run("runuser", "-u", "edged", "--", "edged", "record", "door", "--for", "2s")
        box.wait(lambda: told.rows(arrived), "what was recorded meanwhile has arrived", limit=120)
        assert health(box)["status"] in {"ok", "degraded"}
    finally:
        box.run("kill", "-CONT", pid)
    box.run("runuser", "-u", "edged", "--", "edged", "auto")
    box.wait(lambda: events(box, "journal dropped events"), "the journal tells what it missed")
    assert int(events(box, "journal dropped events")[-1]["EDGED_SINCE_START"]) >= dropped
    assert box.unit("edged", "NRestarts") == "0"


def _of(entries: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entry for entry in entries if entry["EDGED_EVENT"] == kind]


def _under_way(box: Box) -> bool:
    """Return whether the receiver has written the first block of a clip, and waits for more."""
    return bool(box.run("find", "/var/lib/edged-receiver/partial", "-type", "f", "-size", "+100k").stdout)


def _dropped(box: Box) -> float:
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8377/metrics').read().decode())"
    metrics = box.run("python3", "-c", script).stdout
    return float(next(line.split()[1] for line in metrics.splitlines() if line.startswith("edged_log_dropped_total ")))
