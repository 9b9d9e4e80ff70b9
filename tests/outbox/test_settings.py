from __future__ import annotations

from typing import Any

import pytest

from edged.base.config import parse
from edged.base.errors import ConfigError
from edged.outbox.settings import AlertSettings, OutboxSettings


def test_the_defaults_are_the_promised_ones() -> None:
    """One minute of cool-down, no cap, thirty and ninety days, warn at ten and critical at five percent."""
    alerts, outbox = parse({}, AlertSettings), parse({}, OutboxSettings)
    assert (alerts.cooldown, alerts.cap_per_hour, alerts.armed) == (60.0, 0, ())
    assert (outbox.keep_clips, outbox.keep_snapshots) == (30 * 86400.0, 90 * 86400.0)
    assert (outbox.warn_share, outbox.critical_share, outbox.sweep_interval) == (0.10, 0.05, 1800.0)
    assert (outbox.delete_after_proof, outbox.delete_undelivered, outbox.legal_limit) == (False, False, 0.0)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"recipients": ["nobody"]}, "recipients"),
        ({"recipients": ["a@b@c"]}, "recipients"),
        ({"recipients": [" a@example.org"]}, "recipients"),
        ({"recipients": ["@example.org"]}, "recipients"),
        ({"recipients": ["a@example.org", "a@example.org"]}, "recipients"),
        ({"recipients": ["a@example.org\nBcc: b"]}, "recipients"),
        ({"cap_per_hour": -1}, "cap_per_hour"),
        ({"cooldown": 60}, "cooldown"),
    ],
)
def test_mistakes_are_named_by_their_key(data: dict[str, Any], key: str) -> None:
    """A wrong address, a negative cap and a bare number are refused, each at its key."""
    with pytest.raises(ConfigError) as caught:
        parse(data, AlertSettings)
    assert [mistake.key for mistake in caught.value.mistakes] == [key]
