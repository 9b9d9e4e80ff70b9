"""Edged asks the privileged helper by a file, and tells what became of it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Literal

import pytest
from structlog.testing import capture_logs

from edged.act.asking import Answer, Request, take_requests, write_answer
from edged.app.helper import Helper
from tests.act.tree import device
from tests.outbox.world import HandClock

if TYPE_CHECKING:
    from pathlib import Path


class Desk:
    """A helper and who asks it."""

    def __init__(self, folder: Path, *, unit: bool = True) -> None:
        self.clock = HandClock()
        self.no_reboots = 0
        self.answers = folder / "answers.json"
        self.ask = folder / "ask"
        self.helper = Helper(
            self.clock, runtime=folder if unit else None, on_no_reboot=self._no_reboot, answers=self.answers
        )

    async def _no_reboot(self) -> None:
        self.no_reboots += 1

    def taken(self) -> Request:
        """Return the one request that the privileged side finds."""
        (request,) = take_requests(self.ask)
        assert isinstance(request, Request)
        return request


Outcome = Literal["done", "refused", "failed"]


@pytest.mark.parametrize("outcome", ["done", "refused", "failed"])
async def test_what_became_of_a_reset_is_told_once_in_the_log_and_for_a_day_on_the_page(
    tmp_path: Path, outcome: Outcome
) -> None:
    """The journal gets camera, reason and outcome as fields; people a sentence."""
    desk = Desk(tmp_path)
    await desk.helper.reset("door", "did not answer in time")
    request = desk.taken()
    assert (request.name, request.reason) == ("reset-door", "did not answer in time")
    await desk.helper.step()
    assert desk.helper.sentences() == []
    write_answer(desk.answers, request, Answer(id=request.id, outcome=outcome, text="as it was"))
    with capture_logs() as logged:
        await desk.helper.step()
        await desk.helper.step()
    (line,) = logged
    assert line == {
        "event": f"camera reset {outcome}",
        "log_level": "warning",
        "camera": "door",
        "reason": "did not answer in time",
        "text": "as it was",
    }
    desk.clock.at += 120
    asked = "A reset of camera door's power was asked for 2 min ago (did not answer in time)"
    assert desk.helper.sentences() == [f"{asked} and {outcome}: as it was."]
    desk.clock.at += 86_400
    assert desk.helper.sentences() == []
    assert desk.no_reboots == 0


async def test_another_s_answer_is_not_taken(tmp_path: Path) -> None:
    """An answer of a run before has another id."""
    desk = Desk(tmp_path)
    write_answer(desk.answers, Request(name="reboot"), Answer(id="1" * 32, outcome="done", text="long ago"))
    await desk.helper.reboot("no camera has delivered for 3 h")
    await desk.helper.step()
    assert desk.helper.sentences() == []


async def test_a_helper_that_does_not_answer_is_told_and_not_asked_any_more(tmp_path: Path) -> None:
    """The request is taken back: nobody is to reboot the machine next week when the unit is switched on."""
    desk = Desk(tmp_path)
    await desk.helper.reboot("no camera has delivered for 3 h")
    assert (desk.ask / "reboot").exists()
    desk.clock.at += 901
    await desk.helper.step()
    assert not (desk.ask / "reboot").exists()
    assert "systemctl status edged-act.path" in desk.helper.sentences()[0]
    assert desk.no_reboots == 1


@pytest.mark.parametrize("unit", [True, False])
async def test_a_request_that_can_not_be_made_is_told(tmp_path: Path, unit: bool) -> None:
    """No runtime directory, or one that refuses: the recovery goes on without."""
    desk = Desk(tmp_path / "missing", unit=unit)
    await desk.helper.reset("door", "gone")
    await desk.helper.reboot("no camera has delivered for 3 h")
    assert [each.count("can't be asked for") for each in desk.helper.sentences()] == [1, 1]
    assert desk.no_reboots == 1
    await desk.helper.step()


@pytest.mark.skipif(os.getuid() != 0, reason="only root's own file grants anything")
async def test_both_sides_speak_the_same_language(tmp_path: Path) -> None:
    """The real helper, started as systemd does, finds the request, and edged its answer."""
    desk = Desk(tmp_path)
    switch = device(tmp_path / "usb", "1-1.3") / "authorized"
    (tmp_path / "act.toml").write_text('[reset.door]\nusb = ["1-1.3"]\noff = "100ms"\n')
    await desk.helper.reset("door", "did not answer in time")
    places = {"ask": desk.ask, "answers": desk.answers, "config": tmp_path / "act.toml", "ledger": tmp_path / "ledger"}
    options = [f"--{name}={path}" for name, path in {**places, "devices": tmp_path / "usb"}.items()]
    subprocess.run([sys.executable, "-m", "edged.act", *options], check=True, capture_output=True)
    await desk.helper.step()
    (sentence,) = desk.helper.sentences()
    assert sentence.endswith("and done: let go for 0.1 s, and it is back.")
    assert switch.read_text()[0] == "1"
