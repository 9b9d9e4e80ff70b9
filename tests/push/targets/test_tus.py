"""The tus target against edged's real receiver, over a line that is spoiled in every way the proxy knows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edged.wire import receipt
from edged.wire.receipt import Proof
from tests.push.conftest import make_job

if TYPE_CHECKING:
    from pathlib import Path

    from tests.push.conftest import Bench

_SIZE = 3_000_001


async def test_a_file_arrives_and_its_receipt_is_signed(bench: Bench, key: str, tmp_path: Path) -> None:
    """A file goes up whole; the receipt proves key, size and hash, and is signed with the device's key."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    found = await bench.target.deliver(job.errand())
    assert found.proof is Proof.SIGNED
    assert receipt.verify(found, key)
    assert (found.key, found.size, found.sha256) == (job.manifest.key, _SIZE, job.manifest.sha256)
    assert job.held[0] == 0
    assert job.held[-1] == _SIZE


async def test_an_empty_file_arrives(bench: Bench, tmp_path: Path) -> None:
    """A file of no bytes has its receipt too."""
    found = await bench.target.deliver(make_job(tmp_path, b"").errand())
    assert found.size == 0
