from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from edged.model import State
from edged.outbox.commands import COMMANDS, BadCommandError
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import Destinations, alert_drafts, clip_drafts
from tests.outbox.world import receipt

if TYPE_CHECKING:
    from edged.model import Clip, Incident
    from edged.outbox.store import Outbox
    from tests.outbox.world import Maker

HERE = Destinations(recipients=("a@example.org",), receiver=True)


async def ask(outbox: Outbox, command: str, **args: Any) -> Any:
    """Give a command as the control socket does: its answer has to survive JSON."""
    return json.loads(json.dumps(await COMMANDS[command](outbox, args)))


async def entered(outbox: Outbox, make: Maker, **more: Any) -> tuple[Incident, Clip]:
    """Enter an incident with its alert and one clip."""
    incident = make.incident(make.id())
    await outbox.open_incident(incident, alert_drafts(incident, HERE), AlertRules())
    clip = make.clip(incident)
    await outbox.add_clip(clip, clip_drafts(clip, Destinations(receiver=True, **more)))
    return incident, clip


async def test_listing_and_showing_deliveries(outbox: Outbox, make: Maker) -> None:
    """The list has the newest first with counts and backlog; one is shown with its proof and error."""
    _, clip = await entered(outbox, make)
    listed = await ask(outbox, "outbox.list")
    assert [(each["kind"], each["state"]) for each in listed["deliveries"]] == [
        ("clip", "pending"),
        ("alert", "pending"),
    ]
    assert (listed["counts"]["waiting"], listed["backlog"]["bytes"]) == (2, 1000)
    (upload,) = await outbox.deliveries_for(clip.id)
    await outbox.complete(upload.id, receipt(clip.id))
    shown = await ask(outbox, "outbox.show", id=upload.id)
    assert (shown["state"], shown["proof"], shown["key"]) == ("done", "signed", clip.id)
    assert [each["id"] for each in (await ask(outbox, "outbox.list", state="done"))["deliveries"]] == [upload.id]
    assert (await ask(outbox, "outbox.list", limit=1, before=upload.id))["deliveries"][0]["kind"] == "alert"


async def test_retry_sends_one_or_all_that_are_dead_or_held(outbox: Outbox, make: Maker) -> None:
    """One by its id; with `all` the dead and the held, but nothing that merely waits."""
    _, first = await entered(outbox, make)
    _, held = await entered(outbox, make, manual=True)
    (dead,) = await outbox.deliveries_for(first.id)
    await outbox.bury(dead.id, "413")
    (waiting,) = await outbox.deliveries_for(held.id)
    assert (await ask(outbox, "outbox.retry", all=True))["retried"] == [waiting.id, dead.id]
    assert await ask(outbox, "outbox.retry", all=True) == {"retried": []}
    assert await ask(outbox, "outbox.retry", id=dead.id) == {"retried": [dead.id]}
    assert not await outbox.deliveries((State.DEAD, State.HELD))


async def test_retry_all_goes_over_pages(outbox: Outbox, make: Maker) -> None:
    """However many are dead, all are driven."""
    for _ in range(120):
        _, clip = await entered(outbox, make)
        (upload,) = await outbox.deliveries_for(clip.id)
        await outbox.bury(upload.id, "413")
    assert len((await ask(outbox, "outbox.retry", all=True))["retried"]) == 120


async def test_dropping_is_final(outbox: Outbox, make: Maker) -> None:
    """What was dropped can be neither dropped nor sent again, and the answer says why."""
    _, clip = await entered(outbox, make)
    (upload,) = await outbox.deliveries_for(clip.id)
    assert await ask(outbox, "outbox.drop", id=upload.id) == {"dropped": [upload.id]}
    for command in ("outbox.drop", "outbox.retry"):
        with pytest.raises(BadCommandError, match=rf"delivery {upload.id} is dropped"):
            await ask(outbox, command, id=upload.id)


async def test_listing_and_showing_incidents(outbox: Outbox, make: Maker) -> None:
    """An incident is shown with its clips, snapshots and deliveries."""
    first, clip = await entered(outbox, make)
    second, _ = await entered(outbox, make)
    snapshot = make.snapshot(first)
    await outbox.add_snapshot(snapshot, ())
    assert [each["id"] for each in (await ask(outbox, "incidents.list"))["incidents"]] == [second.id, first.id]
    assert [each["id"] for each in (await ask(outbox, "incidents.list", before=second.id))["incidents"]] == [first.id]
    shown = await ask(outbox, "incidents.show", id=first.id)
    assert (shown["camera"], shown["zones"], shown["closed"]) == (first.camera, ["yard"], None)
    assert [each["id"] for each in shown["clips"]] == [clip.id]
    assert [each["id"] for each in shown["snapshots"]] == [snapshot.id]
    assert {each["destination"] for each in shown["deliveries"]} == {"receiver", "mail:a@example.org"}


@pytest.mark.parametrize(
    ("command", "args", "words"),
    [
        ("outbox.show", {}, "there is no delivery"),
        ("outbox.show", {"id": 99}, "there is no delivery 99"),
        ("outbox.show", {"id": "1"}, "id: must be a whole number"),
        ("outbox.show", {"id": True}, "id: must be a whole number"),
        ("outbox.show", {"id": 2**63}, "id: must be a whole number"),
        ("outbox.list", {"limit": -1}, "limit: must be"),
        ("outbox.list", {"state": "lost"}, "none of all, pending, held"),
        ("outbox.drop", {"id": 99}, "there is no delivery 99"),
        ("incidents.show", {"id": "ff"}, "there is no incident 'ff'"),
        ("incidents.list", {"before": 5}, "before: must be"),
    ],
)
async def test_wrong_arguments_are_answered_with_a_sentence(
    outbox: Outbox, command: str, args: dict[str, Any], words: str
) -> None:
    """Whatever comes over the socket, a mistake is named and nothing raises but the command's own error."""
    with pytest.raises(BadCommandError, match=words):
        await ask(outbox, command, **args)
