from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edged.model import Gap, Loss
from edged.outbox.nouns import AlertRules, Notice, NoticeKind
from edged.outbox.policy import Destinations, clip_drafts
from edged.outbox.store import open_outbox
from tests.outbox.world import HandClock, Maker, receipt

if TYPE_CHECKING:
    from pathlib import Path

    from edged.model import Incident
    from edged.outbox.store import Outbox

YEAR = 365 * 86400.0
RECEIVER = Destinations(receiver=True)


async def finished(outbox: Outbox, make: Maker, *, proven: bool = True, deleted: bool = True) -> Incident:
    """Enter an incident whose clip was delivered, and perhaps deleted since."""
    incident = await outbox.open_incident(make.incident(make.id()), (), AlertRules(cooldown=0.0))
    clip = make.clip(incident)
    await outbox.add_clip(clip, clip_drafts(clip, RECEIVER))
    await outbox.close_incident(incident.id, make.now())
    if proven:
        (upload,) = await outbox.deliveries_for(clip.id)
        await outbox.complete(upload.id, receipt(clip.id))
    if deleted:
        await outbox.delete_file(clip.id, "made room")
    return incident


async def test_what_was_finished_long_ago_is_forgotten(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """Old rows go with all that hangs on them; what waits, what is kept and what is young stays."""
    old = await finished(outbox, make)
    waiting = await finished(outbox, make, proven=False, deleted=False)
    kept = await finished(outbox, make, deleted=False)
    going_on = await outbox.open_incident(make.incident("x"), (), AlertRules(cooldown=0.0))
    clock.at += YEAR + 10.0
    young = await finished(outbox, make)
    assert await outbox.prune(YEAR) == 3  # the old incident, its file and its delivery
    assert await outbox.prune(YEAR) == 0
    left = {incident.id for incident in await outbox.incidents()}
    assert left == {waiting.id, kept.id, going_on.id, young.id}
    assert await outbox.clips_of(old.id) == ()
    assert len(await outbox.deliveries()) == 3


async def test_the_newest_rows_are_never_forgotten(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """Numbers do not fall when everything is old: the sequence would tell of lost commits."""
    for _ in range(3):
        await finished(outbox, make)
    before = await outbox.sequence()
    clock.at += YEAR + 10.0
    await outbox.prune(YEAR)
    assert await outbox.sequence() == before
    assert len(await outbox.deliveries()) == 1


async def test_ledgers_and_notices_too(outbox: Outbox, make: Maker, clock: HandClock) -> None:
    """Reported gaps, told losses and notices that nobody waits for go; what was not reported yet stays."""
    ends = make.now()
    for reported in (True, False, True):
        await outbox.open_gap(Gap(camera="door", start=ends, end=ends, reason="dark"))
        if reported:
            await outbox.report_gaps(await outbox.unreported_gaps())
    for _ in range(2):
        await outbox.add_loss(Loss(what="clip", name="n", incident=None, bytes=1, reason="r", at=ends))
    await outbox.tell_losses(())
    await outbox.add_notice(Notice(id=make.id(), kind=NoticeKind.TEST, since=ends), ["mail:a@example.org"])
    clock.at += YEAR + 10.0
    assert await outbox.prune(YEAR) == 4
    assert len(await outbox.gaps()) == 1
    assert await outbox.count_losses() == 1
    assert len(await outbox.deliveries()) == 1


@pytest.mark.parametrize(("then", "now", "forgotten"), [(True, True, True), (False, True, False), (True, False, False)])
async def test_an_age_that_is_not_known_keeps_the_row(
    state_dir: Path, clock: HandClock, make: Maker, *, then: bool, now: bool, forgotten: bool
) -> None:
    """A row stamped by an untrusted clock, or looked at with one, stays: 1970 is not sixty years ago."""
    clock.trusted = then
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    await finished(outbox, make)
    await finished(outbox, make)
    await outbox.close()
    clock.reboot(trusted=now, wall=clock.wall() + YEAR + 10.0)
    outbox = await open_outbox(state_dir / "outbox.db", clock)
    assert (await outbox.prune(YEAR) > 0) == forgotten
    await outbox.close()
