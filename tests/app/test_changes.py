"""What a changed configuration changes: every setting is sorted, and nothing is taken by half."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.app.changes import LIVE, LIVE_SECRETS, RESTART, compare, is_live, is_live_secret
from edged.base.config import Secret, parse
from edged.settings import DeviceConfig
from tests.app.home import tables

STATE = Path("/var/lib/edged")
DEVICE, DOOR = tables(STATE)["device"], tables(STATE)["cameras"]["door"]
MAIL = {"sender": "edged@example.org", "relays": [{"host": "mail.example.org"}]}
RECEIVER = {"url": "https://cctv.example.org"}
BOTH = {"receiver": RECEIVER, "outbox": {"delete_after_proof": True}}


def config(**sections: Any) -> DeviceConfig:
    """Return a configuration as from a file."""
    return parse(tables(STATE, **sections), DeviceConfig)


def settings_of(section: Any, prefix: str = "") -> typing.Iterator[str]:
    """Yield the dotted key of every setting that a file may hold; named tables count as `name`."""
    hints = typing.get_type_hints(section)
    for field in dataclasses.fields(section):
        hint = hints[field.name]
        inner = next((arg for arg in typing.get_args(hint) if dataclasses.is_dataclass(arg)), hint)
        within = f"{prefix}{field.name}.name." if typing.get_origin(hint) is dict else f"{prefix}{field.name}."
        if dataclasses.is_dataclass(inner) and inner is not Secret and typing.get_origin(hint) is not tuple:
            yield from settings_of(inner, within)
        else:
            yield prefix + field.name


SETTINGS = sorted(settings_of(DeviceConfig))


def begins(key: str, entry: str) -> bool:
    """Return whether an entry of a table is a beginning of the key."""
    words, wanted = key.split("."), entry.split(".")
    return len(words) >= len(wanted) and all(a in {b, "*"} for a, b in zip(wanted, words, strict=False))


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_is_in_one_of_the_two_classes(key: str) -> None:
    """A table sorts it, and no other with as long a beginning contradicts: a new section has to be thought about."""
    lengths = {
        name: max((len(entry.split(".")) for entry in table if begins(key, entry)), default=0)
        for name, table in (("live", LIVE), ("restart", RESTART))
    }
    assert lengths["live"] != lengths["restart"], f"sort {key} into LIVE or RESTART of edged/app/changes.py"
    assert is_live(key) is (lengths["live"] > lengths["restart"])


@pytest.mark.parametrize("entry", sorted({*LIVE, *RESTART, *LIVE_SECRETS}))
def test_no_entry_is_about_nothing(entry: str) -> None:
    """What the tables name is there."""
    assert any(begins(key, entry) for key in SETTINGS)


@pytest.mark.parametrize(
    ("before", "after", "taken", "restart"),
    [
        ({}, {}, (), ()),
        ({}, {"push": {"rate": "1Mbit/s"}}, ("push.rate",), ()),
        ({}, {"push": {"upload": "manual", "parallel": 3}}, ("push.upload",), ("push.parallel",)),
        ({}, {"push": {"timetable": [{"when": "mo-fr 8:00-18:00", "rate": "1kB/s"}]}}, ("push.timetable",), ()),
        ({"mail": MAIL}, {"mail": {**MAIL, "relays": [{"host": "other.example.org"}]}}, ("mail.relays",), ()),
        (
            {},
            {"mail": MAIL, "alerts": {"recipients": ["anna@example.org"]}},
            ("alerts.recipients", "mail.relays", "mail.sender"),
            (),
        ),
        ({}, {"log": {"level": "debug", "style": "json"}}, ("log.level",), ("log.style",)),
        ({}, {"device": {**DEVICE, "site": "Quay", "timezone": "UTC"}}, ("device.site",), ("device.timezone",)),
        ({}, {"cameras": {"door": {**DOOR, "health": {"dark": "9s"}}}}, ("cameras.door.health.dark",), ()),
        ({}, {"recovery": {"reboot": True}}, ("recovery.reboot",), ()),
        ({}, {"receiver": RECEIVER}, (), ("receiver",)),
        ({"receiver": RECEIVER}, {"receiver": {"url": "https://other.example.org"}}, (), ("receiver.url",)),
        ({}, {"folders": {"usb": {"path": "/media/usb"}}}, (), ("folders.usb",)),
        ({}, {"cameras": {"door": DOOR, "yard": DOOR}}, (), ("cameras.yard",)),
        ({"cameras": {"door": DOOR, "yard": DOOR}}, {"cameras": {"yard": DOOR}}, (), ("cameras.door",)),
        (
            {},
            {"cameras": {"door": {**DOOR, "rate": 5.0, "detect": {**DOOR["detect"], "smallest": "1%"}}}},
            ("cameras.door.detect.smallest",),
            ("cameras.door.rate",),
        ),
        (
            {},
            {"cameras": {"door": {**DOOR, "detect": {"zones": {"all": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]}}}}},
            ("cameras.door.detect.merge", "cameras.door.detect.post_roll", "cameras.door.detect.zones"),
            (),
        ),
        ({}, {"outbox": {"quota": "9GB"}, "record": {"pre_roll": "9s"}}, None, ("record.pre_roll",)),
        # what holds only together with something that needs a restart needs one, too; the rest does not
        ({}, {**BOTH, "push": {"rate": "1kB/s"}}, ("push.rate",), ("outbox.delete_after_proof", "receiver")),
        (BOTH, {"outbox": {}}, ("outbox.delete_after_proof",), ("receiver",)),
    ],
)
def test_changes(before: Any, after: Any, taken: tuple[str, ...] | None, restart: tuple[str, ...]) -> None:
    """Each changed setting is named once, in its class; what is gone on with has the one class and not the other."""
    same: dict[str, Any] = {"outbox": {}}  # the tests' own floors would be differences
    old, new = config(**{**same, **before}), config(**{**same, **after})
    changes = compare(old, new)
    assert changes.restart == restart
    assert changes.taken == (("outbox.quota",) if taken is None else taken)
    again = compare(changes.config, new)
    assert (again.taken, again.restart) == ((), restart)
    assert set(compare(old, changes.config).taken) == set(changes.taken)


def test_secrets() -> None:
    """What is asked for with each mail and each request can change; a camera's password opened what is open."""
    assert is_live_secret("mail.relays.1.password")
    assert is_live_secret("receiver.key")
    assert not is_live_secret("cameras.door.password")


