"""People learn once that a camera is lost, and once that it is back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edged.app.notices import Notices, news
from edged.model import Health, Sign
from edged.outbox.store import open_outbox
from tests.outbox.world import HandClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.outbox.store import Outbox


@pytest.mark.parametrize(
    ("well", "lost", "told", "after", "expected"),
    [
        ({"door"}, {}, set(), 60.0, {}),
        (set(), {"door": 41.0}, set(), 60.0, {}),
        (set(), {"door": 40.0}, set(), 60.0, {"door": False}),
        (set(), {"door": 40.0}, {"door"}, 60.0, {}),
        ({"door"}, {}, {"door"}, 60.0, {"door": True}),
        ({"yard"}, {"door": 0.0}, {"yard"}, 60.0, {"yard": True, "door": False}),
        (set(), {}, {"door"}, 60.0, {}),  # no longer watched: nobody knows
        (set(), {"door": 0.0}, set(), 0.0, {}),
        ({"door"}, {}, {"door"}, 0.0, {}),
    ],
)
def test_news(well: set[str], lost: dict[str, float], told: set[str], after: float, expected: dict[str, bool]) -> None:
    """At second 100: lost long enough and not told yet, or told and back again; "0s" tells nothing."""
    assert news(well, lost, told, lost_after=after, now=100.0) == expected


@pytest.fixture
async def outbox(state_dir: Path) -> AsyncIterator[Outbox]:
    """An outbox."""
    made = await open_outbox(state_dir / "outbox.db", HandClock())
    yield made
    await made.close()


class Cameras:
    """The health of cameras, as a test wants it."""

    def __init__(self) -> None:
        self.now: dict[str, Health] = {}
        self.set("door")

    def set(self, name: str, text: str = "", sign: Sign = Sign.NO_FRAMES) -> None:
        """Let a camera deliver, or be ill of `text`."""
        signs = frozenset({sign}) if text else frozenset()
        self.now[name] = Health(camera=name, signs=signs, text=text, since=0.0, rung=0)

    def __call__(self) -> dict[str, Health]:
        """Return the health of every camera."""
        return self.now


def notices(outbox: Outbox, state: Path, cameras: Cameras, clock: HandClock) -> Notices:
    """Return what watches, as after a start."""
    people = ("a@example.org", "b@example.org")
    ledger = state / "lost.json"
    return Notices(outbox, clock, health=cameras, lost_after=60.0, blind_after=600.0, people=people, ledger=ledger)


async def told(outbox: Outbox) -> list[str]:
    """Return the notices' kind and title, in order, each only if both people get it."""
    alerts = await outbox.deliveries()
    subjects = list(dict.fromkeys(each.subject for each in reversed(alerts)))
    assert len(alerts) == 2 * len(subjects)
    found = [await outbox.notice(subject) for subject in subjects]
    return [f"{each.kind}: {each.text.splitlines()[0]}" for each in found if each is not None]


async def test_each_is_told_once_also_across_a_restart(outbox: Outbox, state_dir: Path) -> None:
    """A minute without pictures is told, not sooner and not twice; a restart later only the return is news."""
    clock, cameras = HandClock(), Cameras()
    watch = notices(outbox, state_dir, cameras, clock)
    cameras.set("door", "no answer from 192.168.1.20")
    await watch.step()
    clock.at += 59.0
    await watch.step()
    assert await told(outbox) == []
    clock.at += 1.0
    await watch.step()
    await watch.step()
    assert await told(outbox) == ["system: Camera door is lost"]
    (newest, *_) = await outbox.deliveries()
    entered = await outbox.notice(newest.subject)
    assert entered is not None
    assert "no answer from 192.168.1.20" in entered.text
    assert entered.since.mono == clock.at - 60.0

    again = notices(outbox, state_dir, cameras, clock)
    for _ in range(3):
        await again.step()
        clock.at += 60.0
    assert await told(outbox) == ["system: Camera door is lost"]
    cameras.set("door")
    await again.step()
    await again.step()
    assert await told(outbox) == ["system: Camera door is lost", "clear: Camera door is back"]


@pytest.mark.parametrize("sign", [Sign.DARK, Sign.COVERED, Sign.MOVED])
async def test_a_camera_that_sees_nothing_is_told_too(outbox: Outbox, state_dir: Path, sign: Sign) -> None:
    """After ten minutes, once, also across a restart; lost meanwhile is news of its own, seeing again is told once."""
    clock, cameras = HandClock(), Cameras()
    watch = notices(outbox, state_dir, cameras, clock)
    cameras.set("door", "the camera has been covered for 31 s", sign)
    for seconds in (0.0, 599.0):
        clock.at += seconds
        await watch.step()
    assert await told(outbox) == []
    clock.at += 1.0
    await watch.step()
    blind = "system: Camera door sees nothing of use"
    assert await told(outbox) == [blind]
    watch = notices(outbox, state_dir, cameras, clock)
    clock.at += 700.0
    await watch.step()
    cameras.set("door", "no picture for 6 s")
    await watch.step()
    clock.at += 60.0
    await watch.step()
    lost = "system: Camera door is lost"
    assert await told(outbox) == [blind, lost]
    cameras.set("door")
    for _ in range(2):
        await watch.step()
    assert await told(outbox) == [blind, lost, "clear: Camera door is back", "clear: Camera door sees again"]


async def test_a_short_outage_is_nobodys_news(outbox: Outbox, state_dir: Path) -> None:
    """Back within the minute, the next outage counts from its own beginning."""
    clock, cameras = HandClock(), Cameras()
    watch = notices(outbox, state_dir, cameras, clock)
    for seconds, text in ((0.0, "dark"), (50.0, ""), (5.0, "dark"), (50.0, "dark")):
        clock.at += seconds
        cameras.set("door", text)
        await watch.step()
    assert await told(outbox) == []


async def test_a_camera_that_is_no_longer_watched_is_not_back(outbox: Outbox, state_dir: Path) -> None:
    """`edged drain` ends the watching: a lost camera is not told to be well, nor does its absence do harm."""
    clock, cameras = HandClock(), Cameras()
    watch = notices(outbox, state_dir, cameras, clock)
    cameras.set("door", "gone")
    await watch.step()
    clock.at += 60.0
    await watch.step()
    cameras.now.clear()
    await watch.step()
    assert await told(outbox) == ["system: Camera door is lost"]


@pytest.mark.parametrize("content", ["", "{", "7", "null"])
async def test_a_damaged_note_tells_once_more_at_worst(outbox: Outbox, state_dir: Path, content: str) -> None:
    """What can't be read counts as nobody: a camera that is lost is told."""
    (state_dir / "lost.json").write_text(content)
    clock, cameras = HandClock(), Cameras()
    watch = notices(outbox, state_dir, cameras, clock)
    cameras.set("door", "gone")
    await watch.step()
    clock.at += 60.0
    await watch.step()
    assert await told(outbox) == ["system: Camera door is lost"]
