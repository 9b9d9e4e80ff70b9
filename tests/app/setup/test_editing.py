"""Settings put into a file's text: what was to change changed, all else stands as it stood."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.app.setup.editing import Change, EditError, Value, blank, edit, written

SAMPLE = (Path(__file__).parents[3] / "config" / "edged.toml").read_text()

FILE = """\
# my box
[device]
name = "shop"   # as on the door
#timezone = "UTC"

# the cameras
[cameras.door]
url = "rtsp://a/b"
lists = [
  1,  # one
  2,
]
[cameras.door.health]
#dark = "30s"

# who is told
[alerts]
recipients = []
#[receiver]
#url = "https://receiver.example.org"
#device = "shop-1"
[[mail.relays]]
host = "a"
[[mail.relays]]
host = "b"
"""


def change(table: str, key: str, value: Value | None, *, listed: bool = False) -> Change:
    """Return a change of a dotted table."""
    return Change(table=tuple(table.split(".")), key=key, value=value, listed=listed)


RELAY = change("mail.relays", "host", "b", listed=True)


@pytest.mark.parametrize(
    ("wanted", "old", "new"),
    [
        (change("device", "name", "dock"), 'name = "shop"   # as', 'name = "dock"   # as'),
        (change("device", "name", 'a # "b"'), '"shop"   # as', '"a # \\"b\\""   # as'),
        (change("device", "timezone", "Asia/Tokyo"), '#timezone = "UTC"', 'timezone = "Asia/Tokyo"'),
        (change("device", "site", "Dock"), '#timezone = "UTC"\n', '#timezone = "UTC"\nsite = "Dock"\n'),
        (change("cameras.door", "url", None), 'url = "rtsp', '#url = "rtsp'),
        (change("cameras.door", "lists", ["3"]), "lists = [\n  1,  # one\n  2,\n]\n", 'lists = ["3"]\n'),
        (change("cameras.door", "size", "4x4"), "]\n[cameras.door.health]", ']\nsize = "4x4"\n[cameras.door.health]'),
        (
            change("cameras.yard", "url", "/dev/video0"),
            '#dark = "30s"\n',
            '#dark = "30s"\n\n[cameras.yard]\nurl = "/dev/video0"\n',
        ),
        (
            change("receiver", "url", "https://r"),
            '#[receiver]\n#url = "https://receiver.example.org"',
            '[receiver]\nurl = "https://r"',
        ),
        (change("mail.relays", "host", "c", listed=True), 'host = "a"', 'host = "c"'),
        (change("push", "rate", "1MB/s"), 'host = "b"\n', 'host = "b"\n\n[push]\nrate = "1MB/s"\n'),
        (change("device", "absent", None), "", ""),
        (
            change("receiver", "key", {"file": "/k"}),
            '#[receiver]\n#url = "https://receiver.example.org"\n#device = "shop-1"\n',
            '[receiver]\n#url = "https://receiver.example.org"\n#device = "shop-1"\nkey = { file = "/k" }\n',
        ),
    ],
)
def test_one_change_touches_its_own_lines_alone(wanted: Change, old: str, new: str) -> None:
    """Comments, order and blanks stay; a setting that is switched off is switched on where it stands."""
    assert edit(FILE, [wanted]) == FILE.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "wanted", "by_hand"),
    [
        ('cameras = { door = { url = "a" } }\n', change("cameras.door", "url", "b"), '[cameras.door] url = "b"'),
        ('cameras.door.url = "a"\n', change("cameras.door", "url", "b"), '[cameras.door] url = "b"'),
        ('[mail]\nrelays = [{ host = "a" }]\n', RELAY, '[[mail.relays]] host = "b"'),
        ("[mail]\nrelays = []\n", RELAY, '[[mail.relays]] host = "b"'),
    ],
)
def test_a_file_that_is_written_in_another_way_is_refused(text: str, wanted: Change, by_hand: str) -> None:
    """Inline tables and dotted keys mean the same to TOML, and are not spoiled; what to enter by hand is told."""
    with pytest.raises(EditError) as refused:
        edit(text, [wanted])
    assert str(refused.value).endswith(f"enter by hand:\n  {by_hand}")


def test_a_file_from_another_system_is_changed_too() -> None:
    """Lines that end as on Windows."""
    changed = edit(FILE.replace("\n", "\r\n"), [change("device", "name", "dock")])
    assert changed == FILE.replace('"shop"', '"dock"')


def test_the_sample_switched_off_says_nothing_and_explains_all() -> None:
    """Every setting and comment is still there, each table that must be complete is off."""
    off = blank(SAMPLE, ("mail.relays", "receiver", "folders"))
    data = tomllib.loads(off)
    assert data.keys().isdisjoint({"receiver", "folders"})
    assert data["mail"] == {}
    assert [line.lstrip("#") for line in off.split("\n")] == [line.lstrip("#") for line in SAMPLE.split("\n")]


keys = st.sampled_from(["a", "b", "c-d", "e.f", "ä"])
values = st.one_of(
    st.booleans(), st.integers(-9, 9), st.text(max_size=8), st.lists(st.text(max_size=4), max_size=3),
    st.dictionaries(keys, st.text(max_size=4), max_size=2),
)  # fmt: skip
remarks = st.sampled_from(["", "", "  # a remark", "  # one = 1", "\n# [x.a]", "\n#a = 1", "\n", "\n#off = [1]"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Draw a file of some tables with settings, on and off, and remarks anywhere."""
    lines: list[str] = []
    for table in draw(st.lists(st.sampled_from(["x", "y.z", "y", '"q r"']), unique=True, max_size=4)):
        lines.append(f"{draw(st.sampled_from(['', '', '#']))}[{table}]{draw(remarks)}")
        if lines[-1].startswith("#"):
            continue
        for key in draw(st.lists(keys, unique=True, max_size=4)):
            off = draw(st.sampled_from(["", "", "#"]))
            name = key if key in {"a", "b", "c-d"} else f'"{key}"'
            lines.append(f"{off}{name} = {written(draw(values))}{draw(remarks)}")
    return "\n".join([*lines, draw(remarks)])


changes = st.lists(
    st.builds(
        Change,
        table=st.sampled_from([("x",), ("y",), ("y", "z"), ("q r",), ("new", "t")]),
        key=keys,
        value=st.none() | values,
    ),
    max_size=4,
)


@given(documents(), changes)
def test_any_file_says_afterwards_what_it_was_to_say(text: str, wanted: list[Change]) -> None:
    """Whatever the file, it holds the new values and the old ones, or it is refused; what stood in it still stands."""
    before = tomllib.loads(text)
    after = tomllib.loads(edit(text, wanted))
    for each in wanted:
        table: Any = before
        for name in each.table:
            table = table.setdefault(name, {})
        table.pop(each.key, None)
        if each.value is not None:
            table[each.key] = each.value
    assert after == before
    remarks_before = [line for line in text.split("\n") if line.startswith("# ")]
    assert [line for line in edit(text, wanted).split("\n") if line.startswith("# ")] == remarks_before


@given(values)
def test_values_are_written_as_toml_reads_them(value: Value) -> None:
    """Strings with any character, lists, inline tables."""
    assert tomllib.loads(f"v = {written(value)}")["v"] == value
