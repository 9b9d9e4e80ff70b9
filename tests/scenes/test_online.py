"""An incident while the line is up."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import av

from edged.app.tasks import CAPTURE, DETECT, RECORD
from edged.base.clock import SystemClock
from tests.scenes.stage import PERSON, check_proven, pictures, running, settled, stage, until

if TYPE_CHECKING:
    from pathlib import Path

WALK = 5.0  # seconds from the camera's start to the figure's entry
CAMERA = {
    "source": "synthetic",
    "size": "320x180",
    "synthetic": {"period": "1h", "walks": [WALK], "walk": "3s", "lamps": []},
    "detect": {"merge": "1s", "post_roll": "1s"},
}


async def test_an_incident_online(tmp_path: Path) -> None:
    """A figure crosses: one mail with its picture, and the clip, pre-roll included, proven at the receiver."""
    clock = SystemClock()
    async with stage(tmp_path, clock) as scene:
        config = scene.config(cameras={"door": CAMERA}, record={"pre_roll": "2s"})
        async with running(config, clock) as world:
            began = clock.mono()

            async def recorded() -> bool:
                return any(incident.closed for incident in await world.outbox.incidents())

            await until(recorded)
            for stage_of_stop in (CAPTURE, DETECT, RECORD):  # a better picture may still be on its way into the outbox
                await world.supervisor.stop_stage(stage_of_stop)
            await settled(world)
            (incident,) = await world.outbox.incidents()
            clips = (await check_proven(scene, world.outbox))[incident.id]
            stored = await scene.arrived()
        (told,) = scene.told()
        assert (told.kind, told.incidents, told.mail.recipients) == ("alert", (incident.id,), (PERSON,))
        (picture,) = [part for part in told.mail.message.walk() if part.get_content_type() == "image/jpeg"]
        data = picture.get_payload(decode=True)
        assert isinstance(data, bytes)
        with av.open(io.BytesIO(data), "r") as jpeg:
            assert next(jpeg.decode(video=0)).width == 320
        assert incident.closed is not None
        assert began + WALK < incident.opened.mono
        assert 1.5 < incident.closed.mono - incident.opened.mono < 4.5
        assert clips[0].start.mono <= incident.opened.mono - 2.0
        seconds = sum(clip.seconds for clip in clips)
        assert clips[0].start.mono + seconds >= incident.closed.mono + 0.9
        shown = sum(pictures(scene.content(file)) for file in stored if file.kind == "clip")
        assert abs(shown - 15.0 * seconds) <= 1
        assert stored[0].kind == "snapshot"
