"""Kinds of events keep their ids, which people have in their scripts and alarms, and the catalogue explains some."""

from __future__ import annotations

import re

from edged.base.journal import message_id
from tests.base.kinds import ROOT, listed, logged


def test_the_table_holds_each_kind_of_event_with_its_id() -> None:
    """An event that was renamed is another one to whoever waits for it: the table shows that in a commit."""
    table = listed()
    assert set(table) == logged(), "if that is meant: python -m tests.base.kinds"
    assert {phrase: message_id(phrase) for phrase in table} == table


def test_the_catalogue_explains_events_that_there_are() -> None:
    """Each of its entries has the id of one event, and a subject."""
    text = (ROOT / "systemd" / "edged.catalog").read_text(encoding="utf-8")
    entries = re.findall(r"^-- ([0-9a-f]{32})\nSubject: \S.*\nDefined-By: edged\n\n\S", text, re.MULTILINE)
    assert len(entries) == text.count("\n-- ") >= 10
    assert len(set(entries)) == len(entries)
    assert set(entries) <= set(listed().values())
