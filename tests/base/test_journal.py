"""The journal's native protocol, spoken to a real datagram socket that reads it as systemd's documentation says."""

from __future__ import annotations

import array
import json
import os
import socket
import subprocess
import sys
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.journal import Journal, encode, field_name, from_environment, message_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LOGGER = """
import logging, os, sys
from edged.base import journal
os.dup2(os.open(sys.argv[1], os.O_WRONLY), 2)
stderr = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{stderr.st_dev}:{stderr.st_ino}"
journal.from_environment.__defaults__ = (os.environ, sys.argv[2])
import structlog
from edged.base.log import configure
from edged.base.secret import Secret
configure(style=sys.argv[3], level="info")
log = structlog.get_logger("t")
log.debug("unseen")
log.warning("camera lost", camera="door", zones=("gate", "yard"), held=False, incident=None, reason="two\\nlines",
    key=Secret("env", "X"))
logging.getLogger("lib").error("it %s", "broke")
"""
_FLOOD = """
import os, sys
from edged.base import journal
stderr = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{stderr.st_dev}:{stderr.st_ino}"
journal.from_environment.__defaults__ = (os.environ, sys.argv[1])
import structlog
from edged.base.log import configure, dropped
configure(style="text", level="info")
log = structlog.get_logger("t")
while not dropped():
    log.info("told", text="x" * 100)
try:
    while True:
        os.write(2, b"a library's own line" * 100)
except BlockingIOError:
    print("flooded", flush=True)
sys.stdin.readline()
log.info("told")
print(dropped(), flush=True)
"""


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket where a journal would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "journal"))
        sock.settimeout(30)
        yield sock


def _parse(data: bytes) -> dict[str, str]:
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + size], data[8 + size + 1 :]
        fields[name.decode()] = value.decode()
    return fields


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True), st.text()))
def test_what_is_encoded_is_read_again(fields: Mapping[str, str]) -> None:
    """Every field comes back, whatever is in its value."""
    assert _parse(encode(fields)) == {key: value.encode(errors="replace").decode() for key, value in fields.items()}


@given(st.text())
def test_field_names_are_the_journals(key: str) -> None:
    """Any key becomes a name that the journal takes."""
    name = field_name(key)
    assert name.startswith("EDGED_")
    assert len(name) <= 64
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def test_a_kind_of_event_keeps_its_id() -> None:
    """What people wrote into their scripts stays valid: this id is never changed."""
    assert message_id("incident opened") == "da2ea163b3fb51b8af7d34180942489a"


def test_an_event_too_large_for_a_datagram_arrives_as_a_file(listener: socket.socket) -> None:
    """A megabyte in one field is handed over as a sealed file and counted as taken."""
    with closing(Journal(listener.getsockname())) as journal:
        journal.send({"MESSAGE": "x" * 1_000_000})
        _, ancillary, _, _ = listener.recvmsg(16, socket.CMSG_SPACE(4))
        ((_, _, handles),) = ancillary
        (handle,) = array.array("i", handles)
        with os.fdopen(handle, "rb") as file:
            file.seek(0)
            assert _parse(file.read()) == {"MESSAGE": "x" * 1_000_000}
        assert journal.dropped == 0


def test_a_journal_that_does_not_read_costs_events_and_no_time(listener: socket.socket) -> None:
    """With its queue full, events are dropped and counted; once it reads, events arrive again."""
    with closing(Journal(listener.getsockname())) as journal:
        sent = 0
        while journal.dropped < 3:
            journal.send({"MESSAGE": f"{sent}"})
            sent += 1
        taken = [_parse(listener.recv(4096))["MESSAGE"] for _ in range(sent - 3)]
        assert taken == [f"{number}" for number in range(sent - 3)]
        journal.send({"MESSAGE": "again"})
        assert _parse(listener.recv(4096)) == {"MESSAGE": "again"}
        assert journal.dropped == 3


def test_what_was_dropped_is_told_once_the_journal_reads_again(listener: socket.socket, tmp_path: Path) -> None:
    """Events and lines of libraries that a journal which stands still does not take hold nobody up; then their number.

    Here stderr is a socket that nobody reads, like the one that systemd gives a service.
    """
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        subprocess.Popen(
            [sys.executable, "-c", _FLOOD, listener.getsockname()],
            stderr=theirs.fileno(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"flooded\n"
        listener.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                assert _parse(listener.recv(4096))["EDGED_EVENT"] == "told"
        listener.settimeout(30)
        process.stdin.write(b"go on\n")
        process.stdin.flush()
        found = [_parse(listener.recv(4096)) for _ in range(2)]
        assert [each["EDGED_EVENT"] for each in found] == ["told", "journal dropped events"]
        assert int(found[1]["EDGED_SINCE_START"]) == int(process.stdout.readline()) > 0
        assert found[1]["PRIORITY"] == "4"


def test_a_journal_that_was_restarted_is_found_again(tmp_path: Path) -> None:
    """While it is away events are counted as dropped; the new one gets the next event."""
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as first:
        first.bind(path)
        journal = Journal(path)
    (tmp_path / "journal").unlink()
    with closing(journal):
        journal.send({"MESSAGE": "lost"})
        assert journal.dropped == 1
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
            second.bind(path)
            second.settimeout(30)
            journal.send({"MESSAGE": "found"})
            assert _parse(second.recv(4096)) == {"MESSAGE": "found"}
            assert journal.dropped == 1


def test_only_a_stderr_that_is_the_journals_is_replaced() -> None:
    """Without JOURNAL_STREAM, or with one that is not stderr's, lines stay on stderr."""
    assert from_environment({}) is None
    assert from_environment({"JOURNAL_STREAM": "1:1"}) is None


@pytest.mark.parametrize("style", ["text", "json"])
def test_an_event_arrives_with_its_fields(listener: socket.socket, tmp_path: Path, style: str) -> None:
    """The whole way: an event is one entry with its fields, priority and kind, secrets masked, nothing twice."""
    (tmp_path / "stderr").touch()
    command = [sys.executable, "-c", _LOGGER, str(tmp_path / "stderr"), listener.getsockname(), style]
    subprocess.run(command, check=True)
    fields, library = _parse(listener.recv(4096)), _parse(listener.recv(4096))
    message = fields.pop("MESSAGE")
    assert fields == {
        "MESSAGE_ID": message_id("camera lost"),
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "edged",
        "EDGED_EVENT": "camera lost",
        "EDGED_CAMERA": "door",
        "EDGED_ZONES": "gate,yard",
        "EDGED_HELD": "false",
        "EDGED_REASON": "two\nlines",
        "EDGED_KEY": "***",
    }
    if style == "text":
        assert message == r"camera lost camera=door zones=gate,yard held=false reason=two\nlines key=***"
    else:
        told = {"zones": ["gate", "yard"], "held": False, "incident": None, "reason": "two\nlines", "key": "***"}
        assert json.loads(message) == {"event": "camera lost", "camera": "door", **told}
    assert (library["EDGED_LIBRARY"], library["EDGED_TEXT"], library["PRIORITY"]) == ("lib", "it broke", "3")
    assert (tmp_path / "stderr").read_text() == ""
