"""The product on one screen: every task, its longest healthy silence, its place in the stop.

A task is (name, coroutine, deadline in seconds, stage of the stop). The stop runs in the data's order: cameras,
detection, recording (which seals), the ways out (at the next piece), the pages, the outbox, and last who watches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.supervise.supervisor import Task

if TYPE_CHECKING:
    from edged.app.world import World

CAPTURE, DETECT, RECORD, PUSH, PAGES, OUTBOX, WATCH = range(7)


def tasks(world: World) -> tuple[Task, ...]:
    """Return the table TASKS for this world: what its configuration has no use for is left out."""
    table = []
    for eye in world.eyes.values():
        table += [
            Task(name=f"capture {eye.name}", start=eye.capture.run, deadline=30, stage=CAPTURE, stop=eye.capture.stop),
            Task(name=f"detect {eye.name}", start=eye.detector.run, deadline=30, stage=DETECT, stop=eye.detector.stop),
            Task(
                name=f"record {eye.name}",
                start=eye.recorder.run,
                deadline=60,
                stage=RECORD,
                stop=eye.recorder.stop,
                critical=True,
                patience=30,
            ),
        ]
    # with the cameras: a drain, which stops them, ends the watch as a stop does
    presence = world.presence
    table.append(Task(name="presence", start=presence.run, deadline=60, stage=CAPTURE, stop=presence.stop))
    out = world.outward
    table.append(Task(name="alerts", start=out.alerts.run, deadline=900, stage=PUSH, critical=True))
    table.append(Task(name="uploads", start=out.uploads.run, deadline=300, stage=PUSH, critical=True, stop=out.close))
    if out.probe is not None:
        table.append(Task(name="link", start=out.probe.run, deadline=120, stage=PUSH))
    if out.heartbeat is not None:  # edged's own receiver takes them, a foreign tus server does not
        table.append(Task(name="heartbeat", start=out.heartbeat.run, deadline=300, stage=PUSH))
    table += [
        Task(name="notices", start=world.notices.run, deadline=60, stage=PUSH),
        Task(name="last resort", start=world.resort.run, deadline=60, stage=PUSH),
        Task(name="helper", start=world.helper.run, deadline=60, stage=PUSH),
        Task(
            name="outbox",
            start=world.upkeep.run,
            deadline=300,
            stage=OUTBOX,
            critical=True,
            stop=world.upkeep.stop,
            patience=30,
        ),
        Task(name="watchdog", start=world.watchdog.run, deadline=60, stage=WATCH),
        Task(name="lag", start=world.lag.run, deadline=30, stage=WATCH),
        Task(name="firmware", start=world.firmware.run, deadline=60, stage=WATCH),
    ]
    return tuple(table)
