"""The settings of the way out: combinations that can't work are refused with a sentence that names the key."""

from __future__ import annotations

from typing import Any

import pytest

from edged.base.config import Duration, Rate, parse
from edged.base.errors import ConfigError
from edged.push.settings import FolderSettings, PushSettings, ReceiverSettings

_KEY = {"env": "EDGED_KEY"}


@pytest.mark.parametrize(
    ("section", "data", "mistake"),
    [
        (ReceiverSettings, {}, "url: is missing"),
        (ReceiverSettings, {"url": "example.org"}, "url: 'example.org' must start with http"),
        (ReceiverSettings, {"url": "https://me:pw@a"}, "url: must not contain a user or password"),
        (ReceiverSettings, {"url": "https://token@a"}, "url: must not contain a user or password"),
        (ReceiverSettings, {"url": "https://a", "page": "https://me:pw@a"}, "page: must not contain a user or"),
        (ReceiverSettings, {"url": "https:///"}, "url: 'https:///' names no host"),
        (ReceiverSettings, {"url": "https://a", "key": _KEY}, "device: `device` and `key` go together"),
        (ReceiverSettings, {"url": "https://a", "device": "x"}, "device: `device` and `key` go together"),
        (ReceiverSettings, {"url": "https://a", "key": "secret"}, "key: a secret must not be written"),
        (ReceiverSettings, {"url": "https://a", "device": "x", "key": _KEY, "bearer": _KEY}, "bearer: is for foreign"),
        (ReceiverSettings, {"url": "https://a", "device": "x", "key": _KEY, "readback": True}, "readback: is for"),
        (ReceiverSettings, {"url": "https://a", "device": "a b", "key": _KEY}, "device: 'a b' is no device's name"),
        (ReceiverSettings, {"url": "https://a", "slice_min": "2MB", "slice_max": "1MB"}, "slice_min: is larger"),
        (ReceiverSettings, {"url": "https://a", "page": "a"}, "page: 'a' must start with http"),
        (ReceiverSettings, {"url": "https://a", "reply_timeout": 30}, "reply_timeout: 30 has no unit"),
        (ReceiverSettings, {"url": "https://a", "reply_timeout": "0s"}, "reply_timeout: must be longer than nothing"),
        (FolderSettings, {"path": "usb"}, "path: 'usb' must begin with /"),
        (FolderSettings, {"path": "/mnt/usb", "timeout": "0s"}, "timeout: must be longer than nothing"),
        (PushSettings, {"upload": "never"}, "upload: "),
        (PushSettings, {"parallel": 0}, "parallel: must be 1 or more"),
        (PushSettings, {"rate": "0kbit/s"}, "rate: must be more than nothing"),
        (PushSettings, {"heartbeat": "0s"}, "heartbeat: must be longer than nothing"),
        (PushSettings, {"timetable": [{"when": "lunch", "rate": "1kbit/s"}]}, "timetable.1.when: 'lunch' is no time"),
        (PushSettings, {"gate": {"failures": 0}}, "gate.failures: must be 1 or more"),
        (PushSettings, {"backoff": {"first": "1h"}}, "backoff.first: must be more than nothing and no more than"),
        (PushSettings, {"backoff": {"budget": 0}}, "backoff.budget: must be 1 or more"),
        (PushSettings, {"probe": {"failures": 0}}, "probe.failures: must be 1 or more"),
        (PushSettings, {"probe": {"waiting": "2min"}}, "probe.waiting: must be more than nothing and no more than"),
    ],
)
def test_mistakes_are_named(section: type[Any], data: dict[str, Any], mistake: str) -> None:
    """Each mistake comes with its dotted key and what to do."""
    with pytest.raises(ConfigError) as refused:
        parse(data, section)
    assert mistake in str(refused.value)


def test_a_time_table_is_read() -> None:
    """Entries keep their order; the defaults are the issue's gate figures."""
    data = {"rate": "1Mbit/s", "timetable": [{"when": "mo-fr 08:00-18:00", "rate": "256kbit/s"}]}
    settings = parse(data, PushSettings)
    assert settings.rate == Rate(125_000)
    assert settings.timetable[0].rate == Rate(32_000)
    assert (settings.gate.failures, settings.gate.pause, settings.gate.successes) == (5, Duration(60), 2)
