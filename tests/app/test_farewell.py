"""Why edged left, or had the machine rebooted, is told once by the next run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import pytest

from edged.act.ledger import Entry, write_ledger
from edged.app.farewell import Farewell
from edged.base.clock import stamp
from edged.model import DeliveryKind, State
from edged.outbox.store import open_outbox
from tests.outbox.world import HandClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.outbox.nouns import Notice
    from edged.outbox.store import Outbox

REASON = "no camera has delivered for 3 h"


@pytest.fixture
async def life(state_dir: Path, tmp_path: Path) -> AsyncIterator[Life]:
    """A device's life."""
    clock = HandClock()
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    yield Life(outbox, clock, state_dir, tmp_path / "ledger.json")
    await outbox.close()


class Life:
    """One device over several runs."""

    def __init__(self, outbox: Outbox, clock: HandClock, state: Path, ledger: Path) -> None:
        self.outbox, self.clock, self.note, self._state, self._ledger = (
            outbox,
            clock,
            state / "left.json",
            state,
            ledger,
        )
        self.run = self._begin()

    def _begin(self) -> Farewell:
        return Farewell(self.outbox, self.clock, state=self._state, timezone="Europe/Berlin", ledger=self._ledger)

    def rebooted_by_helper(self) -> None:
        """Enter what the helper did, as it does before it acts."""
        now = stamp(self.clock)
        write_ledger(self._ledger, [Entry(what="reboot", reason=REASON, at=now, age=0.0, seen=now)])

    async def starts(self) -> None:
        """Begin another run."""
        self.run = self._begin()
        await self.run.tell(["owner@example.org"])

    async def notices(self) -> list[Notice]:
        """Return what people are told by mail."""
        found = await self.outbox.deliveries((State.PENDING,), limit=10)
        told = [await self.outbox.notice(each.subject) for each in found if each.kind is DeliveryKind.ALERT]
        return [each for each in told if each is not None]


async def test_a_reboot_is_told_once_by_mail_and_for_a_day_on_the_page(life: Life) -> None:
    """With the time at which it was asked for, and the reason."""
    when = stamp(life.clock)
    await life.run.note("reboot", REASON)
    life.rebooted_by_helper()
    life.clock.reboot(trusted=True)
    await life.starts()
    (notice,) = await life.notices()
    assert notice.text.startswith(f"This device was rebooted\n\nThe reason: {REASON}.")
    assert notice.since.wall == when.wall
    (sentence,) = life.run.sentences()
    assert sentence.startswith("This device was rebooted on ")
    assert sentence.endswith(f": {REASON}.")
    life.clock.at += 86_400
    assert life.run.sentences() == []
    await life.starts()
    assert len(await life.notices()) == 1
    assert life.run.sentences() == []


async def test_a_crash_while_it_is_told_tells_it_no_second_time(life: Life) -> None:
    """The notice is entered, and its mark still lies there."""
    await life.run.note("reboot", REASON)
    life.rebooted_by_helper()
    life.clock.reboot(trusted=True)
    mark = life.note.read_bytes()
    await life.starts()
    life.note.write_bytes(mark)
    await life.starts()
    assert len(await life.notices()) == 1


async def test_edged_that_started_anew_is_told_to_those_who_look(life: Life) -> None:
    """No mail: people know by then that the camera is lost."""
    await life.run.note("start", "no camera has delivered for 1 h, and opening them anew did not help")
    await life.starts()
    assert life.run.sentences()[0].startswith("edged started anew by itself on ")
    assert await life.notices() == []
    assert not life.note.exists()


async def test_a_reboot_that_is_still_to_come_is_not_told_yet(life: Life) -> None:
    """Edged was started anew in the seconds between."""
    await life.run.note("reboot", REASON)
    await life.starts()
    assert (life.run.sentences(), life.note.exists()) == ([], True)
    life.rebooted_by_helper()
    life.clock.reboot(trusted=True)
    await life.starts()
    assert len(await life.notices()) == 1


async def test_another_s_reboot_is_not_claimed(life: Life) -> None:
    """The helper refused, edged was killed before it read that, and then the power failed."""
    await life.run.note("reboot", REASON)
    life.clock.reboot(trusted=True)
    await life.starts()
    assert (life.run.sentences(), await life.notices(), life.note.exists()) == ([], [], False)


async def test_what_did_not_come_is_forgotten(life: Life) -> None:
    """A reboot that was refused is none; to forget twice does no harm."""
    await life.run.note("reboot", REASON)
    await life.run.forget()
    await life.run.forget()
    assert not life.note.exists()


@pytest.mark.parametrize("content", [b"", b"[", b"{}", b'{"id": 1}', b"\xff"])
async def test_a_damaged_note_keeps_nobody_from_starting(life: Life, content: bytes) -> None:
    """What it said is lost, and that is all."""
    await asyncio.to_thread(life.note.write_bytes, content)
    await life.starts()
    assert (life.run.sentences(), life.note.exists()) == ([], False)


@pytest.mark.parametrize("what", ["start", "reboot"])
async def test_a_disk_that_refuses_costs_the_telling_alone(life: Life, what: Literal["start", "reboot"]) -> None:
    """Edged leaves all the same."""
    life.note.mkdir()
    await life.run.note(what, REASON)
    await life.starts()
    assert life.run.sentences() == []
