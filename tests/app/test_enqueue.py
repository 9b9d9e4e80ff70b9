"""Any file goes through the same spool and outbox as a clip."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from edged.app.enqueue import enqueue
from edged.base.errors import EdgedError
from edged.model import DeliveryKind, Lane
from edged.outbox.policy import Destinations
from edged.outbox.spool import Spool
from edged.outbox.store import open_outbox
from tests.outbox.world import HandClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.outbox.nouns import Document
    from edged.outbox.store import Outbox

OFFICE = Destinations(recipients=("a@example.org",), receiver=True, folders=("usb",))
CLOCK = HandClock()


@pytest.fixture
def spool(state_dir: Path) -> Spool:
    """A state directory."""
    made = Spool(state_dir)
    made.prepare()
    return made


@pytest.fixture
async def outbox(spool: Spool) -> AsyncIterator[Outbox]:
    """Its outbox."""
    made = await open_outbox(spool.database, CLOCK)
    yield made
    await made.close()


async def test_files_become_deliveries_to_every_store(tmp_path: Path, spool: Spool, outbox: Outbox) -> None:
    """Each file is copied, hashed, and due at receiver and folder; people get no mail of it."""
    first, second = tmp_path / "report.pdf", tmp_path / "notes.txt"
    first.write_bytes(b"%PDF" * 100)
    second.write_bytes(b"")
    rows = await enqueue(outbox, spool, CLOCK, OFFICE, {"files": [str(first), str(second)]})
    first.unlink()  # edged has its own copy
    assert [(row["name"], row["size"]) for row in rows] == [("report.pdf", 400), ("notes.txt", 0)]
    for row in rows:
        sent = await outbox.deliveries_for(row["document"])
        assert [each.destination for each in sent] == ["receiver", "folder:usb"]
        assert {(each.kind, each.lane) for each in sent} == {(DeliveryKind.DOCUMENT, Lane.BULK)}
        assert row["delivery"] == sent[0].id
    kept = (await outbox.deliveries_for(rows[0]["document"]))[0].path
    assert kept is not None
    assert kept.read_bytes() == b"%PDF" * 100


@pytest.mark.parametrize("wrong", ["missing.txt", "folder", "fifo", "folder/\0"])
async def test_one_wrong_name_and_nothing_is_taken(tmp_path: Path, spool: Spool, outbox: Outbox, wrong: str) -> None:
    """All names are looked at before the first file is taken: what is no file is named."""
    good = tmp_path / "good.txt"
    good.write_text("good")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(EdgedError, match="is no file that edged can read; nothing was enqueued"):
        await enqueue(outbox, spool, CLOCK, OFFICE, {"files": [str(good), str(tmp_path / wrong)]})
    assert await outbox.deliveries() == ()
    assert list(spool.documents.iterdir()) == []


async def test_without_a_store_it_is_refused(tmp_path: Path, spool: Spool, outbox: Outbox) -> None:
    """With mail alone there is nowhere to send files to."""
    nowhere = Destinations(recipients=("a@example.org",), receiver=False, folders=())
    with pytest.raises(EdgedError, match=r"nowhere to send files to.*\[receiver\]"):
        await enqueue(outbox, spool, CLOCK, nowhere, {"files": [str(tmp_path)]})


async def test_a_spool_without_room_names_what_was_taken_before(tmp_path: Path, spool: Spool, outbox: Outbox) -> None:
    """When the disk refuses in the middle, the person learns which files are in already."""
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("1")
    second.write_text("2")

    class Full(Spool):
        def take_document(self, source: Path, clock: Clock) -> Document:
            if source == second:
                raise OSError(28, "No space left on device")
            return super().take_document(source, clock)

    with pytest.raises(EdgedError, match=r"second\.txt can't be taken.*No space left.*before it: first\.txt"):
        await enqueue(outbox, Full(spool.root), CLOCK, OFFICE, {"files": [str(first), str(second)]})
    assert len(await outbox.deliveries()) == 2
