"""The command line as a person types it: grammar, exit codes, and one clear sentence for each failure."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from edged import __version__
from edged.app.client import ask
from edged.cli import main
from tests.app.home import config, tables, toml
from tests.app.test_client import strangers

if TYPE_CHECKING:
    from pathlib import Path

EDGED = (sys.executable, "-c", "from edged.cli import main; main()")
# where the tests run in a shell's background SIGINT is ignored, and a program inherits that
INTERRUPTIBLE = (
    *EDGED[:2],
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from edged.cli import main; main()",
)
COMMANDS = (
    *("run", "check", "record", "enqueue", "arm", "disarm", "auto", "reload", "drain", "ensure", "fsck"),
    *("outbox", "incidents", "receive"),
)
DEEPER = (
    *(("outbox", action) for action in ("list", "show", "retry", "drop")),
    *(("incidents", action) for action in ("list", "show")),
    *(("receive", group) for group in ("device", "user", "fsck")),
    *(("receive", group, action) for group in ("device", "user") for action in ("add", "list", "remove")),
)


class Shell:
    """Runs commands in this process and keeps what they printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def run(self, *words: str | Path) -> int:
        """Run one command and return its exit code."""
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        self.out, self.err = self._capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell."""
    return Shell(capsys)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """The configuration file of a device that does not run; it sends to a folder."""
    path = tmp_path / "edged.toml"
    path.write_text(toml(tables(tmp_path / "state", folders={"usb": {"path": "/media/usb"}})))
    return path


@pytest.fixture
def receiver(tmp_path: Path) -> Path:
    """The configuration file of a receiver that does not run."""
    path = tmp_path / "receiver.toml"
    path.write_text(f'state = "{tmp_path / "receiver"}"\npublic_url = "https://cctv.example.org"\n')
    return path


# ---------------------------------------------------------------------------------------------------- grammar


def test_help_names_every_command(shell: Shell) -> None:
    """The first help shows all there is."""
    assert shell.run("--help") == 0
    firsts = {line.split()[0] for line in shell.out.splitlines() if line.startswith("    ")}
    assert firsts >= set(COMMANDS)
    assert shell.run("--version") == 0
    assert shell.out == f"edged {__version__}\n"


@pytest.mark.parametrize("words", [*((command,) for command in COMMANDS), *DEEPER], ids=" ".join)
def test_every_command_has_help(shell: Shell, words: tuple[str, ...]) -> None:
    """Each tells its own usage."""
    assert shell.run(*words, "--help") == 0
    assert shell.out.startswith(f"usage: edged {' '.join(words)} ")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "required: COMMAND"),
        (("dance",), "invalid choice: 'dance'"),
        (("record",), "required: CAMERA"),
        (("record", "door", "--for", "5parsecs"), "units: ms, s, min, h, d"),
        (("record", "door", "--for", "nan"), "nan"),
        (("enqueue",), "required: FILE"),
        (("outbox",), "required: ACTION"),
        (("outbox", "show", "x"), "invalid int value: 'x'"),
        (("outbox", "drop"), "required: ID"),
        (("receive", "device"), "required: ACTION"),
        (("receive", "device", "add"), "required: NAME"),
        (("drain", "--wait", "-3s"), "expected one argument"),
    ],
)
def test_what_is_mistyped_is_refused(shell: Shell, words: tuple[str, ...], complaint: str) -> None:
    """Exit code 2, and the last line says what is wrong."""
    assert shell.run(*words) == 2
    assert complaint in shell.err.splitlines()[-1]


# ---------------------------------------------------------------------------------------------------- failures


def test_a_missing_configuration_is_one_sentence(shell: Shell, tmp_path: Path) -> None:
    """Named, with the reason, for every command that reads one."""
    path = tmp_path / "missing.toml"
    sentence = f"edged: {path} can't be read: No such file or directory\n"
    for words in (("outbox", "list"), ("run",), ("arm",), ("receive",), ("receive", "user", "list")):
        assert shell.run(*words, "--config", path) == 2
        assert (shell.out, shell.err) == ("", sentence)


def test_every_mistake_of_a_configuration_is_listed(shell: Shell, tmp_path: Path) -> None:
    """Under the file's name, one line each."""
    path = tmp_path / "edged.toml"
    path.write_text('[device]\nname = "X"\n[log]\nlevel = "loud"\n')
    assert shell.run("incidents", "list", "--config", path) == 2
    head, *mistakes = shell.err.splitlines()
    assert head == f"edged: {path} can't be used:"
    assert [line.split(":")[0].strip() for line in mistakes] == ["device.name", "cameras", "log.level"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("record", "door"), "no edged is running on {state}"),
        (("outbox", "show", "7"), "there is no delivery 7; `edged outbox list` shows them"),
        (("incidents", "show", "abc"), "there is no incident 'abc'; `edged incidents list` shows them"),
        (("outbox", "retry"), "name either the ID of a delivery, or --all"),
        (("outbox", "retry", "7", "--all"), "name either the ID of a delivery, or --all"),
        (("outbox", "list", "--limit", "0"), "limit: must be a whole number above zero"),
        (("enqueue", "/missing/file"), "/missing/file is no file that edged can read; nothing was enqueued"),
    ],
)
def test_a_refusal_is_one_sentence(
    shell: Shell, device: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    """On standard error, with exit code 2."""
    assert shell.run(*words, "--config", device) == 2
    assert (shell.out, shell.err) == ("", f"edged: {sentence.format(state=tmp_path / 'state')}\n")


def test_a_state_directory_that_cannot_be_used(shell: Shell, tmp_path: Path) -> None:
    """One sentence names the place, whatever the system has against it."""
    path = tmp_path / "edged.toml"
    (tmp_path / "file").touch()
    path.write_text(toml(tables(tmp_path / "file" / "state")))
    assert shell.run("outbox", "list", "--config", path) == 2
    assert shell.err == f"edged: {tmp_path / 'file' / 'state' / 'control.sock'} can't be reached: Not a directory\n"
    other = strangers(tmp_path / "other")
    path.write_text(toml(tables(other)))
    assert shell.run("outbox", "list", "--config", path) == 2
    assert f"edged: {other} belongs to user " in shell.err


def test_a_daemon_without_a_place_does_not_start(tmp_path: Path) -> None:
    """`edged run` says so in its log and fails, for systemd to see."""
    path = tmp_path / "edged.toml"
    (tmp_path / "file").touch()
    path.write_text(toml(tables(tmp_path / "file" / "state", log={"style": "json"})))
    done = subprocess.run([*EDGED, "run", "--config", path], capture_output=True, text=True, check=False)
    told = json.loads(done.stderr)
    assert (done.returncode, told["event"], told["level"]) == (1, "edged can't start", "critical")
    assert str(tmp_path / "file") in told["reason"]


# ---------------------------------------------------------------------------------------------------- outputs


def test_the_outbox_of_a_stopped_device(shell: Shell, device: Path, tmp_path: Path) -> None:
    """A file is put in, listed, shown, tried again and given up, as text and as JSON."""
    source = tmp_path / "report.txt"
    source.write_text("all quiet")
    assert shell.run("enqueue", source, "--config", device) == 0
    assert shell.out == "report.txt  9 bytes  delivery 1\n"
    assert shell.run("outbox", "list", "--config", device) == 0
    assert "1 to deliver, 9 B; 1 waiting" in shell.out
    assert shell.run("outbox", "list", "--json", "--config", device) == 0
    assert [row["id"] for row in json.loads(shell.out)["deliveries"]] == [1]
    assert shell.run("outbox", "show", "1", "--config", device) == 0
    assert "destination    folder:usb" in shell.out.splitlines()
    assert shell.run("outbox", "retry", "1", "--config", device) == 0
    assert shell.out == "retried  1\n"
    assert shell.run("outbox", "drop", "1", "--config", device) == 0
    assert shell.out == "dropped  1\n"
    assert shell.run("outbox", "retry", "--all", "--config", device) == 0
    assert shell.out == "retried  -\n"
    assert shell.run("incidents", "list", "--config", device) == 0
    assert shell.out == "none\n"


def test_check_prints_a_table_and_exits_with_its_worst(tmp_path: Path) -> None:
    """An error is exit code 2, warnings alone are 1; what to do stands below."""
    path = tmp_path / "edged.toml"
    usb = {"path": str(tmp_path), "require_mount": False}
    for folder, code in ((usb, 1), (usb | {"path": str(tmp_path / "missing")}, 2)):
        path.write_text(toml(tables(tmp_path / "state", folders={"usb": folder})))
        done = subprocess.run([*EDGED, "check", "--config", path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (code, "")
        lines = done.stdout.splitlines()
        assert lines[0] == f"ok     configuration    {path} is complete and consistent"
        assert "warn   receiver         none is configured" in lines
        (folder_line,) = (number for number, line in enumerate(lines) if "  folder usb  " in line)
        assert lines[folder_line].startswith("error" if code == 2 else "ok")
        assert ("-> mount it" in lines[folder_line + 1]) is (code == 2)


# ---------------------------------------------------------------------------------------------------- receiver


def test_devices_and_users_of_a_receiver(shell: Shell, receiver: Path) -> None:
    """A device's key is printed alone; users get their password from standard input, which shows nowhere."""
    assert shell.run("receive", "device", "add", "shop", "--config", receiver) == 0
    key = shell.out
    assert len(key.split()) == 1
    assert "shown once" in shell.err
    assert shell.run("receive", "device", "add", "shop", "--config", receiver) == 2
    assert "there is a device 'shop' already: give it a new key with --replace" in shell.err
    assert shell.run("receive", "device", "add", "shop", "--replace", "--config", receiver) == 0
    assert shell.out != key
    assert shell.run("receive", "device", "list", "--config", receiver) == 0
    assert "name: shop" in shell.out
    assert shell.run("receive", "device", "remove", "shop", "--config", receiver) == 0
    assert shell.out == "device shop removed\n"
    assert shell.run("receive", "device", "remove", "shop", "--config", receiver) == 2
    command = [*EDGED, "receive", "user", "add", "boss", "--config", str(receiver)]
    done = subprocess.run(command, input="correct horse\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "user boss may log in\n", "")
    assert shell.run("receive", "--config", receiver, "user", "list") == 0  # the option may stand before the action
    assert "name: boss" in shell.out
    assert b"correct horse" not in (receiver.parent / "receiver" / "receiver.db").read_bytes()
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("edged: ")
    assert len(done.stderr.splitlines()) == 1


# ---------------------------------------------------------------------------------------------------- the shell's ways


async def test_a_reader_that_goes_away_is_no_error(device: Path, tmp_path: Path) -> None:
    """`edged outbox list | head`: no traceback, and the code that shells know."""
    source = tmp_path / "report.txt"
    source.write_text("all quiet")
    settings = config(tmp_path / "state", folders={"usb": {"path": "/media/usb"}})
    await ask(settings, "enqueue", {"files": [str(source)]}, timeout=5.0)
    reading, writing = os.pipe()
    os.close(reading)
    command = [*EDGED, "outbox", "list", "--config", str(device)]
    process = await asyncio.create_subprocess_exec(*command, stdout=writing, stderr=asyncio.subprocess.PIPE)
    os.close(writing)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (141, b"")


async def test_ctrl_c_ends_a_command_quietly(device: Path, state_dir: Path) -> None:
    """A person who no longer waits for an answer gets no traceback."""
    asked = asyncio.Event()
    ended = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request: dict[str, Any] = json.loads(await reader.readline())
        assert request["command"] == "drain"
        asked.set()
        await ended.wait()
        writer.close()

    server = await asyncio.start_unix_server(mute, state_dir / "control.sock")
    process = await asyncio.create_subprocess_exec(
        *(*INTERRUPTIBLE, "drain", "--config", str(device)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await asked.wait()
    process.send_signal(signal.SIGINT)
    output = await process.communicate()
    ended.set()
    server.close()
    assert (process.returncode, output) == (130, (b"", b""))
