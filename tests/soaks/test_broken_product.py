"""The oracle over a product that is broken on purpose, by a few lines before its own: what a kill leaves is seen."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.soaks.program import Program
from scripts.soaks.rig import open_rig, overgrown
from scripts.soaks.tables import RECIPIENTS, cameras

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)  # real processes, on a machine that may be crowded

RUN = "from edged.cli import main; main()"
NO_SALVAGE = """
from edged.app import world
async def nothing(*_): ...
vars(world)["salvage"] = nothing
"""
NEW_IDENTITIES = """
import secrets
from edged.channels import render
vars(render)["message_id"] = lambda key, sender: f"<{secrets.token_hex(8)}@soak.invalid>"
from edged.outbox import store
async def forget(self, delivery, message): return message
store.Outbox.freeze = forget
"""
GREEDY = """
import os, socket, sys, tempfile, time
held = [tempfile.TemporaryFile(), *(socket.socket() for _ in range(40))]
print('{"event": "up"}', file=sys.stderr, flush=True)
time.sleep(60)
"""
BUSY = {"cameras": cameras(1, every=4.5, walk=1.5)}
ALONE = BUSY | {"alerts": {"recipients": RECIPIENTS[:1], "cooldown": "0s"}}


def broken(code: str) -> tuple[str, ...]:
    """Return the command of an edged with `code` before its own."""
    return (sys.executable, "-c", code + RUN)


async def test_a_start_that_salvages_nothing(tmp_path: Path) -> None:
    """Killed in the middle of an incident, it leaves an incident open and a part unsealed: both are found."""
    async with open_rig(tmp_path, device_table=BUSY, device_command=broken(NO_SALVAGE)) as rig:
        await rig.start()
        opened = await rig.device.says("incident opened")
        await rig.device.says("fragment synced", incident=opened["incident"])
        rig.device.kill()
        await rig.device.ready()
        await rig.settle()
        found = (await rig.judge()).findings
        assert {"lost", "left_over"} <= {finding.kind for finding in found}
        assert any(opened["incident"] in finding.text and "open" in finding.text for finding in found)


async def test_a_mail_that_is_made_anew_for_each_attempt(tmp_path: Path) -> None:
    """After a lost answer the same alert comes under another Message-ID: people are told twice, and it is found."""
    async with open_rig(tmp_path, device_table=ALONE, device_command=broken(NEW_IDENTITIES)) as rig:
        rig.mail_line.lose_answer_at = 1_000  # bytes: in the middle of the first mail, so the answer is the last one
        await rig.start()
        await rig.device.says("delivery put off", destination=f"mail:{RECIPIENTS[0]}")
        await rig.settle()
        assert "duplicated" in {finding.kind for finding in (await rig.judge()).findings}


async def test_files_and_sockets_that_are_not_let_go(tmp_path: Path) -> None:
    """A process that keeps a deleted file open, and sockets without end, is named for both."""
    greedy = Program("greedy", (sys.executable, "-c", GREEDY), tmp_path, ready="up")
    try:
        await greedy.start()
        found = [finding.text for finding in overgrown(greedy)]
        assert [text for text in found if "keeps the deleted file" in text]
        assert [text for text in found if "sockets are left" in text]
        assert await greedy.stop() == -signal.SIGTERM
        assert overgrown(greedy) == []
    finally:
        await greedy.end()
