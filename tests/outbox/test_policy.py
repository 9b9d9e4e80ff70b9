from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.model import DeliveryKind, Lane
from edged.outbox.nouns import Notice, NoticeKind
from edged.outbox.policy import (
    POLICY,
    Destinations,
    alert_drafts,
    clip_drafts,
    document_drafts,
    drafts_key,
    notice_drafts,
    snapshot_drafts,
)
from edged.wire.keys import is_key
from tests.outbox.world import EVERYWHERE

if TYPE_CHECKING:
    from tests.outbox.world import Maker


def test_alerts_have_a_lane_of_their_own_and_every_kind_its_line() -> None:
    """Nothing in the table waits behind a clip that is worth more; only alerts go to people."""
    assert set(POLICY) == set(DeliveryKind)
    assert {kind for kind, line in POLICY.items() if line.lane is Lane.ALERT} == {DeliveryKind.ALERT}
    ranked = sorted(POLICY, key=lambda kind: POLICY[kind].priority)
    assert ranked == [
        DeliveryKind.ALERT,
        DeliveryKind.SNAPSHOT,
        DeliveryKind.PREVIEW,
        DeliveryKind.CLIP,
        DeliveryKind.DOCUMENT,
    ]


def test_who_gets_what(make: Maker) -> None:
    """Alerts and notices go to each recipient, files to the receiver and each folder, sized and named."""
    incident = make.incident()
    clip, snapshot, document = make.clip(incident), make.snapshot(incident), make.document()
    notice = Notice(id=make.id(), kind=NoticeKind.TEST, since=make.now())
    people, stores = ("mail:a@example.org", "mail:b@example.org"), ("receiver", "folder:usb")
    wanted = [
        (alert_drafts(incident, EVERYWHERE), people, incident.id, incident.id, 0),
        (notice_drafts(notice, EVERYWHERE.people), people, None, notice.id, 0),
        (clip_drafts(clip, EVERYWHERE), stores, incident.id, clip.id, 1000),
        (snapshot_drafts(snapshot, EVERYWHERE), stores, incident.id, snapshot.id, 100),
        (document_drafts(document, EVERYWHERE), stores, None, document.id, 10),
    ]
    for drafts, destinations, of, subject, size in wanted:
        assert tuple(draft.destination for draft in drafts) == destinations
        assert {(draft.incident, draft.subject, draft.size) for draft in drafts} == {(of, subject, size)}
    assert alert_drafts(incident, Destinations()) == clip_drafts(clip, Destinations()) == ()


@pytest.mark.parametrize("priority", [0, 1, 4, 10])
def test_a_document_never_overtakes_what_edged_recorded(make: Maker, priority: int) -> None:
    """Priorities from 5 to 9 are a person's to give, others are refused."""
    assert [draft.priority for draft in document_drafts(make.document(), EVERYWHERE, priority=5)] == [5, 5]
    with pytest.raises(ValueError, match="from 5 to 9"):
        document_drafts(make.document(), EVERYWHERE, priority=priority)


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.text(max_size=300), st.text(max_size=300))
def test_keys_are_the_wire_s_and_tell_destinations_apart(subject: str, one: str, other: str) -> None:
    """Whatever a folder or an address is called, the key may travel, and equal destinations alone give equal keys."""
    keys = [drafts_key(subject, f"folder:{name}") for name in (one, other)]
    assert all(is_key(key) for key in keys)
    assert (keys[0] == keys[1]) == (one == other)
    assert drafts_key(subject, "receiver") == subject


def test_a_manual_upload_holds_what_costs_the_line_alone(make: Maker) -> None:
    """With upload = "manual" a clip to the receiver waits for a person; its copy in a folder goes at once."""
    clip = make.clip(make.incident())
    drafts = clip_drafts(clip, Destinations(receiver=True, folders=("usb",), manual=True))
    assert {draft.destination: draft.held for draft in drafts} == {"receiver": True, "folder:usb": False}
