"""One event, seen at 0, 5 and 10 s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.scenes.stage import check_proven, film, running, settled, stage, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenes.stage import Told
    from tests.simloop import SimClock, Simulate

FIRST = 12.0  # seconds from the camera's start to what is seen first
SEEN = (FIRST, FIRST + 5.0, FIRST + 10.0)
FILMED = ("capture", "notices", "last resort")  # the scene plays the camera's part, so nobody watches over it


def camera(**detect: Any) -> dict[str, Any]:
    """Return a camera before which a figure crosses quickly at 0, 5 and 10 s."""
    drawn = {"period": "1h", "walks": list(SEEN), "walk": "2s", "lamps": []}
    return {"source": "synthetic", "size": "320x180", "rate": 8.0, "synthetic": drawn, "detect": detect}


def test_seen_at_0_5_and_10_seconds_is_one_incident_and_one_mail(simulate: Simulate, tmp_path: Path) -> None:
    """Motion at 0, 5 and 10 s is one incident with one clip of all three, and one mail."""

    async def scene(clock: SimClock) -> None:
        async with stage(tmp_path, clock) as ends:
            async with running(ends.config(cameras={"door": camera()}), clock, without=FILMED) as world:
                began = clock.mono()
                await film(world, "door", SEEN[-1] + 14.0)
                await settled(world)
                (incident,) = await world.outbox.incidents()
                clips = (await check_proven(ends, world.outbox))[incident.id]
            assert incident.closed is not None
            assert incident.opened.mono == pytest.approx(began + SEEN[0], abs=1.0)
            assert incident.closed.mono == pytest.approx(began + SEEN[2] + 2.0, abs=1.0)
            assert clips[0].start.mono <= incident.opened.mono - 5.0
            assert clips[0].start.mono + sum(clip.seconds for clip in clips) >= incident.closed.mono + 4.8
            assert [(told.kind, told.incidents) for told in ends.told()] == [("alert", (incident.id,))]

    simulate(scene)


def test_cut_into_three_incidents_it_is_still_one_alert(simulate: Simulate, tmp_path: Path) -> None:
    """With so short a merge time that it makes three incidents, one is alerted and one summary counts the others."""

    async def scene(clock: SimClock) -> list[Told]:
        async with stage(tmp_path, clock) as ends:
            config = ends.config(cameras={"door": camera(merge="1s", post_roll="1s")})
            async with running(config, clock, without=FILMED) as world:
                await film(world, "door", SEEN[-1] + 7.0)
                await settled(world)
                incidents = (await world.outbox.incidents())[::-1]
                assert [incident.held for incident in incidents] == ["", "cooldown", "cooldown"]
                assert [told.incidents for told in ends.told()] == [(incidents[0].id,)]
                await until(lambda: len(ends.told()) == 2, limit=100.0)
                assert clock.mono() - incidents[0].opened.mono == pytest.approx(60.0, abs=6.0)
                assert all(await check_proven(ends, world.outbox))
            return ends.told()

    alert, summary = simulate(scene)
    assert (alert.kind, summary.kind, summary.incidents) == ("alert", "summary", ())
    assert "2 more" in str(summary.mail.message["Subject"])


def test_three_events_far_apart_are_three_mails(simulate: Simulate, tmp_path: Path) -> None:
    """The same three crossings with a cool-down of nothing are three incidents with a mail each."""

    async def scene(clock: SimClock) -> None:
        async with stage(tmp_path, clock) as ends:
            config = ends.config(cameras={"door": camera(merge="1s", post_roll="1s")}, alerts={"cooldown": "0s"})
            async with running(config, clock, without=FILMED) as world:
                await film(world, "door", SEEN[-1] + 7.0)
                await settled(world)
                incidents = (await world.outbox.incidents())[::-1]
                assert len(incidents) == 3
                assert [told.incidents for told in ends.told()] == [(incident.id,) for incident in incidents]

    simulate(scene)
