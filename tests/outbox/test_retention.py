from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.clock import Stamp
from edged.base.config import Duration, Share, Size
from edged.outbox.nouns import StoredFile
from edged.outbox.retention import Level, floors, plan
from edged.outbox.settings import OutboxSettings
from edged.outbox.spool import Space

DAY = 86400.0
NOW = Stamp(wall=1000 * DAY, mono=1000 * DAY, boot="b", synced=True)
ROOMY = Space(free=10_000, total=10_000)
# on a disk of 10,000 bytes: warn under 1,000, critical under 500, full under 250
SETTINGS = OutboxSettings()


def ago(days: float) -> Stamp:
    """Return the moment `days` before now."""
    return Stamp(wall=NOW.wall - days * DAY, mono=NOW.mono - days * DAY, boot="b", synced=True)


def file(name: str, days: float = 1.0, **more: Any) -> StoredFile:
    """Return a clip of 100 bytes; `proven` and `unsettled` as said."""
    made = StoredFile(
        id=name, what="clip", incident="i", path=Path(name), size=100, taken=ago(days), unsettled=True, alerted=True
    )
    return replace(made, **more)


def proven(name: str, days: float = 1.0, **more: Any) -> StoredFile:
    """Return a clip that the receiver proved `days` ago."""
    return file(name, days, **{"proven": ago(days), "unsettled": False} | more)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files, what differs from the settings and the disk, and what goes, in order."""

    name: str
    files: list[StoredFile]
    gone: str = ""
    level: Level = Level.OK
    space: Space = ROOMY
    settings: dict[str, Any] = field(default_factory=dict)


def free(size: int) -> Space:
    """Return a disk of 10,000 bytes with `size` free."""
    return Space(free=size, total=10_000)


CASES = [
    Case(name="nothing is known, nothing goes", files=[], space=free(0), level=Level.CRITICAL),
    Case(name="young and proven stays", files=[proven("a", 29.9)]),
    Case(name="proven for 30 days", files=[proven("a", 30.1), proven("b", 31, unsettled=True)], gone="a"),
    Case(name="old but proven today", files=[file("a", 80, proven=ago(0.1), unsettled=False)]),
    Case(name="undelivered for a year", files=[file("a", 365)]),
    Case(
        name="snapshots 90 days from the picture",
        files=[proven("a", 89, what="snapshot"), proven("b", 91, what="snapshot"), file("c", 99, what="snapshot")],
        gone="b",
    ),
    Case(
        name="an age that is not known is no reason",
        files=[file("a", proven=Stamp(wall=0, mono=0, boot="old", synced=False), unsettled=False)],
    ),
    Case(
        name="at once after proof",
        files=[proven("a", 0), proven("b", 0, what="snapshot"), proven("c", 0, open=True), file("d")],
        settings={"delete_after_proof": True},
        gone="a",
    ),
    Case(
        name="the copy to a folder goes first",
        files=[proven("a", 0, unsettled=True)],
        settings={"delete_after_proof": True},
    ),
    Case(
        name="the law",
        files=[file("a", 8), proven("b", 8), file("c", 6), file("d", 8, open=True)],
        settings={"legal_limit": Duration(7 * DAY)},
        gone="a b d",
    ),
    Case(
        name="the floor takes the oldest proven until there is room",
        files=[proven("a", 2), proven("b", 3), proven("c", 1), file("d", 9)],
        space=free(850),
        gone="b a",
    ),
    Case(
        name="proven with a copy under way goes after those without",
        files=[proven("a", 3, unsettled=True), proven("b", 1), proven("c", 2, what="snapshot")],
        space=free(700),
        gone="b c a",
    ),
    Case(name="a disk that fills is said", files=[file("a")], space=free(999), level=Level.WARN),
    Case(name="undelivered stays at critical", files=[file("a")], space=free(499), level=Level.CRITICAL),
    Case(
        name="undelivered goes where it may, until critical is over",
        files=[file("a", 1), file("b", 2), file("c", 3)],
        space=free(350),
        settings={"delete_undelivered": True},
        gone="c b",
        level=Level.WARN,
    ),
    Case(
        name="undelivered goes when the disk is all but full",
        files=[file("a", 1), file("b", 2)],
        space=free(200),
        gone="b",
        level=Level.CRITICAL,
    ),
    Case(
        name="undelivered stays where others have filled the disk and it would win next to nothing",
        files=[file("a", 1), file("b", 2)],
        space=Space(free=0, total=10**6),
        settings={
            "critical_free": Size(10**6),
            "critical_share": Share(0.5),
            "warn_share": Share(0.5),
            "warn_free": Size(10**6),
        },
        level=Level.CRITICAL,
    ),
    Case(
        name="lowest value first",
        files=[
            file("snapshot", 9, what="snapshot"),
            file("document", 8, what="document"),
            file("manual", 7, manual=True),
            file("going-on", 6, open=True),
            file("alerted-new", 1),
            file("alerted-old", 5),
            file("held-back", 0.5, alerted=False),
        ],
        space=Space(free=0, total=10**6),
        settings={"delete_undelivered": True, "critical_free": Size(700), "warn_free": Size(700)},
        gone="held-back alerted-old alerted-new going-on document manual snapshot",
    ),
    Case(
        name="the quota takes proven first",
        files=[file("a", 9), proven("b", 1), proven("c", 2)],
        settings={"quota": Size(250)},
        gone="c",
    ),
    Case(
        name="a quota used up by what is undelivered",
        files=[file("a", 9), file("b", 1)],
        settings={"quota": Size(150)},
        level=Level.CRITICAL,
    ),
    Case(
        name="a quota may take undelivered where they may go",
        files=[file("a", 9), file("b", 1)],
        settings={"quota": Size(150), "delete_undelivered": True},
        gone="a",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_goes_and_in_which_order(case: Case) -> None:
    """Proven files go by age, quota and floor; others by law, by leave or when the disk is all but full."""
    decided = plan(case.files, replace(SETTINGS, **case.settings), NOW, case.space)
    assert " ".join(deletion.file.id for deletion in decided.deletions) == case.gone
    assert decided.level is case.level
    assert all(deletion.reason for deletion in decided.deletions)


@pytest.mark.parametrize(
    ("total", "warn", "critical"),
    [(10_000, 1_000, 500), (32 * 10**9, 3_200_000_000, 1_600_000_000), (10**12, 4 * 10**9, 2 * 10**9)],
    ids=["tiny", "card", "large disk"],
)
def test_the_floors_of_small_and_large_disks(total: int, warn: int, critical: int) -> None:
    """Ten and five percent, and on large disks no more than some gigabytes."""
    floor = floors(SETTINGS, total)
    assert (floor.warn, floor.critical, floor.full) == (warn, critical, critical // 2)


FILES = st.lists(
    st.builds(
        file,
        st.uuids().map(str),
        st.floats(0, 400),
        size=st.integers(0, 3000),
        what=st.sampled_from(["clip", "snapshot", "document"]),
        proven=st.none() | st.floats(0, 400).map(ago),
        unsettled=st.booleans(),
        open=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda each: each.id,
)


@given(files=FILES, left=st.integers(0, 10_000), quota=st.sampled_from([0, 500, 5_000]), allowed=st.booleans())
def test_no_unproven_file_goes_without_need(files: list[StoredFile], left: int, quota: int, allowed: bool) -> None:
    """Without leave an unproven file goes only from a disk that is all but full, and never while a proven one stays."""
    settings = replace(SETTINGS, quota=Size(quota), delete_undelivered=allowed)
    decided = plan(files, settings, NOW, free(left))
    gone = [deletion.file for deletion in decided.deletions]
    assert len({each.id for each in gone}) == len(gone)
    assert {each.id for each in gone} <= {each.id for each in files}
    if any(each.proven is None for each in gone):
        assert all(each.proven is None for each in files if each not in gone)
        assert allowed or left + sum(each.size for each in gone if each.proven is not None) < 250


@given(files=FILES, left=st.integers(0, 10_000))
def test_what_a_plan_leaves_needs_no_second_plan(files: list[StoredFile], left: int) -> None:
    """Carried out, a plan is followed by an empty one of the same level."""
    settings = replace(SETTINGS, delete_undelivered=True)
    first = plan(files, settings, NOW, free(left))
    gone = {deletion.file.id for deletion in first.deletions}
    rest = [each for each in files if each.id not in gone]
    room = left + sum(each.size for each in files) - sum(each.size for each in rest)
    second = plan(rest, settings, NOW, free(room))
    assert second.deletions == ()
    assert second.level is first.level


@pytest.mark.parametrize(
    "mistake",
    [
        {"critical_share": Share(0.2)},
        {"critical_free": Size(5_000_000_000)},
        {"sweep_interval": Duration(0.0)},
        {"backup_interval": Duration(0.0)},
    ],
)
def test_impossible_settings_are_refused_with_their_key(mistake: dict[str, Any]) -> None:
    """The message begins with a key, as the configuration's loader wants it."""
    with pytest.raises(ValueError, match=r"^\w+: "):
        OutboxSettings(**mistake)
