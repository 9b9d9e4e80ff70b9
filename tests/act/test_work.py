"""What the helper does with a request: what root's file and the day's budget allow, entered first and answered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from edged.act.asking import Answer, Request, read_answers, write_request
from edged.act.ledger import Entry, read_ledger
from edged.act.settings import ActConfig, RebootRule, ResetRule, load_act
from edged.act.work import Places, refusal, work
from edged.base.clock import Stamp
from edged.base.config import Duration, parse
from edged.base.errors import ConfigError
from tests.act.tree import TreeBus, device, port
from tests.outbox.world import HandClock

if TYPE_CHECKING:
    from pathlib import Path

ID = "0123456789abcdef0123456789abcdef"
NOW = Stamp(wall=1e9, mono=5.0, boot="a", synced=True)
RULES = ActConfig(
    reset={"door": ResetRule(usb=("1-1.3",), off=Duration(0.1), a_day=2)}, reboot=RebootRule(allowed=True)
)
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root's own file grants anything")


def done(what: str) -> Entry:
    """Return the entry of something done just now."""
    return Entry(what=what, reason="", at=NOW, age=0.0, seen=NOW)


@pytest.mark.parametrize(
    ("name", "config", "entries", "words"),
    [
        ("reboot", ActConfig(), [], "not configured: act.toml allows no reboot"),
        ("reboot", RULES, [], ""),
        ("reboot", RULES, [done("reset-door")] * 9, ""),
        ("reboot", RULES, [done("reboot")], "budget: 1 in a day are done"),
        ("reset-door", ActConfig(), [], "not configured: there is no [reset.door] in act.toml"),
        ("reset-door", RULES, [done("reset-door")], ""),
        ("reset-door", RULES, [done("reset-door")] * 2, "budget: 2 in a day are done"),
        ("reset-yard", RULES, [], "not configured: there is no [reset.yard] in act.toml"),
    ],
)
def test_nothing_is_done_but_what_root_allows(name: str, config: ActConfig, entries: list[Entry], words: str) -> None:
    """Each camera and the machine have budgets of their own."""
    assert refusal(Request(name=name), config, entries) == words


class Helper:
    """The helper in a directory of its own, with a USB tree and a reboot that only counts."""

    def __init__(self, root: Path, config: ActConfig = RULES) -> None:
        self.config = config
        self.clock = HandClock()
        self.places = Places(
            ask=root / "ask",
            answers=root / "answers.json",
            ledger=root / "ledger.json",
            bus=TreeBus(devices=root / "usb"),
        )
        device(root / "usb", "1-1.3")
        port(root / "usb", "1-1:1.0", "1-1-port3")
        self.reboots = 0

    def ask(self, name: str) -> Answer:
        """Ask for something, let the helper work, and return its answer."""
        write_request(self.places.ask, Request(name=name, id=ID, reason="no answer"))
        work(self.config, self.places, self.clock, self._reboot)
        return read_answers(self.places.answers)[name]

    def entries(self) -> list[str]:
        """Return what the ledger says was done."""
        return [entry.what for entry in read_ledger(self.places.ledger)]

    def _reboot(self) -> str:
        assert self.entries()[-1] == "reboot"  # a reboot leaves no time to enter it afterwards
        self.reboots += 1
        return "the machine reboots"


def test_a_reset_is_done_as_often_as_a_day_allows(tmp_path: Path) -> None:
    """The third of two is refused, and a day later it is done."""
    helper = Helper(tmp_path)
    text = "power off for 0.1 s, and it is back"
    assert [helper.ask("reset-door").text for _ in range(3)] == [text, text, "budget: 2 in a day are done"]
    assert helper.ask("reset-door") == Answer(id=ID, outcome="refused", text="budget: 2 in a day are done")
    helper.clock.at += 86_400
    assert helper.ask("reset-door").outcome == "done"
    assert helper.entries() == ["reset-door"] * 3


def test_a_reboot_is_entered_before_it_is_done(tmp_path: Path) -> None:
    """Also one that systemd refuses: otherwise it would be asked for again and again."""
    helper = Helper(tmp_path)
    assert helper.ask("reboot") == Answer(id=ID, outcome="done", text="the machine reboots")
    assert helper.ask("reboot").outcome == "refused"
    assert helper.reboots == 1


def test_a_device_that_is_not_there_costs_budget_and_is_told(tmp_path: Path) -> None:
    """The answer says what to look at."""
    helper = Helper(tmp_path, ActConfig(reset={"door": ResetRule(usb=("7-7",))}))
    assert helper.ask("reset-door") == Answer(id=ID, outcome="failed", text="there is no device at 7-7")
    assert helper.entries() == ["reset-door"]


def test_without_a_ledger_nothing_is_done(tmp_path: Path) -> None:
    """A budget that can't be kept is none."""
    helper = Helper(tmp_path)
    (tmp_path / "ledger.json").mkdir()
    answer = helper.ask("reboot")
    assert (answer.outcome, helper.reboots) == ("failed", 0)
    assert "ledger.json" in answer.text


