"""The oracle over a product broken on purpose: one that takes a cut line for a delivery is found out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from scripts.soaks.rig import open_rig
from scripts.soaks.tables import cameras

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)  # real processes, on a machine that may be crowded

RUN = "from edged.cli import main; main()"
CREDULOUS = """
from edged.base.errors import NoAnswerError
from edged.push.targets import proof, tus
honest = tus._Upload.run
async def run(upload):
    try:
        return await honest(upload)
    except NoAnswerError:
        return proof.unproven(upload._manifest, tus.Proof.SIGNED, receiver="nobody", issued=1.0)
tus._Upload.run = run
"""


async def test_a_cut_that_counts_as_a_delivery(tmp_path: Path) -> None:
    """An upload that was cut and is held for done is found as lost."""
    command = (sys.executable, "-c", CREDULOUS + RUN)
    table = {"cameras": cameras(1, every=4.5, walk=1.5)}
    async with open_rig(tmp_path, device_table=table, device_command=command) as rig:
        await rig.receiver.start()
        rig.line.reset_after = 3_000  # bytes: in the first upload
        await rig.device.start()
        await rig.device.says("clip sealed")
        await rig.settle()
        assert "lost" in {finding.kind for finding in (await rig.judge()).findings}
