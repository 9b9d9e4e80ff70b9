"""Whether incidents raise alerts: schedule, orders, and what is left of them after a restart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from edged.app.arming import Arming, Order, armed
from edged.base.errors import EdgedError
from edged.base.week import parse_span
from edged.model import IncidentKind
from tests.outbox.world import HandClock, Maker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = ("22:00-06:00",)


def at(text: str) -> float:
    """Return the Unix time of a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("order", "schedule", "moment", "expected"),
    [
        ("auto", (), "2026-06-01 12:00", True),
        ("arm", (), "2026-06-01 12:00", True),
        ("disarm", (), "2026-06-01 12:00", False),
        ("auto", NIGHT, "2026-06-01 12:00", False),
        ("arm", NIGHT, "2026-06-01 12:00", True),
        ("disarm", NIGHT, "2026-06-01 23:00", False),
        ("auto", NIGHT, "2026-06-01 19:59", False),  # 21:59 in Berlin
        ("auto", NIGHT, "2026-06-01 20:00", True),
        ("auto", NIGHT, "2026-06-02 03:59", True),
        ("auto", NIGHT, "2026-06-02 04:00", False),
        ("auto", ("sa,su 00:00-24:00", "mo-fr 20:00-07:00"), "2026-06-06 10:00", True),  # a Saturday
        ("auto", ("sa,su 00:00-24:00", "mo-fr 20:00-07:00"), "2026-06-05 10:00", False),
    ],
)
def test_order_then_schedule_then_always(order: Order, schedule: Sequence[str], moment: str, expected: bool) -> None:
    """An order decides, else the schedule in the site's own time, and without one alerts are always raised."""
    assert armed(order, [parse_span(text) for text in schedule], at(moment), BERLIN) is expected


def arming(path: Path, *, schedule: Sequence[str] = (), clock: HandClock | None = None) -> Arming:
    """Return the arming of two cameras."""
    return Arming(
        path, ("door", "yard"), schedule=schedule, timezone="Europe/Berlin", clock=clock or HandClock(at=100.0)
    )


async def test_orders_stand_until_the_next_also_across_restarts(tmp_path: Path) -> None:
    """One camera is disarmed, a restart later it still is, and `auto` gives it back to the schedule."""
    path = tmp_path / "arming.json"
    assert await arming(path).order("disarm", "door") == {"door": False, "yard": True}
    later = arming(path)
    await later.load()
    assert (later.is_armed("door"), later.is_armed("yard")) == (False, True)
    assert await later.order("disarm", None) == {"door": False, "yard": False}
    assert await later.order("auto", None) == {"door": True, "yard": True}
    again = arming(path)
    await again.load()
    assert (again.is_armed("door"), again.is_armed("yard")) == (True, True)


async def test_a_camera_that_is_gone_leaves_its_order_behind(tmp_path: Path) -> None:
    """The file may know cameras that the configuration no longer has."""
    path = tmp_path / "arming.json"
    path.write_text('{"gate": "disarm", "yard": "disarm"}')
    found = arming(path)
    await found.load()
    assert (found.is_armed("door"), found.is_armed("yard")) == (True, False)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '"disarm"', '{"door": "off"}', '{"door": null}', '{"door": ["disarm"]}', "\udcff", "[" * 100_000],
)
async def test_a_damaged_file_never_disarms(tmp_path: Path, content: str) -> None:
    """What can't be read as orders leaves the schedule in charge: an alert too many beats none."""
    path = tmp_path / "arming.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    found = arming(path)
    await found.load()
    assert (found.is_armed("door"), found.is_armed("yard")) == (True, True)


@pytest.mark.parametrize(
    ("order", "camera", "words"),
    [("off", "door", "'off' is no order"), ("arm", "gate", "no camera 'gate'.*door, yard")],
)
async def test_nonsense_is_refused(tmp_path: Path, order: Any, camera: str, words: str) -> None:
    """An unknown order or camera is named, and nothing is kept of it."""
    with pytest.raises(EdgedError, match=words):
        await arming(tmp_path / "arming.json").order(order, camera)
    assert list(tmp_path.iterdir()) == []


async def test_an_order_that_cannot_be_kept_is_not_followed(tmp_path: Path) -> None:
    """What a restart would undo is refused at once."""
    found = arming(tmp_path / "missing" / "arming.json")
    with pytest.raises(EdgedError, match=r"arming\.json can't be written, nothing was changed"):
        await found.order("disarm", "door")
    assert found.is_armed("door")


async def test_only_what_a_camera_saw_itself_is_silenced(tmp_path: Path) -> None:
    """Disarmed, motion raises no alert and says why; a person's own recording always tells."""
    clock = HandClock()
    found = arming(tmp_path / "arming.json", clock=clock)
    motion = Maker(clock=clock).incident("door")
    manual = Maker(clock=clock).incident("door", kind=IncidentKind.MANUAL)
    assert [found.why_silent(each) for each in (motion, manual)] == ["", ""]
    await found.order("disarm", "door")
    assert [found.why_silent(each) for each in (motion, manual)] == ["disarmed", ""]


async def test_the_schedule_follows_the_clock(tmp_path: Path) -> None:
    """The same arming answers anew as time goes on."""
    clock = HandClock(at=0.0, ahead=at("2026-06-01 19:59"))
    found = arming(tmp_path / "arming.json", schedule=NIGHT, clock=clock)
    assert not found.is_armed("door")
    clock.at = 60.0
    assert found.is_armed("door")
