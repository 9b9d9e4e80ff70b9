"""A person who has corrected a password says so by `edged outbox retry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.app.client import ask
from tests.app.home import config, living, until, watching
from tests.mailbox import Fault, serve_mail

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_paused_destination_is_tried_at_once(state_dir: Path) -> None:
    """Neither the address nor the relay that refused the login makes a person wait half an hour, or start anew."""
    async with serve_mail() as mailbox:
        mailbox.faults = [Fault(stage="MAIL", reply="530 5.7.0 Authentication required")]
        relay = {"host": "127.0.0.1", "port": mailbox.port, "security": "opportunistic"}
        settings = config(
            state_dir,
            alerts={"recipients": ["owner@example.org"]},
            mail={"sender": "box@example.org", "relays": [relay]},
        )
        async with living(settings) as world:
            await watching(world)
            await ask(settings, "record", {"camera": "door", "seconds": 1.0}, timeout=30.0)
            await until(lambda: ("mail:owner@example.org", "down") in {gate[:2] for gate in world.outward.gates()})
            mailbox.faults = []
            listed = await ask(settings, "outbox.list", {}, timeout=30.0)
            (alert,) = (row for row in listed["deliveries"] if row["kind"] == "alert")
            await ask(settings, "outbox.retry", {"id": alert["id"]}, timeout=30.0)
            (mail,) = await mailbox.wait_for(1)
    assert mail.recipients == ("owner@example.org",)