def test_refusals_write_the_ledger_at_most_once_an_hour(tmp_path: Path) -> None:
    """A card wears, and an age that is not written grows all the same while the machine runs."""
    helper = Helper(tmp_path)
    helper.ask("reboot")
    written = helper.places.ledger.stat().st_mtime_ns
    helper.clock.at += 3599
    helper.ask("reboot")
    assert helper.places.ledger.stat().st_mtime_ns == written
    helper.clock.at += 2
    helper.ask("reboot")
    assert helper.places.ledger.stat().st_mtime_ns > written


@needs_root
def test_root_s_file_alone_grants_something(tmp_path: Path) -> None:
    """One that others may write is refused with what to do; a missing one allows nothing."""
    path = tmp_path / "act.toml"
    assert load_act(path) == ActConfig()
    path.write_text("[reboot]\nallowed = true\n")
    path.chmod(0o644)
    assert load_act(path).reboot.allowed
    path.chmod(0o664)
    with pytest.raises(ConfigError, match=r"chown root .*; chmod go-w"):
        load_act(path)
    path.chmod(0o644)
    os.chown(path, 1, 0)
    with pytest.raises(ConfigError, match="written by others"):
        load_act(path)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"reset": {"door": {}}}, "reset.door.usb"),
        ({"reset": {"door": {"usb": []}}}, "reset.door.usb"),
        ({"reset": {"door": {"usb": ["../../block/sda"]}}}, "reset.door.usb"),
        ({"reset": {"door": {"usb": ["1-1.3/../../x"]}}}, "reset.door.usb"),
        ({"reset": {"door": {"usb": ["1-1"], "off": "0s"}}}, "reset.door.off"),
        ({"reset": {"door": {"usb": ["1-1"], "off": "5min"}}}, "reset.door.off"),
        ({"reset": {"door": {"usb": ["1-1"], "a_day": 0}}}, "reset.door.a_day"),
        ({"reset": {"door": {"usb": ["1-1"], "method": "smash"}}}, "reset.door.method"),
        ({"reboot": {"allowed": True, "a_day": 0}}, "reboot.a_day"),
    ],
)
def test_a_file_that_could_not_work_is_refused(table: dict[str, Any], key: str) -> None:
    """Each mistake with its key."""
    with pytest.raises(ConfigError) as refused:
        parse(table, ActConfig)
    assert [mistake.key for mistake in refused.value.mistakes] == [key]


def _command(tmp_path: Path) -> list[str]:
    places = {name: tmp_path / name for name in ("ask", "answers", "ledger", "devices")}
    places["config"] = tmp_path / "act.toml"
    options = [part for name, path in places.items() for part in (f"--{name}", str(path))]
    return [sys.executable, "-m", "edged.act", *options]


@needs_root
def test_a_broken_file_allows_nothing_and_is_told(tmp_path: Path) -> None:
    """The process ends with 1, so that systemd shows it as failed; who asked is refused."""
    (tmp_path / "act.toml").write_text("[reboot]\nallowed = 1\n")
    write_request(tmp_path / "ask", Request(name="reboot", id=ID))
    ended = subprocess.run(_command(tmp_path), capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "reboot.allowed" in ended.stderr
    assert read_answers(tmp_path / "answers")["reboot"].outcome == "refused"


def test_nobody_asked_anything(tmp_path: Path) -> None:
    """Without the directory there is nothing to do, and that is said."""
    ended = subprocess.run(_command(tmp_path), capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "requests can't be taken" in ended.stderr


@needs_root
def test_a_device_that_is_off_is_switched_on_when_the_helper_is_stopped(tmp_path: Path) -> None:
    """Systemd's time-out or a stop in the middle must not leave a camera dark."""
    file = device(tmp_path / "devices", "1-1.3") / "authorized"
    (tmp_path / "act.toml").write_text('[reset.door]\nusb = ["1-1.3"]\noff = "60s"\n')
    write_request(tmp_path / "ask", Request(name="reset-door", id=ID))
    with subprocess.Popen(_command(tmp_path)) as helper:
        while file.read_text()[0] != "0":
            assert helper.poll() is None
        helper.send_signal(signal.SIGTERM)
        assert helper.wait(30) == 1
    assert file.read_text()[0] == "1"
    assert [entry.what for entry in read_ledger(tmp_path / "ledger")] == ["reset-door"]