POINTS = st.lists(
    st.tuples(st.floats(0.0, 1.0, width=16), st.floats(0.0, 1.0, width=16)).map(list), min_size=3, max_size=4
)
SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "push": st.fixed_dictionaries(
            {},
            optional={
                "rate": st.sampled_from(["1kB/s", "2Mbit/s"]),
                "upload": st.sampled_from(["auto", "manual"]),
                "parallel": st.integers(1, 3),
                "metered": st.booleans(),
                "gate": st.fixed_dictionaries({"failures": st.integers(1, 9)}),
            },
        ),
        "outbox": st.fixed_dictionaries({}, optional={"delete_after_proof": st.booleans(), "quota": st.just("9GB")}),
        "receiver": st.sampled_from([RECEIVER, {"url": "https://b.example.org"}]),
        "folders": st.dictionaries(st.sampled_from(["usb", "nas"]), st.just({"path": "/media/disk"})),
        "log": st.fixed_dictionaries({}, optional={"level": st.just("debug"), "style": st.just("json")}),
        "mail": st.just(MAIL),
        "cameras": st.dictionaries(
            st.sampled_from(["door", "yard"]),
            st.fixed_dictionaries(
                {"source": st.just("synthetic"), "rate": st.sampled_from([5.0, 9.0])},
                optional={
                    "detect": st.fixed_dictionaries({"zones": st.dictionaries(st.sampled_from("ab"), POINTS)}),
                    "health": st.just({"dark": "9s"}),
                },
            ),
            min_size=1,
        ),
    },
)


def _parsed(tables_: dict[str, Any]) -> DeviceConfig:
    if tables_.get("outbox", {}).get("delete_after_proof"):
        tables_ = {"receiver": RECEIVER, **tables_}
    return config(**{"outbox": {}, **tables_})


@given(st.lists(SECTIONS.map(_parsed), min_size=2, max_size=5))
def test_any_row_of_changes_ends_where_a_restart_would_begin(row: list[DeviceConfig]) -> None:
    """Whatever was taken on the way: what the last file asks for is taken, or named as waiting for a restart."""
    now = row[0]
    for new in row[1:]:
        changes = compare(now, new)
        assert set(changes.taken).isdisjoint(changes.restart)
        left = compare(changes.config, new)
        assert (left.taken, left.restart) == ((), changes.restart)
        assert (changes.config == new) is (not changes.restart)
        assert changes.config.cameras.keys() == now.cameras.keys()
        now = changes.config
