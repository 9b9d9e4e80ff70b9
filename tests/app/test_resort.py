"""When no camera delivers for long: edged leaves for a new start, or asks for a reboot of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from edged.act.asking import Answer, Request, take_requests, write_answer
from edged.app.farewell import Farewell
from edged.app.helper import Helper
from edged.app.resort import LastResort
from edged.base.units import Duration
from edged.capture.settings import LastResortSettings
from edged.outbox.store import open_outbox
from tests.app.test_notices import Cameras
from tests.outbox.world import HandClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.outbox.store import Outbox

HOUR = 3600.0


@pytest.fixture
async def box(state_dir: Path, tmp_path: Path) -> AsyncIterator[Box]:
    """A box whose cameras do as the test wants."""
    clock = HandClock()
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    yield Box(outbox, clock, state_dir, tmp_path)
    await outbox.close()


class Box:
    """What looks at all cameras together, with the default figures, and what it is connected to."""

    def __init__(self, outbox: Outbox, clock: HandClock, state: Path, runtime: Path) -> None:
        self.clock, self.cameras, self.left = clock, Cameras(), list[str]()
        self.note = state / "left.json"
        self._answers = runtime / "answers.json"
        self._ask = runtime / "ask"
        self._farewell = Farewell(outbox, clock, state=state, timezone="UTC")
        self.helper = Helper(clock, runtime=runtime, on_no_reboot=self._farewell.forget, answers=self._answers)

    def looks(self, *, reboot: bool = False) -> LastResort:
        """Return who looks, in a run of its own."""
        settings = LastResortSettings(leave_after=Duration(HOUR), reboot=reboot, reboot_after=Duration(3 * HOUR))
        return LastResort(
            settings,
            self.clock,
            health=self.cameras,
            leave=self.left.append,
            helper=self.helper,
            farewell=self._farewell,
        )

    def asked(self) -> list[Request]:
        """Return what the privileged helper finds."""
        return [each for each in take_requests(self._ask) if isinstance(each, Request)] if self._ask.exists() else []

    def answers(self, request: Request, answer: Answer) -> None:
        """Answer as the privileged helper does."""
        write_answer(self._answers, request, answer)


async def test_edged_leaves_when_no_camera_came_back_for_an_hour(box: Box) -> None:
    """Not a second sooner, and with the reason."""
    looking = box.looks()
    await looking.step()
    box.cameras.set("door", "gone")
    await looking.step()
    box.clock.at += HOUR - 1
    await looking.step()
    assert box.left == []
    box.clock.at += 1
    await looking.step()
    assert box.left == ["no camera has delivered for 1 h, and opening them anew did not help"]


async def test_one_camera_that_delivers_keeps_edged_and_the_machine(box: Box) -> None:
    """One hangs in its driver for days; leaving or rebooting would interrupt the healthy one."""
    looking = box.looks(reboot=True)
    await looking.step()
    box.cameras.set("yard", "its driver hangs")
    for _ in range(50):
        await looking.step()
        box.clock.at += HOUR
    assert (box.left, box.asked()) == ([], [])


async def test_a_camera_that_was_never_there_keeps_edged(box: Box) -> None:
    """Otherwise it would make edged start anew for ever."""
    box.cameras.set("door", "never there")
    looking = box.looks()
    await looking.step()
    box.clock.at += 5 * HOUR
    await looking.step()
    assert box.left == []


async def test_a_reboot_is_asked_for_once_with_its_reason(box: Box) -> None:
    """The reason is kept for the time after it; while the helper acts nothing else is done."""
    box.cameras.set("door", "gone")
    looking = box.looks(reboot=True)
    await looking.step()
    box.clock.at += 3 * HOUR
    await looking.step()
    (request,) = box.asked()
    assert (request.name, request.reason) == ("reboot", "no camera has delivered for 3 h")
    kept = msgspec.json.decode(box.note.read_bytes())
    assert (kept["what"], kept["reason"]) == ("reboot", "no camera has delivered for 3 h")
    box.answers(request, Answer(id=request.id, outcome="done", text="the machine reboots"))
    await box.helper.step()
    await looking.step()
    assert (box.left, box.asked()) == ([], [])
    assert box.note.exists()


async def test_a_reboot_that_was_refused_is_asked_for_again_by_and_by(box: Box) -> None:
    """The budget is the helper's: edged asks again after as long an outage; of what was refused no reason is kept."""
    box.cameras.set("door", "gone")
    looking = box.looks(reboot=True)
    await looking.step()
    times = []
    for hour in range(1, 10):
        box.clock.at += HOUR
        await looking.step()
        for request in box.asked():
            times.append(hour)
            box.answers(request, Answer(id=request.id, outcome="refused", text="budget: 1 in a day are done"))
        await box.helper.step()
        assert not box.note.exists()
    assert times == [3, 6, 9]
